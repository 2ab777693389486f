"""AWEQ: channels whose activations and weights have the same range."""

from collections.abc import Sequence

import torch

from macsmith.quant.blocks import Block
from macsmith.quant.groups import Group
from macsmith.quant.methods.kinds import Method
from macsmith.quant.methods.statistics import DEAD
from macsmith.quant.recipe import Recipe
from macsmith.quant.steps import Aweq

__all__ = ["METHOD", "channel_ranges", "equalizing"]


def channel_ranges(rows: Sequence[torch.Tensor], kind: str) -> torch.Tensor:
    """Range of each column over all rows of all of ``rows`` [any, K]: float32 [K].

    "minmax": max - min. "absmax": twice the largest magnitude.
    """
    lows, highs = zip(*(x.aminmax(dim=0) for x in rows), strict=True)
    lo, hi = torch.stack(lows).amin(dim=0), torch.stack(highs).amax(dim=0)
    return hi - lo if kind == "minmax" else 2 * torch.maximum(-lo, hi)


def equalizing(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """sqrt(x / w) of ranges [K], 1 where either is dead."""
    live = (x > DEAD) & (w > DEAD)
    return torch.where(live, (x / w.clamp(min=DEAD)).sqrt(), torch.ones_like(x))


def _scale(block: Block, group: Group, step: Aweq, recipe: Recipe) -> torch.Tensor | None:
    if group.producer is None:
        return None
    x = channel_ranges(block.inputs(group.layers[0]), step.ranges)
    return equalizing(x, channel_ranges([group.columns], step.ranges))


METHOD = Method(scale=_scale, backwards=True)
