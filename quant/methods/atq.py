"""ATQ: outlier channels of activations shrunk into the range of the others."""

import torch

from macsmith.quant.blocks import Block
from macsmith.quant.groups import Group
from macsmith.quant.methods.kinds import Method
from macsmith.quant.methods.statistics import DEAD, input_magnitude
from macsmith.quant.recipe import Recipe
from macsmith.quant.steps import Atq

__all__ = ["METHOD", "shrinking"]


def shrinking(x: torch.Tensor, step: Atq) -> torch.Tensor:
    """Scales of channels whose largest magnitudes are ``x`` [K]; 1 where a channel is dead.

    All are 1 if what they are measured against, the quantile or the median, is that of a dead one.
    The quantile lies between the two nearest channels, in proportion; the median is the lower.
    """
    usual = x.quantile(step.quantile) if step.rule == "quantile" else x.median()
    if usual <= DEAD:
        return torch.ones_like(x)
    s = x / usual
    if step.rule == "quantile":
        return s.clamp(min=1)
    return torch.where(x > DEAD, s, torch.ones_like(s))


def _scale(block: Block, group: Group, step: Atq, recipe: Recipe) -> torch.Tensor | None:
    if group.producer is None:
        return None
    return shrinking(input_magnitude(block.inputs(group.layers[0]), "max"), step)


METHOD = Method(scale=_scale)
