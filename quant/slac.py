"""SLAC: calibration samples as long as the task's sequences, and what their length decides.

    each length L:  samples [n, L] --> quantize a fresh model --> its result at the task's length
                             '--> H = 2 X X^T of each layer --> (H^-1)_{:,q} / (H^-1)_{q,q}

Lee et al. 2023, section 3.3, have no more of an algorithm than the choice of L; the ratio, OPTQ's
"weight update ratio", is what their Fig. 3 shows of it. How 128 samples change with L is not said:
that is the caller's `draw`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

import torch
from torch import nn

from macsmith.quant.convert import quantize_
from macsmith.quant.linear import QuantLinear
from macsmith.quant.methods.gptq import hessian, update_ratio
from macsmith.quant.recipe import Recipe
from macsmith.quant.steps import Gptq

__all__ = ["Point", "Sweep", "UpdateRatio", "layer_ratio", "sweep"]


class UpdateRatio(NamedTuple):
    """Magnitudes of a layer's update ratios, those of a column to itself (1) left out."""

    layer: str
    mean: float
    largest: float


@dataclass(frozen=True)
class Point:
    """What one calibration length gives."""

    length: int
    samples: int
    result: float  # of the quantized model, as `sweep` was told to measure it
    ratios: tuple[UpdateRatio, ...]  # in the order in which layers are rounded; empty if not asked

    @property
    def ratio(self) -> float | None:
        """Mean over the layers of their mean ratios."""
        return fmean(ratio.mean for ratio in self.ratios) if self.ratios else None


@dataclass(frozen=True)
class Sweep:
    """A result by calibration length, and how much it depends on it."""

    points: tuple[Point, ...]

    @property
    def mean(self) -> float:
        """Of the results over the lengths."""
        return fmean(point.result for point in self.points)

    @property
    def std(self) -> float:
        """Standard deviation of a sample (n - 1) over the lengths; 0 of a single one."""
        results = [point.result for point in self.points]
        return stdev(results) if len(results) > 1 else 0.0


@torch.no_grad()
def layer_ratio(name: str, inputs: Sequence[torch.Tensor], damping: float) -> UpdateRatio:
    """The update ratios of a layer with ``inputs`` [tokens, K], as OPTQ with ``damping`` has them.

    Columns that are 0 in all tokens move none and are not counted: how many there are depends on
    the length too. 0 where fewer than two are left; ValueError if there is but one column.
    """
    h = hessian(inputs)
    if len(h) < 2:
        raise ValueError(f"layer {name!r}: no update ratio of a single column")
    live = h.diagonal() > 0
    ratio = update_ratio(h, damping)[live][:, live].abs().fill_diagonal_(0)
    k = len(ratio)
    if k < 2:
        return UpdateRatio(name, 0.0, 0.0)
    return UpdateRatio(name, ratio.sum().item() / (k * (k - 1)), ratio.max().item())


def sweep(
    load: Callable[[], nn.Module],
    recipe: Recipe | str | Path,
    draw: Callable[[int], torch.Tensor],
    measure: Callable[[nn.Module], float],
    lengths: Sequence[int],
    *,
    ratios: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Quantize by ``recipe`` with samples of each of ``lengths``, and measure.

    ``load()`` gives the float model, a fresh one each time; ``draw(length)`` token ids [samples,
    length]; ``measure(model)`` a perplexity or a loss, best at the task's own length.
    ``progress(done, lengths)`` is called after each. The damping is that of the recipe's OPTQ, or
    its default. ValueError if there is no length, one of them twice, the recipe needs no
    calibration, a result is not finite, or as of `quantize_`.
    """
    recipe = Recipe.get(recipe)
    if not lengths or len(set(lengths)) < len(lengths):
        raise ValueError(f"lengths: wanted some, each once, got {list(lengths)}")
    if not recipe.calibrated:
        methods = ", ".join(step.method for step in recipe.steps)
        raise ValueError(f"no step of the recipe needs calibration, of any length: {methods}")
    damping = next((s.damping for s in recipe.steps if isinstance(s, Gptq)), Gptq().damping)
    points = []
    for length in lengths:
        found: list[UpdateRatio] = []

        def watch(name: str, layer: nn.Linear, made: QuantLinear, inputs: list, found=found):
            found.append(layer_ratio(name, inputs, damping))

        model, ids = load(), draw(length)
        if ids.dim() != 2 or ids.shape[1] != length:
            raise ValueError(f"samples: wanted {length} tokens each, got {list(ids.shape)}")
        quantize_(model, recipe, ids, watch=watch if ratios else None)
        result = float(measure(model))
        if not math.isfinite(result):
            raise ValueError(f"calibrated on {length} tokens the model's result is {result}")
        points.append(Point(length, len(ids), result, tuple(found)))
        if progress:
            progress(len(points), len(lengths))
    return Sweep(tuple(points))
