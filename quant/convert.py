"""Quantizes a model in place, by module name: no model class is known here."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from macsmith.quant.attention import install, quantized_attentions
from macsmith.quant.calibrate import Watch, quantize_blocks
from macsmith.quant.calibration import check_calibration, check_samples
from macsmith.quant.counterfactual import quantized_layer
from macsmith.quant.kept import Kept
from macsmith.quant.linear import EXECUTIONS, QuantLinear
from macsmith.quant.recipe import Recipe, matches
from macsmith.quant.scale import all_finite
from macsmith.quant.unfinished import key_of, unfinished
from macsmith.sim.spec import MacSpec

__all__ = [
    "LayerOperands",
    "layer_operands",
    "linear_layers",
    "quantize_",
    "quantized_by",
    "quantized_layers",
    "set_execution",
]

Progress = Callable[[int, int], None]


def quantize_(
    model: nn.Module,
    recipe: Recipe | str | Path,
    calibration: torch.Tensor | None = None,
    *,
    select: Callable[[str, nn.Linear], bool] | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
    work: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Quantize `model` in place and return the names of the layers that became `QuantLinear`.

    Every `nn.Linear` is taken whose name `recipe.ignore` does not match and that `select(name,
    layer)`, if given, accepts. `calibration` is token ids [samples, length] for the steps that need
    them; "rtn" needs none. Layers outside the model's decoder blocks are rounded to nearest.
    `progress(done, layers)` is called after each layer; `watch`, which needs calibration whatever
    the steps, as `calibrate.quantize_blocks` says.

    `work` is a folder in which every block is kept as soon as it is done: after a run that was
    killed, the same call on the model as loaded goes on behind them, and gives the same bits. It is
    made if need be, stays until the caller removes it or a ValueError comes, and is begun anew
    (which `say` is told) where recipe, calibration, model or version are others. Without
    calibration nothing is kept: rounding to nearest takes no longer than reading.

    ValueError, with the model as it was, if there is nothing to quantize, a name in `ignore` or in
    a step's `clip_skip` matches nothing, a parameter is not finite, or the calibration is not what
    is wanted: of another kind, or of fewer samples than a step asks for (see `steps`). Inputs that
    are not finite are found in the middle of it: the model is then to be loaded again.
    """
    recipe = Recipe.get(recipe)
    layers = linear_layers(model, recipe, select)
    names = list(layers)
    for name in names:
        _check(name, layers[name], recipe)
    for name, parameter in model.named_parameters():  # others too: they are saved with the model
        if not parameter.is_meta and not all_finite(parameter):
            raise ValueError(f"{name!r} has values that are not finite")
    needy = [f"method {step.method!r}" for step in recipe.steps if step.calibrated]
    if watch:
        needy.append("watch")
    if needy:
        ids = check_calibration(calibration, model, needy[0])
        check_samples(recipe, len(ids))
        if work and recipe.weights.errors != "all":
            raise ValueError(f"weights.errors {recipe.weights.errors!r}: nothing is kept of that")
        where = unfinished(work, key_of(model, recipe, ids, names), say) if work else nullcontext()
        with where as kept:
            quantize_blocks(model, layers, recipe, ids, progress, watch, kept, say)
    if recipe.attention:
        install(model, recipe, enabled=True)
    _round_to_nearest(model, layers, recipe, len(names), progress)
    if hasattr(model, "save_pretrained"):
        from macsmith.quant.hf import attach

        attach(model, recipe)
    return names


def linear_layers(
    model: nn.Module,
    recipe: Recipe,
    select: Callable[[str, nn.Linear], bool] | None = None,
) -> dict[str, nn.Linear]:
    """The layers that `quantize_` would take, by name, in the model's order."""
    # Exactly nn.Linear: a subclass may be read past its forward (attention's out_proj, adapters).
    found = {
        name: m
        for name, m in model.named_modules(remove_duplicate=False)
        if name and type(m) is nn.Linear and m.weight.numel()
    }
    patterns = [("ignore", pattern) for pattern in recipe.ignore if pattern != "lm_head"]
    for step in recipe.steps:
        patterns += [("clip_skip", pattern) for pattern in getattr(step, "clip_skip", None) or ()]
    for field, pattern in patterns:
        if not any(matches(name, pattern) for name in found):
            raise ValueError(f"{field}: {pattern!r} matches no linear layer of the model")
    layers = {
        name: layer
        for name, layer in found.items()
        if not recipe.ignores(name) and (select is None or select(name, layer))
    }
    if done := sum(1 for _ in quantized_layers(model)):
        raise ValueError(f"{done} layers of the model are quantized already")
    if by := quantized_by(model):  # its nn.Linear may hold codes
        raise ValueError(f"the model is quantized already, by {by}: wanted one in float")
    if not layers:
        raise ValueError(
            "the model has no linear layer to quantize "
            f"(it has {len(found)} nn.Linear, all left out)"
        )
    kept = {
        id(parameter): name
        for name, module in model.named_modules()
        if not (type(module) is nn.Linear and name in layers)
        for parameter in module.parameters(recurse=False)
    }
    for name, layer in layers.items():
        if id(layer.weight) in kept:
            raise ValueError(
                f"{name!r} shares its weight with {kept[id(layer.weight)]!r}, which stays in "
                "float: add it to ignore"
            )
    return layers


def quantized_layers(model: nn.Module) -> Iterator[tuple[str, QuantLinear]]:
    """(name, layer) of every quantized layer, in the model's order."""
    for name, module in model.named_modules():
        if isinstance(module, QuantLinear):
            yield name, module


def quantized_by(model: nn.Module) -> str | None:
    """By what a transformers model was quantized, in transformers' word; None where by nothing."""
    method = getattr(model, "quantization_method", None)
    return getattr(method, "value", method)  # an enumeration's, or the word itself


def set_execution(model: nn.Module, execution: str) -> int:
    """Make every quantized layer, and attention, compute in "float" or "exact"; how many layers.

    Nothing is calibrated or rounded again. ValueError on another word, or if no layer is quantized.
    """
    if execution not in EXECUTIONS:
        raise ValueError(f"execution must be one of {', '.join(EXECUTIONS)}, not {execution!r}")
    layers = [layer for _, layer in quantized_layers(model)]
    if not layers:
        raise ValueError("the model has no quantized layer: quantize it first")
    for part in (*layers, *quantized_attentions(model)):
        part.execution = execution
    return len(layers)


class LayerOperands(NamedTuple):
    """What one layer computes with: its MACs' codes, and all else that its output is made of."""

    a_codes: torch.Tensor  # (T, K) unsigned
    a_scale: torch.Tensor  # (T,) float32
    a_zero: torch.Tensor  # (T,) float32 integers
    w_codes: torch.Tensor  # (N, K) unsigned
    w_scale: torch.Tensor  # (N, G) float32
    zero_point: torch.Tensor | None  # (N, G) integer
    spec: MacSpec
    offset: torch.Tensor | None  # (N, G) float32: see `macsmith.quant.offset`
    kept: Kept | None  # weights in float beside the codes
    bias: torch.Tensor | None  # (N,)


@torch.no_grad()
def layer_operands(model: nn.Module, name: str, **inputs: Any) -> LayerOperands:
    """Operands that the quantized layer `name` meets when the model runs on `inputs`, all tokens.

    ValueError if there is no such quantized layer, it has no exact execution, or the model did not
    run it.
    """
    layer = dict(quantized_layers(model)).get(name)
    if layer is None:
        raise ValueError(f"{name!r} is no quantized layer of this model")
    if layer.float_only:
        raise ValueError(f"layer {name!r}: {layer.float_only}")
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        model(**inputs)
    finally:
        hook.remove()
    if not seen:
        raise ValueError(f"the model did not run {name!r}")
    a = layer.quantize_input(seen[0])
    return LayerOperands(
        *a,
        layer.qweight,
        layer.scale,
        layer.zero_point,
        layer.spec,
        layer.offset,
        layer.kept,
        layer.bias,
    )


def _check(name: str, layer: nn.Linear, recipe: Recipe) -> None:
    """ValueError if the layer cannot be quantized: on one of its rows, which is as deep as all."""
    if layer.weight.is_meta:
        raise ValueError(f"layer {name!r}: its weight is on no device: load without offloading")
    if not all_finite(layer.weight):
        raise ValueError(f"layer {name!r}: the weight has values that are not finite")
    ends = layer.weight.detach().float().aminmax()
    if not torch.isfinite(ends.max - ends.min):
        raise ValueError(f"layer {name!r}: the weight's range is more than float32 holds")
    row = nn.Linear(layer.in_features, 1, bias=False, device="meta")
    row.weight = nn.Parameter(layer.weight[:1].detach(), requires_grad=False)
    try:
        quantized_layer(row, recipe)
    except ValueError as error:
        raise ValueError(f"layer {name!r}: {error}") from None


def _round_to_nearest(
    model: nn.Module,
    layers: dict[str, nn.Linear],
    recipe: Recipe,
    total: int,
    progress: Progress | None,
) -> None:
    """Replace all of ``layers``, taking each out of the dictionary: its weight is free then."""
    together: dict[int, list[str]] = {}  # a layer used in several places stays one layer
    for name in layers:
        together.setdefault(id(layers[name]), []).append(name)
    done = total - len(layers)
    for names in together.values():
        made = quantized_layer(layers[names[0]], recipe)
        for name in names:
            model.set_submodule(name, made)
            del layers[name]
            done += 1
            if progress:
                progress(done, total)
