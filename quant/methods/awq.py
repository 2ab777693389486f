"""AWQ: the scale of each channel that leaves the least error of weights alone."""

import torch

from macsmith.quant.blocks import Block
from macsmith.quant.groups import Group
from macsmith.quant.methods.clip import clip_group
from macsmith.quant.methods.grid import candidates
from macsmith.quant.methods.kinds import Method
from macsmith.quant.methods.objective import Objective
from macsmith.quant.methods.statistics import input_magnitude, weight_magnitude
from macsmith.quant.recipe import Recipe
from macsmith.quant.steps import Awq

__all__ = ["METHOD"]


def _scale(block: Block, group: Group, step: Awq, recipe: Recipe) -> torch.Tensor | None:
    if group.producer is None:
        return None
    x = input_magnitude(block.inputs(group.layers[0]), "mean")
    w = weight_magnitude(group, "mean") if step.grid == "2d" else None
    objective = Objective(block, group, recipe, step.samples, inputs_too=False)
    return objective.best(candidates(x, w, step.grid))[0]


def _clip(block: Block, group: Group, step: Awq, recipe: Recipe) -> None:
    if step.clip:
        clip_group(block, group, step, recipe, inputs_too=False)


METHOD = Method(scale=_scale, clip=_clip)
