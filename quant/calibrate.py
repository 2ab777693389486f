"""Calibrated quantization: block by block, each step over the block before the next.

    for each block:   scale groups, clip rows, round layers, correct, as the recipe's steps say
                      run it as it is by now: the inputs of the next

Within a block, every layer is rounded on the inputs that it has while the others are in float, or,
where a step's `inputs` is "layer", with those before it rounded; it is corrected with all of them
rounded. Between blocks, inputs come from what is quantized already, or, with the recipe's `prefix`
"float", from the float model.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from macsmith.quant.attention import install, quantized_attentions
from macsmith.quant.blocks import Block, blocks_of, inside_blocks, left_alone
from macsmith.quant.counterfactual import quantized_layer
from macsmith.quant.groups import Group, fold, groups_of, takes
from macsmith.quant.linear import QuantLinear
from macsmith.quant.methods import METHODS
from macsmith.quant.recipe import Recipe
from macsmith.quant.steps import Step
from macsmith.quant.unfinished import Unfinished
from macsmith.quant.weights import QuantizedWeight

__all__ = ["one_thread", "quantize_blocks", "scale_groups"]

Progress = Callable[[int, int], None]
Watch = Callable[[str, nn.Linear, QuantLinear, list[torch.Tensor]], None]


@torch.no_grad()
def quantize_blocks(
    model: nn.Module,
    layers: dict[str, nn.Linear],
    recipe: Recipe,
    ids: torch.Tensor,
    progress: Progress | None = None,
    watch: Watch | None = None,
    work: Unfinished | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Replace, by the recipe's steps, those of ``layers`` that are in decoder blocks.

    Layers outside are left as they are; the others are taken out of ``layers``, so that each
    block's float weights are free once it is done. ``ids`` is int64 [samples, length].
    ``progress(done, layers)`` is called after each layer; ``watch(name, layer, quantized, inputs)``
    when it has been rounded, with the float layer as the steps before left it and what it was
    rounded on, float32 [tokens, K] by call of its block. Blocks that ``work`` has are taken from
    it, without ``watch``; others are written there. ``say`` is told how many layers have an input
    that no step could scale. ValueError naming the layer if an input is not finite.

    What is added to the model's memory is that of about two blocks, however many there are, and of
    the hidden states of all samples, once (with `prefix` "float" twice). What a layer gets is there
    call by call (`blocks.TOKENS` tokens or one sample), but of all samples for ``watch`` and of a
    step's for one that searches (its ``samples``). A step with a survey ("gwq") looks at the
    gradients of all layers at once.
    """
    training, total = model.training, len(layers)
    unscaled: list[str] = []
    model.eval()  # no dropout in what is measured
    if recipe.attention:
        # Before any mask is made and kept; block by block it is enabled.
        install(model, recipe, enabled=False)
        for block in left_alone(model, layers):
            for attention in quantized_attentions(block):
                attention.enabled = True
    stops = [n for step in recipe.steps if (n := _samples(step))]
    try:
        with one_thread():
            found = {
                step: METHODS[type(step)].survey(model, inside_blocks(model, layers), ids, step)
                for step in recipe.steps
                if METHODS[type(step)].survey
            }
            blocks = blocks_of(model, layers, ids, stops, as_given=recipe.prefix == "float")
            for index, block in enumerate(blocks):
                names = list(block.layers)
                if not (work and work.restore(index, block.name, block.module, names, recipe)):
                    block.check()
                    groups = groups_of(block)
                    for name in _quantize(model, block, groups, recipe, found, watch):
                        if progress:
                            progress(total - len(layers) + 1, total)
                        del block.layers[name], layers[name]
                    unscaled += [n for group in groups if not group.producer for n in group.names]
                    if work:
                        work.save(index, block.name, block.module)
                elif progress:
                    progress(total - len(layers) + len(names), total)
                for name in names:
                    block.layers.pop(name, None)
                    layers.pop(name, None)
                for attention in quantized_attentions(block.module):
                    attention.enabled = True
    finally:
        model.train(training)
    if unscaled and any(METHODS[type(step)].scale for step in recipe.steps):
        say(
            f"{len(unscaled)} of {total} layers have an input that can be scaled nowhere, and keep "
            f"it: {unscaled[0]}, .."
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch's operations: sums in the same order on every machine's cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _quantize(
    model: nn.Module,
    block: Block,
    groups: list[Group],
    recipe: Recipe,
    found: Mapping[Step, dict[str, torch.Tensor]],
    watch: Watch | None,
) -> Iterator[str]:
    """All steps on one block; yields the names of its layers as they are rounded."""
    for step in recipe.steps:
        yield from _apply(model, block, groups, step, recipe, found.get(step), watch)


def _apply(
    model: nn.Module,
    block: Block,
    groups: list[Group],
    step,
    recipe: Recipe,
    found: Mapping[str, torch.Tensor] | None,
    watch: Watch | None,
) -> Iterator[str]:
    """One step on one block; yields the names of the layers that it has rounded."""
    method = METHODS[type(step)]
    if method.scale:
        scale_groups(block, groups, step, recipe)
    if method.clip:
        for group in groups:
            method.clip(block, group, step, recipe)
    if method.round:
        made: dict[str, QuantLinear] = {}
        for group in groups:
            inputs = block.inputs(group.layers[0]) if step.calibrated or watch else []
            inputs = list(inputs) if watch else inputs
            mine = inputs[: block.until(_samples(step))]
            weights = _rounded(mine, group, step, recipe, found)
            for name, layer, weight in zip(group.names, group.layers, weights, strict=True):
                made[name] = quantized_layer(layer, recipe, weight)
                if watch:
                    watch(name, layer, made[name], inputs)
            if getattr(step, "inputs", "block") == "layer":
                _put(model, made)
        _put(model, made)
        yield from made
    if method.correct:
        for attention in quantized_attentions(block.module):
            attention.enabled = True  # what is corrected is the block as it will run
        for group in groups:
            layers = [model.get_submodule(name) for name in group.names]
            inputs = block.inputs(layers[0])
            for layer, made_of in zip(layers, group.layers, strict=True):
                layer.bias = method.correct(inputs, made_of, layer, step)


def _rounded(
    inputs: Sequence[torch.Tensor],
    group: Group,
    step,
    recipe: Recipe,
    found: Mapping[str, torch.Tensor] | None,
) -> list[QuantizedWeight]:
    """Of each of the group's layers."""
    method = METHODS[type(step)]
    if method.by_row:
        rows = [layer.out_features for layer in group.layers]
        try:
            return method.round(inputs, group.columns, step, recipe).split(rows)
        except ValueError as error:
            raise ValueError(f"layer {group.names[0]!r}: {error}") from None
    weights = []
    for name, layer in zip(group.names, group.layers, strict=True):
        mine = () if found is None else (found[name],)
        try:
            weight = layer.weight.detach().float()
            weights.append(method.round(inputs, weight, step, recipe, *mine))
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from None
    return weights


def _samples(step) -> int | None:
    """Of the calibration, how many a step reads; None for all."""
    return getattr(step, "samples", None)


def scale_groups(block: Block, groups: list[Group], step, recipe: Recipe) -> None:
    """Fold the scales of a step that has them into the block, group by group.

    A group whose scale would change what the block computes loses its producer.
    """
    method = METHODS[type(step)]
    places = range(len(groups))
    for k in reversed(places) if method.backwards else places:
        s = method.scale(block, groups[k], step, recipe)
        if s is None:
            continue
        if takes(block, groups[k], s):
            fold(groups[k], s)
        else:
            groups[k] = replace(groups[k], producer=None)


def _put(model: nn.Module, layers: Mapping[str, QuantLinear]) -> None:
    for name, layer in layers.items():
        model.set_submodule(name, layer)
