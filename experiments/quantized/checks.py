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
    """dINT4's underflow term is smaller than INT4's, layer by layer."""
    shares, gaps = {}, []
    for name in ("int4", "dint4"):
        every = [one for row in rows[model, name] for one in row["layers"]]
        shares[name] = median(one["underflow"] / one["total"] for one in every)
    for pair in zip(rows[model, "int4"], rows[model, "dint4"], strict=True):
        terms = ([one["underflow"] for one in row["layers"]] for row in pair)
        gaps.append([(b - a) / ((a + b) or 1) for a, b in zip(*terms, strict=True)])
    smaller = sum(gap < 0 for line in gaps for gap in line)
    by_layer = [fmean(column) for column in zip(*gaps, strict=True)]
    return {
        "text": (
            f"of the weights' error in the median layer underflow is {shares['int4']:.0%} for INT4 "
            f"and {shares['dint4']:.0%} for dINT4, and by itself is smaller for dINT4 in {smaller} "
            f"of {sum(map(len, gaps))} layers (the paper prints no numbers of its bars)"
        ),
        "verdict": verdict_of(fmean(by_layer), [by_layer]),
    }


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
