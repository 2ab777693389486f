"""A limit for each row of a weight, by what it does to the layer's output (AWQ's released code)."""

from collections.abc import Sequence

import torch
from torch import nn

from macsmith.quant.blocks import Block
from macsmith.quant.groups import Group
from macsmith.quant.recipe import Recipe, matches
from macsmith.quant.roles import makes_scores
from macsmith.quant.tokens import fake_tokens
from macsmith.quant.weights import by_group, fake_weight

__all__ = ["SHRINKS", "clip_group", "clipped"]

#: Parts of a row's largest magnitude that are cut off: none, up to 45 %.
SHRINKS = tuple(k / 20 for k in range(10))


def clip_group(block: Block, group: Group, step, recipe: Recipe, *, inputs_too: bool) -> None:
    """Limit the weights of the group's layers in place, but those that ``step`` skips."""
    chosen = [
        layer
        for name, layer in zip(group.names, group.layers, strict=True)
        if not _skipped(block, name, layer, step)
    ]
    # No limit changes what they share.
    x = list(block.inputs(chosen[0], step.samples)) if chosen else []
    for layer in chosen:
        weight = clipped(layer.weight.detach().float(), x, recipe, inputs_too=inputs_too)
        layer.weight.data = weight.to(layer.weight.dtype)


def _skipped(block: Block, name: str, layer: nn.Linear, step) -> bool:
    if step.clip_skip is None:
        return makes_scores(block, name, layer)
    return any(matches(name, pattern) for pattern in step.clip_skip)


def clipped(
    weight: torch.Tensor, inputs: Sequence[torch.Tensor], recipe: Recipe, *, inputs_too: bool
) -> torch.Tensor:
    """``weight`` [N, K] with each row, or each group of one, limited to its best magnitude.

    The error of a limit is the mean square of the group's part of the output, against the layer's
    own; of equal ones the largest limit is taken.
    """
    spec, options = recipe.spec(), recipe.weights
    x = torch.cat(list(inputs))
    seen = fake_tokens(x, spec.activations, recipe.activations) if inputs_too else x
    n, k = weight.shape
    rows = by_group(weight, options.group_size)  # (N * G, size)
    size = rows.shape[1]
    most = rows.abs().amax(dim=1, keepdim=True).view(n, -1)  # (N, G)
    best = torch.full_like(most, torch.inf)
    limit = most.clone()
    parts = [slice(first, first + size) for first in range(0, k, size)]
    wanted = [x[:, here] @ weight[:, here].T for here in parts]
    for shrink in SHRINKS:
        tried = most * (1 - shrink)
        spread = tried.repeat_interleave(size, dim=1)[:, :k]
        rounded = fake_weight(weight.clamp(-spread, spread), spec.weights, options)
        for g, here in enumerate(parts):
            gap = (seen[:, here] @ rounded[:, here].T).sub_(wanted[g])
            error = gap.square_().mean(dim=0, dtype=torch.float64).float()
            better = error < best[:, g]
            best[:, g] = torch.where(better, error, best[:, g])
            limit[:, g] = torch.where(better, tried[:, g], limit[:, g])
    spread = limit.repeat_interleave(size, dim=1)[:, :k]
    return weight.clamp(-spread, spread)
