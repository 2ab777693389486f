"""How often bits are 1 if weights are what they are in networks: bell-shaped, mostly small.

A hint for the order in which a tree adds: what is computed never depends on it.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from math import inf
from statistics import NormalDist

from macsmith.sim.formats import Format

__all__ = ["likelihoods", "ones"]

SIGMAS = 3.0  # of a channel's weights up to its largest one, which the largest level stands for


@lru_cache(maxsize=64)
def likelihoods(fmt: Format) -> dict[int, float]:
    """Of each level, at zero point 0: normal weights, rounded to the nearest level."""
    levels = sorted(set(fmt.levels))
    edges = [-inf, *((a + b) / 2 for a, b in pairwise(levels)), inf]
    normal = NormalDist(0, max(fmt.symmetric_level, 1) / SIGMAS)
    below = [normal.cdf(edge) for edge in edges]
    return {level: b - a for level, (a, b) in zip(levels, pairwise(below), strict=True)}


def ones(fmt: Format, digits: Callable[[int], Sequence[int]]) -> list[float]:
    """Per row how often a bit of it is 1.

    ``digits(level)`` says what each row takes. A row that takes 0 is all 0; in one that takes
    something a bit is as often 1 as 0.
    """
    likely = likelihoods(fmt)
    rows = zip(
        *([p * bool(digit) / 2 for digit in digits(level)] for level, p in likely.items()),
        strict=True,
    )
    return [sum(row) for row in rows]
