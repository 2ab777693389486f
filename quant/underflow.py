"""Rounding and underflow: the two parts of a layer's weight error, after Eq. 4 of Lee et al. 2023.

With D = Q(W) - W, split into Du, where Q(W) is 0, and Dr, where it is not:

    E[(W X - Q(W) X)^2]  =  E[(Du X)^2]  +  E[(Dr X)^2]  +  2 E[(Du X)(Dr X)]
           total             underflow       rounding             cross

E is the mean over tokens and output channels. W and X are as they are in front of rounding: where a
step has scaled channels both are scaled, and clipped weights are W. X is in float. Sums and means
are float64.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from macsmith.quant.convert import quantize_
from macsmith.quant.linear import QuantLinear
from macsmith.quant.recipe import Recipe

__all__ = ["Terms", "analyse", "terms"]


class Terms(NamedTuple):
    """One layer's error, in squares of its output's unit."""

    layer: str  # its name in the model
    rounding: float
    underflow: float
    cross: float  # of either sign
    total: float  # measured by itself: the sum of the three but for float64's rounding
    output: float  # E[(W X)^2], what they are to be compared with
    zeroed: float  # part of the weights that are not 0 and round to 0


@torch.no_grad()
def terms(name: str, layer: nn.Linear, quantized: QuantLinear, inputs: torch.Tensor) -> Terms:
    """Eq. 4 for ``quantized``, made of ``layer``, on ``inputs`` [..., in_features].

    ValueError if the two differ in shape, or an input is not finite.
    """
    w, rounded = layer.weight.double(), quantized.dequantized_weight().double()
    if w.shape != rounded.shape:
        raise ValueError(
            f"layer {name!r}: a weight of {list(rounded.shape)} is not made of {list(w.shape)}"
        )
    x = inputs.reshape(-1, w.shape[1]).double()
    if not torch.isfinite(x).all():
        raise ValueError(f"layer {name!r}: its inputs are not finite")
    gap, zero = rounded - w, rounded == 0
    under, other = x @ gap.where(zero, 0).T, x @ gap.masked_fill(zero, 0).T
    live = w != 0
    return Terms(
        name,
        rounding=other.square().mean().item(),
        underflow=under.square().mean().item(),
        cross=2 * (under * other).mean().item(),
        total=(x @ w.T - x @ rounded.T).square().mean().item(),
        output=(x @ w.T).square().mean().item(),
        zeroed=((zero & live).sum() / live.sum().clamp(min=1)).item(),
    )


def analyse(
    model: nn.Module,
    recipe: Recipe | str | Path,
    calibration: torch.Tensor,
    progress: Callable[[int, int], None] | None = None,
) -> list[Terms]:
    """`Terms` of every layer in the model's blocks, in the order in which they are rounded.

    The model is quantized in place, as `quantize_` does it; each layer's X is what it was rounded
    on, so inputs come from what is quantized before. ``calibration`` is token ids [samples,
    length], which recipes that need none are measured on too. ValueError as of `quantize_`.
    """
    found: list[Terms] = []

    def watch(name: str, layer: nn.Linear, quantized: QuantLinear, inputs: list) -> None:
        found.append(terms(name, layer, quantized, torch.cat(inputs)))

    quantize_(model, recipe, calibration, progress=progress, watch=watch)
    return found
