"""What the paper claims, how a measurement is judged, and what we have recorded of it so far.

The paper's numbers of hardware are here and nowhere else (those of quantized models:
`quantized.papers`); the code that measures does not see them.
Paper: Lee et al., EMNLP 2023, arXiv 2311.05161.
"""

from collections.abc import Callable
from dataclasses import dataclass

from macsmith.experiments.quantized import exact
from macsmith.experiments.quantized.judge import finding, status
from macsmith.experiments.quantized.tables import TABLES
from macsmith.sim.names import suggestion

__all__ = ["CLAIMS", "PAPER_MACS", "PREFERRED", "STATUSES", "Claim", "Verdict", "nearest_claim"]

STATUSES = ("not reproduced", "partly reproduced", "reproduced")  # worst first

#: Table 2, commercial 7 nm at 1 GHz: area in um2, power in mW.
PAPER_MACS = {"int8": (86.33, 0.1595), "dint4": (44.57, 0.0624)}
AREA_RATIO, POWER_RATIO = 1.93, 2.56  # as the paper prints them; its figures give 1.937 and 2.556
BEST_AREA_RATIO, BEST_ENERGY_RATIO = 1.8, 2.3  # ours: what would still be "half" in good faith
PREFERRED = ("asap7", "sky130hd", "osu018")  # libraries, the smallest node first
WITHIN = 0.10  # of the paper's ratio: a tenth is what another library or tool may make of it


@dataclass(frozen=True)
class Verdict:
    """How a claim fares in a run: `status` is one of STATUSES, "not decided" or "not measured"."""

    status: str
    finding: str


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper's that a run can support or not.

    `needs` are the experiments it is judged from; `judge` gets their results by name. `recorded` is
    the status this project has reached before: a run that is worse makes `reproduce` exit 1. It is
    the worst of all where that may change with the draws, as of tables of quantized models. One
    that is `long` is measured when it is named.
    """

    id: str
    sentence: str
    source: str
    needs: tuple[str, ...]
    recorded: str
    judge: Callable[[dict], Verdict]
    long: bool = False


def _definition(results: dict) -> Verdict:
    rows = results["definition"]
    wrong = sum(row["mismatches"] for row in rows)
    points = sum(row["points"] for row in rows)
    status = STATUSES[2] if wrong == 0 < points else STATUSES[0]
    return Verdict(status, f"{wrong} of {points:,} points differ from Eq. 5")


def _ratio(results: dict, key: str, paper: float) -> Verdict:
    """dINT4 with equal accumulators, in the library nearest to the paper's 7 nm.

    Within a tenth of the paper's ratio: reproduced; at least half of its gain: partly.
    """
    wrong = sum(row["netlist_different"] for row in results["hardware"].get("rows", ()))
    if wrong:
        return Verdict(STATUSES[0], f"{wrong:,} results of a netlist differ from the golden model")
    found: dict[str, dict[str, float]] = {}
    for ratio in results["hardware"]["ratios"]:
        if ratio["weights"] == "dint4" and ratio[key]:
            found.setdefault(ratio["library"], {})[ratio["condition"]] = ratio[key]
    plain = {name: by["equal"] for name, by in found.items() if "equal" in by}
    if not plain:
        return Verdict("not measured", "no technology library here, or a clock is missed")
    judged = plain[next(name for name in (*PREFERRED, *plain) if name in plain)]
    near, half = abs(judged / paper - 1) <= WITHIN, judged - 1 >= (paper - 1) / 2
    text = ", ".join(
        f"{ratio:.2f}x on {name}"
        + (
            f" ({found[name]['booth']:.2f}x with Booth multipliers)"
            if "booth" in found[name]
            else ""
        )
        for name, ratio in plain.items()
    )
    return Verdict(STATUSES[2 if near else half], f"{text}; the paper has {paper:.2f}x")


def _accuracy(results: dict) -> Verdict:
    """dINT4 against INT4 on each model, symmetric and (the paper's form) zero-pointed, exact."""
    losses = []
    for model in results["accuracy"]["models"]:
        ppl = {(row["recipe"], row["execution"]): row["ppl"] for row in model["rows"]}
        full = ppl[None, "float"]
        for form, suffix in (("symmetric", ""), ("zero-pointed", "z")):
            int4, dint4 = (ppl[f"w4a8-rtn-{fmt}{suffix}", "exact"] for fmt in ("int4", "dint4"))
            losses.append((f"{model['model']} {form}", int4 - full, dint4 - full))
    better = [dint4 < int4 for _, int4, dint4 in losses]
    status = STATUSES[2 if all(better) else any(better)]
    text = "; ".join(f"{what}: {dint4:.2f} against {int4:.2f}" for what, int4, dint4 in losses)
    return Verdict(status, f"perplexity lost to FP32 by dINT4 against INT4: {text}")


def _equality(results: dict) -> Verdict:
    """Missing tools leave it unmeasured; a difference, or a bench that breaks, refutes it."""
    rows = results["equality"]["rows"]
    products = sum(row["products"] for row in rows)
    wrong = [f"{row['weights']} in {row['backend']}" for row in rows if row["mismatches"]]
    ran = sorted({row["backend"] for row in rows if row["products"]})
    if wrong or not ran:
        return Verdict(STATUSES[0], f"sums differ: {', '.join(wrong) or 'nothing was compared'}")
    text = f"{', '.join(ran)}: the same sums over {products:,} products"
    absent = {"netlist", "RTL"} - {backend.split(" ")[0] for backend in ran}
    if absent:
        return Verdict("not measured", f"no {' and no '.join(sorted(absent))} here; {text}")
    return Verdict(STATUSES[2], text)


def _best(results: dict) -> Verdict:
    """Of the last rung of the ladder, on the paper's kind of technology only."""
    found = results["exploration"]
    rung = found["ladder"][-1] if found else None
    if not rung or rung["area_ratio"] is None or rung["energy_ratio"] is None:
        return Verdict("not measured", "no technology library here, or a clock is missed")
    area, energy = rung["area_ratio"], rung["energy_ratio"]
    text = f"{area:.2f}x in area and {energy:.2f}x in energy on {found['library']}"
    if rung["int4_area_ratio"] and rung["int4_energy_ratio"]:
        text += (
            f"; dINT4 over INT4: {rung['int4_area_ratio']:.2f}x in area, "
            f"{rung['int4_energy_ratio']:.2f}x in energy"
        )
    if found["library"] != PREFERRED[0]:
        return Verdict("not measured", f"{text}; it is judged on {PREFERRED[0]}")
    met = (area >= BEST_AREA_RATIO) + (energy >= BEST_ENERGY_RATIO)
    return Verdict(STATUSES[met], text)


def _exact(results: dict) -> Verdict:
    return Verdict(STATUSES[exact.status(results["exact"])], exact.finding(results["exact"]))


def _table(name: str) -> Callable[[dict], Verdict]:
    """The judge of a table of quantized models."""

    def judge(results: dict) -> Verdict:
        result = results["quantized"]["tables"][name]
        reached = status(result)
        return Verdict("not decided" if reached is None else STATUSES[reached], finding(result))

    return judge


CLAIMS = {
    claim.id: claim
    for claim in (
        Claim(
            "definition",
            "dINT's codes are the integers and +-half a step, and its quantizer (Eq. 5) rounds to "
            "the nearest of them.",
            "section 4.2, Eq. 5-6",
            ("definition",),
            "reproduced",
            _definition,
        ),
        Claim(
            "area",
            "A dINT4 x INT8 MAC is 1.93 times smaller than an INT8 x INT8 MAC.",
            "section 4.3, Table 2",
            ("hardware",),
            "partly reproduced",
            lambda results: _ratio(results, "area_ratio", AREA_RATIO),
        ),
        Claim(
            "power",
            "A dINT4 x INT8 MAC needs 2.56 times less power than an INT8 x INT8 MAC.",
            "section 4.3, Table 2",
            ("hardware",),
            "not reproduced",
            lambda results: _ratio(results, "energy_ratio", POWER_RATIO),
        ),
        Claim(
            "best",
            "(ours) In the best structure for each, a product of INT8 takes "
            f"{BEST_AREA_RATIO} times the area and {BEST_ENERGY_RATIO} times the energy of one of "
            "dINT4.",
            "this project",
            ("exploration",),
            "partly reproduced",
            _best,
        ),
        Claim(
            "accuracy",
            "With 4-bit weights and 8-bit activations dINT4 loses less accuracy than INT4.",
            "section 5, Tables 3 and 14",
            ("accuracy",),
            "partly reproduced",
            _accuracy,
        ),
        Claim(
            "equality",
            "(ours) RTL, synthesised netlist, numba and the quantized torch model compute the same "
            "integers.",
            "this project",
            ("equality",),
            "reproduced",
            _equality,
        ),
        Claim(
            "exact",
            "(ours) Exact and float execution of every recipe differ, layer by layer on identical "
            "inputs, by no more than float32 rounds.",
            "this project",
            ("exact",),
            "reproduced",
            _exact,
            long=True,
        ),
        *(
            Claim(
                table.id, table.sentence, table.source, ("quantized",), STATUSES[0],
                _table(table.id), long=True,
            )
            for table in TABLES.values()
        ),
    )
}  # fmt: skip


def nearest_claim(name: str) -> Claim:
    """The claim called ``name``; ValueError with the nearest one, or all, otherwise."""
    if name not in CLAIMS:
        raise ValueError(f"unknown claim {name!r}; {suggestion(name, CLAIMS)}")
    return CLAIMS[name]
