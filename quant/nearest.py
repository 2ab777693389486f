"""Nearest levels of numbers: which level, and which code, as `sim.codec.thresholds` has them.

    integers      round half to even, clamp: what the thresholds of consecutive integers say
    other tables  v --floor((v - first threshold) * cells per unit)--> cell
                  cell --> thresholds in the cells below it, and its own: is v above that one?
    large tables  a binary search

Cells are so narrow that none holds two thresholds. The cell of a number never falls when the number
grows, however float32 rounds it, so a threshold in a cell below is below the number, and one in a
cell above is not: only the cell's own threshold is compared. It takes a fifth of a binary search's
time, and rounding half of that. Rows may have a zero point each; tables of all of them stand one
behind the other. Formats that would need too many cells are searched.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from macsmith.sim import codec
from macsmith.sim.formats import Format

__all__ = ["nearest", "nearest_codes"]

MOST_CELLS = 2**12  # tables that stay in the processor's first cache


def nearest(
    values: torch.Tensor, fmt: Format, zero_point: torch.Tensor | None = None
) -> torch.Tensor:
    """Levels, float32, of what `nearest_codes` gives for the same arguments: the same shape.

    For formats whose levels float32 holds.
    """
    if integers := _integers(fmt):
        low, high = integers
        if zero_point is None:
            return values.round().clamp_(low, high)
        z = zero_point.float()[:, None]
        return values.round().clamp_(low - z, high - z)
    tables, index = _found(values, fmt, zero_point)
    return tables.levels.index_select(0, index).view(values.shape)


def nearest_codes(
    values: torch.Tensor, fmt: Format, zero_point: torch.Tensor | None = None
) -> torch.Tensor:
    """Codes of the levels nearest to ``values`` (float32, in units of the scale): uint8 or int32.

    Any shape; or [R, K] with ``zero_point``, integers [R] of the format's own, one for each row.
    Out of range saturates; a format with zero points is at 0 where none are given. ``values`` must
    not be NaN.
    """
    if integers := _integers(fmt):
        low, high = integers
        level = values.round()
        if zero_point is not None:
            level += zero_point[:, None]
        index = level.clamp_(low, high).sub_(low).int().reshape(-1)
        tables = _tables(fmt, (0,), values.device)
    else:
        tables, index = _found(values, fmt, zero_point)
    return tables.codes.index_select(0, index).view(values.shape)


class _Tables(NamedTuple):
    """For Z zero points, one behind the other: L levels each, E = L - 1 thresholds, C cells.

    A zero point with fewer distinct levels than the others ends in thresholds of +inf.
    """

    levels: torch.Tensor  # (Z * L,) float32, ascending
    codes: torch.Tensor  # (Z * L,) of the levels; int32 above 8 bits: torch selects no uint16
    edges: torch.Tensor  # (Z, E) float32


class _Cells(NamedTuple):
    first: torch.Tensor  # (Z,) float32: the first threshold
    per_unit: float
    below: torch.Tensor  # (Z * C,) int32: where the levels of a cell begin, in `_Tables.levels`
    own: torch.Tensor  # (Z * C,) float32: the cell's threshold, inf where it has none

    @property
    def count(self) -> int:
        """C."""
        return len(self.own) // len(self.first)

    def of(self, values: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        """Cells as float32: 0 below ``first``, the last above the last threshold."""
        return (values - first).mul_(self.per_unit).add_(1).clamp_(0, self.count - 1)


@lru_cache(maxsize=64)
def _integers(fmt: Format) -> tuple[int, int] | None:
    """The ends, at zero point 0, of levels that are consecutive integers at each; else None."""
    every = sorted(set(fmt.levels))
    moved = not fmt.zero_pointed or len(fmt.affine) == len(fmt.levels)  # all of them, or none
    if fmt.frac_bits or not moved or every != list(range(every[0], every[-1] + 1)):
        return None
    # A single level has no thresholds, and float32 must add what is clamped without rounding.
    return (every[0], every[-1]) if 1 < len(every) <= 2**20 else None


def _found(
    values: torch.Tensor, fmt: Format, zero_point: torch.Tensor | None
) -> tuple[_Tables, torch.Tensor]:
    """Tables, and where in them is what is nearest to each of the values, in a row: int32."""
    if cells := _cells(fmt, values.device):
        tables = _tables(fmt, tuple(fmt.zero_points), values.device)
        if zero_point is None:
            cell = cells.of(values.reshape(-1), cells.first[0]).int()
        else:
            z = zero_point.long()
            cell = cells.of(values, cells.first[z, None]).int()
            cell = cell.add_((z * cells.count).int()[:, None]).reshape(-1)
        index = cells.below.index_select(0, cell)
        index += values.reshape(-1) > cells.own.index_select(0, cell)
        return tables, index
    if zero_point is None:
        tables = _tables(fmt, (0,), values.device)
        return tables, torch.bucketize(values.reshape(-1), tables.edges[0], out_int32=True)
    used, z = zero_point.long().unique(return_inverse=True)
    tables = _tables(fmt, tuple(used.tolist()), values.device)
    index = torch.searchsorted(tables.edges[z], values.contiguous(), out_int32=True)
    return tables, index.add_((z * (tables.edges.shape[1] + 1)).int()[:, None]).reshape(-1)


@lru_cache(maxsize=64)
def _tables(fmt: Format, zero_points: tuple[int, ...], device: torch.device) -> _Tables:
    rows = [codec.thresholds(fmt, z, "float32") for z in zero_points]
    longest = max(len(edges) for edges, _ in rows)
    edges = np.full((len(rows), longest), np.inf, np.float32)
    codes = np.zeros((len(rows), longest + 1), np.uint8 if fmt.width <= 8 else np.int32)
    levels = np.zeros(codes.shape, np.float32)
    for row, (z, (row_edges, row_codes)) in enumerate(zip(zero_points, rows, strict=True)):
        edges[row, : len(row_edges)] = row_edges
        codes[row, : len(row_codes)] = row_codes
        levels[row, : len(row_codes)] = np.array(fmt.levels_at(z))[row_codes]
    made = (torch.from_numpy(x).to(device) for x in (levels.reshape(-1), codes.reshape(-1), edges))
    return _Tables(*made)


@lru_cache(maxsize=64)
def _cells(fmt: Format, device: torch.device) -> _Cells | None:
    """None where they would be too many, or a format has no two thresholds to lie between."""
    if len(fmt.zero_points) * len(fmt.levels) > MOST_CELLS:
        return None
    tables = _tables(fmt, tuple(fmt.zero_points), torch.device("cpu"))
    rows = [row[row.isfinite()] for row in tables.edges]
    if min(map(len, rows)) < 2:
        return None
    # A little more than one cell to a gap.
    per_unit = 1.01 / min((row[1:] - row[:-1]).min().item() for row in rows)
    count = int(max((row[-1] - row[0]).item() for row in rows) * per_unit) + 3
    if count * len(rows) > MOST_CELLS:
        return None
    first, own = tables.edges[:, 0].clone(), torch.full((len(rows) * count,), torch.inf)
    cells = _Cells(first, per_unit, torch.zeros(len(own), dtype=torch.int32), own)
    for z, row in enumerate(rows):
        mine = cells.of(row, first[z]).int()
        if len(mine.unique()) < len(mine):
            return None
        part = slice(z * count, (z + 1) * count)
        cells.own[part][mine.long()] = row
        every = torch.arange(count, dtype=torch.int32)
        start = z * (tables.edges.shape[1] + 1)
        cells.below[part] = torch.searchsorted(mine, every, out_int32=True) + start
    return cells._replace(**{k: getattr(cells, k).to(device) for k in ("first", "below", "own")})
