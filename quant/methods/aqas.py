"""AQAS: the scale of each channel that leaves the least error, activations quantized too."""

import torch

from macsmith.quant.blocks import Block
from macsmith.quant.groups import Group
from macsmith.quant.methods.clip import clip_group
from macsmith.quant.methods.grid import candidates
from macsmith.quant.methods.kinds import Method
from macsmith.quant.methods.objective import Objective
from macsmith.quant.methods.smoothquant import smoothing
from macsmith.quant.methods.statistics import input_magnitude, weight_magnitude
from macsmith.quant.recipe import Recipe
from macsmith.quant.steps import Aqas, SmoothQuant

__all__ = ["METHOD", "tried"]


def tried(block: Block, group: Group, step: Aqas) -> list[torch.Tensor]:
    """Scales [K] among which the step looks for the best, no scale and SmoothQuant's first."""
    inputs = block.inputs(group.layers[0])
    x = input_magnitude(inputs, step.representative)
    w = weight_magnitude(group, step.representative)
    # No scale and SmoothQuant's are candidates too, so that neither can be better.
    others = [
        torch.ones_like(x),
        smoothing(input_magnitude(inputs, "max"), weight_magnitude(group, "max"), _ALPHA),
    ]
    return [*others, *candidates(x, w, step.grid)]


def _scale(block: Block, group: Group, step: Aqas, recipe: Recipe) -> torch.Tensor | None:
    if group.producer is None:
        return None
    whole = step.objective == "attention"
    objective = Objective(block, group, recipe, step.samples, inputs_too=True, whole=whole)
    return objective.best(tried(block, group, step))[0]


def _clip(block: Block, group: Group, step: Aqas, recipe: Recipe) -> None:
    if step.clip:
        clip_group(block, group, step, recipe, inputs_too=True)


_ALPHA = SmoothQuant().alpha
METHOD = Method(scale=_scale, clip=_clip)
