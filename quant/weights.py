"""Weights to codes and back: round to nearest, one scale per output channel or per group.

A scale below 0 turns the format over: dINT4's levels -6..7 cover -7..6 then. Codes, levels and the
accumulator know nothing of it, and it is a factor like any other behind them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F

from macsmith.quant import codes, scale
from macsmith.quant.kept import Kept
from macsmith.quant.nearest import nearest
from macsmith.quant.recipe import Weights
from macsmith.sim.formats import Format

__all__ = [
    "QuantizedWeight",
    "by_group",
    "encode_scaled",
    "fake_weight",
    "quantize_weight",
    "scales_of",
]


class QuantizedWeight(NamedTuple):
    """Codes of a weight [N, K] in G groups of input channels, the last of which may be short."""

    codes: torch.Tensor  # (N, K), unsigned
    scale: torch.Tensor  # (N, G), float32, not 0; below 0 where the format is turned over
    zero_point: torch.Tensor | None  # (N, G), unsigned; zero-pointed formats only
    kept: Kept | None = None  # weights in float beside the codes
    offset: torch.Tensor | None = None  # (N, G), float32: what the codes' values are added to

    def dequantized(self, fmt: Format, group_size: int = 0) -> torch.Tensor:
        """The weight that the codes stand for, without what is kept beside: float32 [N, K]."""
        n, k = self.codes.shape
        q = by_group(self.codes, group_size)
        z = None if self.zero_point is None else self.zero_point.reshape(-1)
        u = _scaled(codes.levels(q, fmt, z), self.scale, fmt)  # (N * G, size)
        if self.offset is not None:
            u += self.offset.view(-1, 1)
        return u.view(n, -1)[:, :k]

    def split(self, rows: Sequence[int]) -> list["QuantizedWeight"]:
        """Weights of so many rows each, one above the other in this one; copies, none kept."""
        parts = [None if x is None else [y.clone() for y in x.split(list(rows))] for x in self]
        return [
            QuantizedWeight(*(None if x is None else x[i] for x in parts)) for i in range(len(rows))
        ]


def by_group(x: torch.Tensor, group_size: int) -> torch.Tensor:
    """[N, K] as [N * G, size]; size 0 is one group.

    A short last group is filled up with its own last column, which leaves its range as it is.
    """
    n, k = x.shape
    size = min(group_size or k, k)
    missing = -k % size
    if missing:
        x = torch.cat([x, x[:, -1:].expand(n, missing)], dim=1)
    return x.reshape(-1, size)


def scales_of(
    weight: torch.Tensor, fmt: Format, options: Weights
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Scales float32 [N, G] and zero points int64 [N, G] (or None) of the ranges of each group."""
    n = len(weight)
    lo, hi = (x.view(n, -1) for x in scale.ends(by_group(weight, options.group_size)))
    if fmt.zero_pointed:
        return scale.zero_pointed(lo, hi, fmt, options.steps, options.extend_to_zero)
    s = _symmetric(lo, hi, fmt, options)
    if options.orientation == "positive":
        return s, None
    turned = -_symmetric(-hi, -lo, fmt, options)  # as of the weight's negative
    if options.orientation == "tail":
        bottom, top = fmt.level_range
        better = ((-lo - hi) * (top + bottom)) > 0  # the longer tail is not the longer end's
    else:
        better = _error(weight, turned, fmt, options) < _error(weight, s, fmt, options)
    return torch.where(better, turned, s), None


def _symmetric(lo: torch.Tensor, hi: torch.Tensor, fmt: Format, options: Weights) -> torch.Tensor:
    if options.divisor == "ends":
        return scale.by_ends(lo, hi, fmt)
    return scale.symmetric(torch.maximum(-lo, hi), fmt, options.divisor)


def _error(
    weight: torch.Tensor, scales: torch.Tensor, fmt: Format, options: Weights
) -> torch.Tensor:
    """Sum of squared errors of each group's weights rounded to nearest: float64 [N, G]."""
    size = options.group_size
    rounded = QuantizedWeight(encode_scaled(weight, scales, None, fmt, size), scales, None)
    error = (rounded.dequantized(fmt, size) - weight).double().square()
    k = weight.shape[1]
    error = F.pad(error, (0, -k % min(size or k, k)))  # what fills a short group up counts nothing
    return error.view(*scales.shape, -1).sum(dim=-1)


def encode_scaled(
    weight: torch.Tensor,
    scales: torch.Tensor,
    zero_point: torch.Tensor | None,
    fmt: Format,
    group_size: int,
    offset: torch.Tensor | None = None,
) -> torch.Tensor:
    """Codes [N, K] of the levels nearest to each weight at given scales, zero points, offsets."""
    n, k = weight.shape
    rows = by_group(weight, group_size)
    if offset is not None:
        rows = rows - offset.reshape(-1, 1)
    z = None if zero_point is None else zero_point.reshape(-1)
    q = codes.encode_rows(rows / scales.reshape(-1, 1), fmt, z)
    return q.view(n, -1)[:, :k].contiguous()


def quantize_weight(weight: torch.Tensor, fmt: Format, options: Weights) -> QuantizedWeight:
    """Round to nearest. `weight` is [N, K] of any float dtype and is not modified.

    ValueError if it is not finite.
    """
    w = _finite(weight)
    s, z = scales_of(w, fmt, options)
    q = encode_scaled(w, s, z, fmt, options.group_size)
    return QuantizedWeight(q, s, None if z is None else z.to(codes.code_dtype(fmt)))


def fake_weight(weight: torch.Tensor, fmt: Format, options: Weights) -> torch.Tensor:
    """What is left of a weight after `quantize_weight`: float32 [N, K], without the codes."""
    w = _finite(weight)
    s, z = scales_of(w, fmt, options)
    rows = by_group(w, options.group_size) / s.reshape(-1, 1)
    u = _scaled(nearest(rows, fmt, None if z is None else z.reshape(-1)), s, fmt)
    return u.view(len(w), -1)[:, : w.shape[1]]


def _finite(weight: torch.Tensor) -> torch.Tensor:
    w = weight.detach().float()
    if not scale.all_finite(w):
        raise ValueError("the weight has values that are not finite")
    return w


def _scaled(level: torch.Tensor, scales: torch.Tensor, fmt: Format) -> torch.Tensor:
    """Values of levels [N * G, size] at scales [N, G], in the levels' place."""
    return level.mul_(scales.reshape(-1, 1) * 2.0**-fmt.frac_bits)
