"""Two measured rows: which is better, and how sure that is.

difference  of two rows in nats per token, d[seed, piece]; its mean has the standard error
            sqrt(var over seeds / seeds + var over pieces / pieces): samples of calibration and
            text are what would be drawn anew
verdict     "holds" where the mean is more than SURE standard errors below 0, "reversed" where it is
            as many above, "within the spread" between
"""

import math
from collections.abc import Sequence
from statistics import fmean, variance
from typing import Any

__all__ = ["VERDICTS", "Rows", "compared", "verdict_of"]

SURE = 2.0  # standard errors
VERDICTS = ("holds", "within the spread", "reversed")

#: What `frame.measure` found, by model and row, for each seed.
Rows = dict[tuple[str, str], list[dict[str, Any]]]


def compared(better: list[dict], worse: list[dict]) -> dict[str, Any]:
    """Whether ``better`` is: the mean difference, negative if so, its error, and a verdict."""
    gaps = [
        [a - b for a, b in zip(x["losses"], y["losses"], strict=True)]
        for x, y in zip(better, worse, strict=True)
    ]
    draws = [fmean(row) for row in gaps], [fmean(column) for column in zip(*gaps, strict=True)]
    mean = fmean(draws[0])
    return {
        "difference": mean,
        "standard_error": standard_error(draws),
        "verdict": verdict_of(mean, draws),
    }


def standard_error(draws: Sequence[Sequence[float]]) -> float | None:
    """Of a mean over several kinds of draws at once; None if none was drawn twice."""
    parts = [variance(line) / len(line) for line in draws if len(line) > 1]
    return math.sqrt(sum(parts)) if parts else None


def verdict_of(mean: float, draws: Sequence[Sequence[float]]) -> str:
    """Of a difference that should be negative; without a spread nothing is sure."""
    error = standard_error(draws)
    if error is None or abs(mean) <= SURE * error:
        return VERDICTS[1]
    return VERDICTS[0 if mean < 0 else 2]
