"""Calibrated quantization: block by block, each step over the block before the next.

    for each block:   scale groups, clip rows, round layers, as the recipe's steps say
                      run it as it is by now: the inputs of the next

Within a block, every layer is rounded on the inputs that it has while the others are in float;
between blocks, inputs come from what is quantized already, as GPTQ's released code does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from macsmith.quant.attention import install, quantized_attentions
from macsmith.quant.blocks import Block, blocks_of
from macsmith.quant.groups import Group, fold, groups_of
from macsmith.quant.linear import QuantLinear
from macsmith.quant.methods import METHODS
from macsmith.quant.recipe import Recipe

__all__ = ["one_thread", "quantize_blocks"]

Progress = Callable[[int, int], None]


@torch.no_grad()
def quantize_blocks(
    model: nn.Module,
    layers: dict[str, nn.Linear],
    recipe: Recipe,
    ids: torch.Tensor,
    progress: Progress | None = None,
) -> None:
    """Replace, by the recipe's steps, those of ``layers`` that are in decoder blocks.

    Layers outside are left as they are. ``ids`` is int64 [samples, length]. ``progress(done,
    layers)`` is called after each layer. ValueError naming the layer if an input is not finite.
    """
    training, done = model.training, 0
    model.eval()  # no dropout in what is measured
    if recipe.attention:
        # Before any mask is made and kept; block by block it is enabled.
        install(model, recipe.attention, recipe.attention_specs(), list(layers), enabled=False)
    try:
        with one_thread():
            for block in blocks_of(model, layers, ids):
                groups = groups_of(block)
                for step in recipe.steps:
                    for name in _apply(model, block, groups, step, recipe):
                        done += 1
                        if progress:
                            progress(done, len(layers))
                        del block.layers[name]
                for attention in quantized_attentions(block.module):
                    attention.enabled = True
    finally:
        model.train(training)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch's operations: sums in the same order on every machine's cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _apply(
    model: nn.Module, block: Block, groups: list[Group], step, recipe: Recipe
) -> Iterator[str]:
    """One step on one block; yields the names of the layers that it has rounded."""
    method = METHODS[type(step)]
    if method.scale:
        for group in groups:
            s = method.scale(block, group, step, recipe)
            if s is not None:
                fold(group, s)
    if method.clip:
        for group in groups:
            method.clip(block, group, step, recipe)
    if method.round:
        made: dict[str, QuantLinear] = {}
        for group in groups:
            inputs = _finite(block, group) if step.calibrated else []
            for name, layer in zip(group.names, group.layers, strict=True):
                weight = method.round(inputs, layer.weight.detach().float(), step, recipe)
                made[name] = QuantLinear.from_float(layer, recipe, weight)
        for name, layer in made.items():
            model.set_submodule(name, layer)
            yield name


def _finite(block: Block, group: Group) -> list[torch.Tensor]:
    inputs = block.inputs(group.layers[0])
    if not all(torch.isfinite(x).all() for x in inputs):
        raise ValueError(f"layer {group.names[0]!r}: its calibration inputs are not finite")
    return inputs
