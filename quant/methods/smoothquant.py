"""SmoothQuant: difficulty moved from activations to weights, by a fixed rule."""

import torch

from macsmith.quant.blocks import Block
from macsmith.quant.groups import Group
from macsmith.quant.methods.kinds import Method
from macsmith.quant.methods.statistics import DEAD, input_magnitude, weight_magnitude
from macsmith.quant.recipe import Recipe
from macsmith.quant.steps import SmoothQuant

__all__ = ["METHOD", "smoothing"]


def smoothing(x: torch.Tensor, w: torch.Tensor, alpha: float) -> torch.Tensor:
    """max|X|^alpha / max|W|^(1 - alpha) by channel, 1 where either is dead."""
    s = x.clamp(min=DEAD) ** alpha / w.clamp(min=DEAD) ** (1 - alpha)
    return torch.where((x > DEAD) & (w > DEAD), s.clamp(min=DEAD), torch.ones_like(s))


def _scale(block: Block, group: Group, step: SmoothQuant, recipe: Recipe) -> torch.Tensor | None:
    if group.producer is None or group.producer.weight.dim() != 1:
        return None  # not a norm
    x = input_magnitude(block.inputs(group.layers[0]), "max")
    return smoothing(x, weight_magnitude(group, "max"), step.alpha)


METHOD = Method(scale=_scale)
