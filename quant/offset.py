"""Offsets: a real number that every weight of a group is shifted by (DAQ's real zero point).

    w[n, k] = level(q[n, k]) s[n, g] 2**-frac_bits + o[n, g]

The codes and the accumulator know nothing of it. Beside them, in exact execution:

    i[t, g] = sum over the group of level(a[t, k]) - za[t]          an exact integer
    x[t, g] = float32(i[t, g]) * float32(sa[t] * 2**-frac_bits)     converted once
    y[t, n] = (what the codes give, scaled, float32)
    y[t, n] = y[t, n] + x[t, g] * o[n, g]                           group by group, float32
"""

from collections.abc import Sequence

import torch

from macsmith.quant import codes
from macsmith.quant.tokens import Operands
from macsmith.sim.formats import Format

__all__ = ["add_offsets", "input_sums"]


def input_sums(a: Operands, fmt: Format, groups: Sequence[slice]) -> torch.Tensor:
    """x above, float32 [T, G]."""
    level = codes.levels(a.codes, fmt).long() - a.zero.long()[:, None]  # (T, K)
    total = torch.stack([level[:, part].sum(dim=1) for part in groups], dim=1)
    return total.float() * (a.scale * 2.0**-fmt.frac_bits)[:, None]


def add_offsets(y: torch.Tensor, sums: torch.Tensor, offset: torch.Tensor) -> None:
    """Add to ``y`` float32 [T, N], in place, what ``offset`` [N, G] makes of ``sums`` [T, G]."""
    for x, o in zip(sums.T, offset.T, strict=True):
        y += x[:, None] * o
