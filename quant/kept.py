"""Weights kept in float beside the codes: a sparse part of a layer, added in a stated order.

    y[t, n] = (what the codes give, scaled, float32)
    y[t, n] = y[t, n] + x[t, k] * v[n, k]      one k after the other, ascending, each step float32

x is what the activation codes stand for, so a layer has one input. The steps are the same in both
executions and on every device, and a token's result does not depend on what else is in the batch.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch

__all__ = ["Kept", "index_dtype"]


def index_dtype(shape: tuple[int, int]) -> torch.dtype:
    """What places in a weight [N, K] are kept in: int32, or int64 where that does not reach."""
    return torch.int32 if shape[0] * shape[1] <= 2**31 else torch.int64


class Kept(NamedTuple):
    """Values v at some places of a weight [N, K]; the codes there stand for 0, or nearest to it."""

    index: torch.Tensor  # (M,) integer, ascending: n * K + k
    value: torch.Tensor  # (M,) float16 or float32: the weight less what its code stands for

    def added_to(self, weight: torch.Tensor) -> torch.Tensor:
        """``weight`` float32 [N, K] with the values added at their places."""
        flat = weight.flatten().index_add(0, self.index.long(), self.value.float())
        return flat.view(weight.shape)

    def ranks(self, depth: int) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Rows, columns and values: first of each row's first place, then of its second..."""
        row, column = self.index.long() // depth, self.index.long() % depth
        first = torch.searchsorted(row, row)  # of the same row
        rank = torch.arange(len(row), device=row.device) - first
        return list(_by_rank(rank, row, column, self.value.float()))


def _by_rank(
    rank: torch.Tensor, *parts: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    order = rank.argsort(stable=True)
    counts = rank.bincount().tolist()
    yield from zip(*(part[order].split(counts) for part in parts), strict=True)
