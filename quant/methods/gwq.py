"""GWQ: the weights that the loss feels most stay in float; the others are rounded to nearest."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from macsmith.quant.kept import Kept, index_dtype
from macsmith.quant.methods.kinds import Method
from macsmith.quant.recipe import Recipe
from macsmith.quant.steps import Gwq
from macsmith.quant.weights import QuantizedWeight, quantize_weight

__all__ = ["METHOD", "gradients", "largest"]


def gradients(
    model: nn.Module, layers: Mapping[str, nn.Linear], ids: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Gradient of the mean next-token loss with respect to each weight, the samples' sums.

    In the weights' dtype. ``ids`` is int64 [samples, length]. ValueError if a sample has no next
    token, the model no logits, or a gradient is not there or not finite.
    """
    if ids.shape[1] < 2:
        raise ValueError(f"gradients need samples of two tokens or more, got {ids.shape[1]}")
    weights = [layer.weight for layer in layers.values()]
    asked = [w.requires_grad for w in weights]
    total: list[torch.Tensor] = []
    try:
        for w in weights:
            w.requires_grad_(True)
        for row in ids.to(weights[0].device):
            found = _of_sample(model, weights, row, layers)
            total = [a + b for a, b in zip(total, found, strict=True)] if total else found
    finally:
        for w, before in zip(weights, asked, strict=True):
            w.requires_grad_(before)
    for name, g in zip(layers, total, strict=True):
        if not torch.isfinite(g).all():
            raise ValueError(f"layer {name!r}: its gradient is not finite")
    return dict(zip(layers, total, strict=True))


def largest(scores: Sequence[torch.Tensor], fraction: float) -> list[torch.Tensor]:
    """Where the largest magnitudes of all of ``scores`` are: bool, their shapes.

    As many as ``fraction`` of them rounded to a whole number; of equal ones the first. They are
    ordered on the first one's device, and each answer is on its own.
    """
    place = scores[0].device
    flat = torch.cat([x.detach().abs().flatten().to(place) for x in scores])
    mask = torch.zeros(flat.numel(), dtype=torch.bool, device=flat.device)
    mask[flat.argsort(descending=True, stable=True)[: round(fraction * flat.numel())]] = True
    parts = mask.split([x.numel() for x in scores])
    return [part.view(x.shape).to(x.device) for part, x in zip(parts, scores, strict=True)]


def _of_sample(
    model: nn.Module, weights: list[nn.Parameter], row: torch.Tensor, names: Mapping[str, nn.Linear]
) -> list[torch.Tensor]:
    with torch.enable_grad():
        logits = getattr(model(input_ids=row[None], use_cache=False), "logits", None)
        if logits is None:
            raise ValueError("gradients need a model with logits: a causal language model")
        loss = F.cross_entropy(logits[0, :-1].float(), row[1:].to(logits.device))
        found = torch.autograd.grad(loss, weights, allow_unused=True)
    for name, g in zip(names, found, strict=True):
        if g is None:
            raise ValueError(f"layer {name!r}: the loss does not depend on its weight")
    return list(found)


def _survey(
    model: nn.Module, layers: Mapping[str, nn.Linear], ids: torch.Tensor, step: Gwq
) -> dict[str, torch.Tensor]:
    found = gradients(model, layers, ids[: step.samples])
    if step.scope == "model":
        masks = largest(list(found.values()), step.fraction)
    else:
        masks = [largest([g], step.fraction)[0] for g in found.values()]
    return dict(zip(layers, masks, strict=True))


def _round(
    inputs: Sequence[torch.Tensor],
    weight: torch.Tensor,
    step: Gwq,
    recipe: Recipe,
    keep: torch.Tensor,
) -> QuantizedWeight:
    fmt, options = recipe.spec().weights, recipe.weights
    rounded = quantize_weight(weight.masked_fill(keep, 0), fmt, options)
    if not keep.any():
        return rounded
    rest = weight - rounded.dequantized(fmt, options.group_size)
    index = keep.flatten().nonzero()[:, 0].to(index_dtype(tuple(weight.shape)))
    value = rest[keep].to(getattr(torch, step.values))
    if not torch.isfinite(value).all():
        raise ValueError(f"a weight to be kept is too large for {step.values}: take float32")
    return rounded._replace(kept=Kept(index, value))


METHOD = Method(survey=_survey, round=_round)
