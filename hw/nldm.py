"""Lookup tables of a Liberty library: a value over two axes, and interpolation between them."""

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["Table"]


@dataclass(frozen=True, slots=True)
class Table:
    """A function of (x, y), given on a grid: bilinear inside it, linearly extrapolated outside.

    The axes are those of the table's use, whatever order the library lists them in:

    ====================  ==========================  ===========================
    use                   x                           y
    ====================  ==========================  ===========================
    delay, slew           slew of the related pin/ps  load of the output/fF
    internal energy       the same                    the same
    setup, hold           slew of the data pin/ps     slew of the clock pin/ps
    ====================  ==========================  ===========================

    An axis with one point means that the value does not depend on it. Extrapolation continues the
    outermost cell of the grid, as OpenSTA does.
    """

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    rows: tuple[tuple[float, ...], ...] = field(repr=False)  # rows[i][j] = value at xs[i], ys[j]

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.xs) or any(len(row) != len(self.ys) for row in self.rows):
            shape = f"{len(self.rows)} x {len(self.rows[0]) if self.rows else 0}"
            raise ValueError(f"a {len(self.xs)} x {len(self.ys)} table has {shape} values")
        for axis in (self.xs, self.ys):
            if any(a >= b for a, b in pairwise(axis)):
                raise ValueError(f"the axis {axis} does not rise strictly")

    def at(self, x: float, y: float = 0.0) -> float:
        """The value at (x, y), in the table's own unit (ps or fJ)."""
        rows = self.rows
        if len(self.xs) == 1:
            row = rows[0]
            return row[0] if len(row) == 1 else _line(self.ys, row, y)
        i = _cell(self.xs, x)
        low, high = rows[i], rows[i + 1]
        if len(self.ys) == 1:
            v0, v1 = low[0], high[0]
        else:
            j = _cell(self.ys, y)
            t = (y - self.ys[j]) / (self.ys[j + 1] - self.ys[j])
            v0 = low[j] + t * (low[j + 1] - low[j])
            v1 = high[j] + t * (high[j + 1] - high[j])
        return v0 + (v1 - v0) * (x - self.xs[i]) / (self.xs[i + 1] - self.xs[i])


def _cell(axis: tuple[float, ...], value: float) -> int:
    """Index i of the grid cell [axis[i], axis[i + 1]] whose plane holds at `value`."""
    return min(max(bisect_right(axis, value) - 1, 0), len(axis) - 2)


def _line(axis: tuple[float, ...], row: tuple[float, ...], value: float) -> float:
    i = _cell(axis, value)
    return row[i] + (row[i + 1] - row[i]) * (value - axis[i]) / (axis[i + 1] - axis[i])
