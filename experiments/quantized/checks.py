"""What some claims say besides the order of their rows: one check for each model.

A check has `model`, `text` (both numbers: measured, and the paper's) and `verdict`, as orderings
have; it is always what its table is there to show.
"""

import math
from collections.abc import Callable
from statistics import fmean, median, stdev
from typing import Any

from macsmith.experiments.quantized.compare import Rows, compared, verdict_of
from macsmith.experiments.quantized.papers import ATQ_INCREASE, DAQ, printed

__all__ = ["CHECKS"]

_LENGTHS = (64, 128, 512)


def _slac(model: str, rows: Rows) -> dict[str, Any]:
    """With AQAS the calibration length matters less: standard deviation of the loss over it."""
    spreads, ratios, paper = {}, {}, {}
    for steps in ("gptq", "aqas-gptq"):
        names = [f"{steps}-int4z@{length}" for length in _LENGTHS]
        by_seed = list(zip(*(rows[model, name] for name in names), strict=True))
        spreads[steps] = [stdev(row["loss"] for row in one) for one in by_seed]
        means = [[fmean(part["mean"] for part in row["layers"]) for row in one] for one in by_seed]
        ratios[steps] = " ".join(f"{fmean(line):.4f}" for line in zip(*means, strict=True))
        paper[steps] = stdev(printed("1").rows[name]["llama-7b"] for name in names)
    gaps = [a - b for a, b in zip(spreads["aqas-gptq"], spreads["gptq"], strict=True)]
    return {
        "text": (
            f"spread of the loss over calibration lengths {_LENGTHS}: "
            f"{fmean(spreads['gptq']):.4f} nats by OPTQ, {fmean(spreads['aqas-gptq']):.4f} by AQAS "
            f"and OPTQ (the paper, in points of accuracy: {paper['gptq']:.2f} and "
            f"{paper['aqas-gptq']:.2f}); mean update ratio at these lengths: {ratios['gptq']} and "
            f"{ratios['aqas-gptq']}"
        ),
        "verdict": verdict_of(fmean(gaps), [gaps]),
    }


def _atq(model: str, rows: Rows) -> dict[str, Any]:
    """Perplexity rises by less than one, whatever it is calibrated on."""
    full = rows[model, "full"][0]["loss"]
    worst = max(math.exp(row["loss"]) for row in rows[model, "w8a8-atq"]) - math.exp(full)
    return {
        "text": f"perplexity +{worst:.3f} at worst (the paper: below +{ATQ_INCREASE:g})",
        "verdict": "holds" if worst < ATQ_INCREASE else "reversed",
    }


def _daq(model: str, rows: Rows) -> dict[str, Any]:
    """The part of the best baseline's loss that the better of DAQ's rows takes off."""

    def lost(name: str) -> float:
        full = math.exp(rows[model, "full"][0]["loss"])
        return fmean(math.exp(row["loss"]) for row in rows[model, name]) - full

    best = min(("rtn-nf4", "gptq-nf4", "awq-nf4"), key=lost)
    ours = min(("daq-nf4", "awq-daq-nf4"), key=lost)
    part = f"{1 - lost(ours) / lost(best):.1%} of" if lost(best) > 0 else "nothing is lost by"
    paper = ", ".join(f"{mean:.1%} on {family}" for family, mean in DAQ.items())
    return {
        "text": f"{ours} takes off {part} {best}'s {lost(best):+.3f} (the paper: {paper})",
        "verdict": compared(rows[model, ours], rows[model, best])["verdict"],
    }


def _fig4(model: str, rows: Rows) -> dict[str, Any]:
    """Without its underflow INT4 loses less, by as large a part of the loss as the paper's."""
    paper = printed("4a").rows | {"full": {"opt-6.7b": printed("3").full["opt-6.7b"]}}
    theirs = {name: math.log(line["opt-6.7b"]) for name, line in paper.items()}
    ours = {name: fmean(row["loss"] for row in rows[model, name]) for name in theirs}
    part = _taken_off(theirs, "without-underflow")
    full = rows[model, "full"][0]["losses"]
    allowed = [
        {"losses": [a - part * (a - f) for a, f in zip(row["losses"], full, strict=True)]}
        for row in rows[model, "int4"]
    ]
    parts = "; ".join(
        f"{what} takes {_taken_off(ours, name):.0%} of INT4's loss off (the paper, in nats too: "
        f"{_taken_off(theirs, name):.0%})"
        for what, name in (
            ("leaving rounding out", "without-rounding"),
            ("leaving underflow out", "without-underflow"),
        )
    )
    return {
        "text": f"{_underflow(model, rows)}; {parts}",
        "verdict": compared(rows[model, "without-underflow"], allowed)["verdict"],
    }


def _taken_off(losses: dict[str, float], name: str) -> float:
    """The part of INT4's loss that row ``name`` is without; negative if it loses more."""
    return (losses["int4"] - losses[name]) / (losses["int4"] - losses["full"])


def _underflow(model: str, rows: Rows) -> str:
    """Eq. 4's term of underflow: a remark, since half steps leave dINT4 hardly another outcome."""
    terms = {
        name: [one for row in rows[model, name] for one in row["layers"]]
        for name in ("int4", "dint4")
    }
    share = {name: median(t["underflow"] / t["total"] for t in of) for name, of in terms.items()}
    pairs = list(zip(*terms.values(), strict=True))
    smaller = sum(b["underflow"] < a["underflow"] for a, b in pairs)
    return (
        f"of the weights' error in the median layer underflow is {share['int4']:.0%} for INT4 and "
        f"{share['dint4']:.0%} for dINT4, smaller in {smaller} of {len(pairs)} layers (no "
        "verdict: half the interval that rounds to 0 has hardly another outcome)"
    )


def _table9(model: str, rows: Rows) -> dict[str, Any]:
    """The special values' perplexities lie no farther apart than in the paper's widest column."""
    paper = printed("9").rows
    widest = max(
        max(row[column] for row in paper.values()) / min(row[column] for row in paper.values()) - 1
        for column in paper["aqas-gptq-dint4z"]
    )
    by_row = [[row["loss"] for row in rows[model, name]] for name in paper]
    apart = [math.exp(max(one) - min(one)) - 1 for one in zip(*by_row, strict=True)]
    mean = fmean(apart)
    return {
        "text": f"the three lie {mean:.2%} apart (the paper: up to {widest:.2%})",
        "verdict": verdict_of(mean - widest, [apart]) if len(apart) > 1 else "within the spread",
    }


#: By table: (model, rows) -> text and verdict.
CHECKS: dict[str, Callable[[str, Rows], dict[str, Any]]] = {
    "fig4": _fig4, "table9": _table9, "slac": _slac, "atq": _atq, "daq": _daq,
}  # fmt: skip
