"""Claims "area" and "power": INT8 x INT8 against narrower weights, in every library that is here.

Ratios are given under stated conditions: equal 32-bit accumulators (the paper does not state its
own); the same with Booth multipliers, which help INT8 most; and accumulators just wide enough for
4,096 products. Time: 2 s a unit, 10 s on ASAP7.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from macsmith.sim.spec import MacSpec

__all__ = ["CONDITIONS", "FULL", "QUICK", "Config", "Job", "jobs", "ratios"]

DEPTH = 4096  # the widest layers of a 7-billion-parameter LLaMA or a 6.7-billion OPT sum so much
CONDITIONS = {
    "equal": "equal accumulators, 32 bits, wrapping",
    "booth": "the same, products synthesised as Booth multipliers",
    "enough": f"accumulators just wide enough for {DEPTH:,} products",
}


@dataclass(frozen=True)
class Config:
    """Weight formats (activations are INT8), conditions, libraries (None: every one here)."""

    weights: tuple[str, ...]
    conditions: tuple[str, ...] = tuple(CONDITIONS)
    libraries: tuple[str, ...] | None = None


#: Old shrinks of OSU018's cells: they are found beside it and tell nothing that it does not.
LEFT_OUT = ("osu035", "osu050")
QUICK = Config(("int8", "int4", "dint4", "int4z", "dint4z"))
FULL = Config((
    "int8", "int8z", "int4", "int4z", "int3", "dint4", "dint4_sm", "dint4z", "dint3", "fp4_e2m1",
))  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One unit in one library under one condition; ``pdk`` None is generic gates."""

    pdk: str | None
    condition: str
    weights: str

    @property
    def label(self) -> str:
        return f"{self.pdk or 'generic gates'} {self.weights} x int8, {self.condition}"

    def run(self) -> dict:
        from macsmith.experiments.measure import measure

        found = measure(
            "mac",
            spec_for(self.weights, self.condition),
            pdk=self.pdk or "none",
            booth=self.condition == "booth",
        )
        row = found.as_dict()
        del row["provenance"]  # the report carries it once
        return row | {"condition": self.condition}


def spec_for(weights: str, condition: str) -> MacSpec:
    """The spec of a weight format under a condition of CONDITIONS."""
    if condition != "enough":
        return MacSpec(weights, "int8", 32, "wrap")
    wide = MacSpec(weights, "int8", 62, "exact")
    return MacSpec(weights, "int8", wide.depth_width(DEPTH), "exact")


def jobs(config: Config) -> Iterator[Job]:
    """Every unit of ``config``, library by library; generic gates where there is none."""
    from macsmith.hw import pdk

    here = [found.name for found in pdk.available() if found.name not in LEFT_OUT]
    for library in config.libraries or here or [None]:
        for condition in config.conditions:
            for weights in config.weights:
                yield Job(library, condition, weights)


def ratios(rows: list[dict]) -> list[dict]:
    """INT8 over each other format, per library and condition.

    A ratio is None where one of the two misses its clock. Energy includes leakage over the period.
    Without a library areas are in NAND2 equivalents and there is no energy.
    """
    bases = {(r["library"], r["condition"]): r for r in rows if r["weights"] == "int8"}
    found = []
    for row in rows:
        base = bases.get((row["library"], row["condition"]))
        if base is None or row["weights"] == "int8":
            continue
        counts = row["met"] is not False and base["met"] is not False
        area = "area_um2" if row["area_um2"] is not None else "area_nand2"
        areas = counts and base[area] is not None and row[area] is not None
        energies = [_energy(r) for r in (base, row)]
        found.append({
            "library": row["library"] or "generic gates",
            "clock_ps": row["clock_ps"],
            "condition": row["condition"],
            "condition_text": CONDITIONS[row["condition"]],
            "weights": row["weights"],
            "area_ratio": base[area] / row[area] if areas else None,
            "energy_ratio": energies[0] / energies[1] if counts and all(energies) else None,
        })
    return found


def _energy(row: dict) -> float | None:
    if row["dynamic_pj"] is None:
        return None
    return row["dynamic_pj"] + row["leakage_pj"]
