"""Nearest levels without codes, for searches that try thousands of scales.

    v --floor((v - first threshold) * cells per unit)--> cell --> thresholds in the cells below it
                                                              \\-> its own threshold: is v above it?

Cells are so narrow that none holds two thresholds. The cell of a number never falls when the number
grows, however float32 rounds it, so a threshold in a cell below is below the number, and one in a
cell above is not: only the cell's own threshold is compared. It takes a fifth of a binary search's
time. Formats that would need too many cells are searched.
"""

from functools import lru_cache
from typing import NamedTuple

import torch

from macsmith.sim import codec
from macsmith.sim.formats import Format

__all__ = ["nearest"]

MOST_CELLS = 2**12  # tables that stay in the processor's first cache


def nearest(values: torch.Tensor, fmt: Format) -> torch.Tensor:
    """Levels, float32, of the codes that `codes.encode` gives to ``values`` (any shape, float32).

    For formats without a zero point, whose levels float32 holds. ``values`` must not be NaN.
    """
    table = _table(fmt, values.device)
    flat = values.reshape(-1)
    if table.below is None:
        index = torch.bucketize(flat, table.edges)
    else:
        cell = _cell(flat, table).int()
        index = table.below.index_select(0, cell)
        index += flat > table.own.index_select(0, cell)
    return table.levels.index_select(0, index).view(values.shape)


class _Table(NamedTuple):
    levels: torch.Tensor  # (E + 1,) float32, ascending
    edges: torch.Tensor  # (E,) float32
    per_unit: float  # cells
    below: torch.Tensor | None  # (cells,) int32: thresholds in cells below; None without cells
    own: torch.Tensor | None  # (cells,) float32: the cell's threshold, inf where it has none


@lru_cache(maxsize=64)
def _table(fmt: Format, device: torch.device) -> _Table:
    edges, codes = (torch.from_numpy(x.copy()) for x in codec.thresholds(fmt, 0, "float32"))
    levels = torch.from_numpy(codec.level_table(fmt)[0].copy())[codes.long()].float()
    whole = _Table(levels.to(device), edges.to(device), 0.0, None, None)
    if len(edges) < 2:
        return whole
    per_unit = 1.01 / (edges[1:] - edges[:-1]).min().item()  # a little more than one to a gap
    count = int((edges[-1] - edges[0]).item() * per_unit) + 3
    if count > MOST_CELLS:
        return whole
    own = torch.full((count,), torch.inf)
    cells = _cell(edges, whole._replace(edges=edges, per_unit=per_unit, own=own)).int()
    if len(cells.unique()) < len(cells):
        return whole
    own[cells.long()] = edges
    below = torch.searchsorted(cells, torch.arange(count, dtype=torch.int32), out_int32=True)
    return whole._replace(per_unit=per_unit, below=below.to(device), own=own.to(device))


def _cell(values: torch.Tensor, table: _Table) -> torch.Tensor:
    """Cells as float32: 0 below the first threshold's, the last above the last's."""
    cell = (values - table.edges[0]).mul_(table.per_unit).add_(1)
    return cell.clamp_(0, len(table.own) - 1)
