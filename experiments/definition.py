"""Claim "definition": the shared definition rounds as Eq. 5 says.

Eq. 5 of arXiv 2311.05161 is typed here a second time, apart from the formats, and swept over a grid
that contains every threshold. Time: seconds.
"""

from fractions import Fraction

from macsmith.sim.catalog import get_format
from macsmith.sim.codec import encode

__all__ = ["compare", "equation_5", "run"]

FORMS = (("dint4", 0), ("dint3", 0), ("dint4_sm", 0), ("dint4z", 6), ("dint3z", 2))
GRID = 64  # points per step of the format


def equation_5(x: Fraction, lo: int, hi: int) -> Fraction:
    """The value that the paper's quantizer gives to x = X / s with integers lo..hi.

    Python's `round` is half to even, which is our choice where the paper says "round".
    """
    if Fraction(1, 4) < x <= Fraction(3, 4):
        return Fraction(1, 2)
    if Fraction(-3, 4) <= x < Fraction(-1, 4):
        return Fraction(-1, 2)
    return Fraction(max(lo, min(round(x), hi)))


def compare(name: str, zero_point: int) -> dict:
    """Sweep one form; how many points were compared and how many differ."""
    import numpy as np

    fmt = get_format(name)
    values = [Fraction(level, 2**fmt.frac_bits) for level in fmt.levels_at(zero_point)]
    lo, hi = int(min(values)), int(max(values))
    points = [Fraction(k, GRID) for k in range((lo - 1) * GRID, (hi + 1) * GRID + 1)]
    codes = encode(np.array([float(x) for x in points]), fmt, zero_point)
    wrong = [
        x
        for x, code in zip(points, codes.tolist(), strict=True)
        if values[code] != equation_5(x, lo, hi)
    ]
    return {
        "format": name,
        "zero_point": zero_point,
        "points": len(points),
        "mismatches": len(wrong),
        "levels": [float(v) for v in values],
    }


def run() -> list[dict]:
    """`compare` of every dINT form with specials at half a step."""
    return [compare(name, z) for name, z in FORMS]
