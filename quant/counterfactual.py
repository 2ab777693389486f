"""Layers that make only one of the two errors of Eq. 4: what each of them costs by itself.

    "without-rounding"   W where Q(W) is not 0, else 0: weights that round to 0 do, no other does
    "without-underflow"  Q(W) where it is not 0, else W: weights that round to 0 stay as they are

Q(W) is what the recipe's steps make of the layer, W the layer as it was in front of rounding: the
counterfactuals of Fig. 4 of Lee et al. 2023. No hardware computes them, so there is no exact
execution, and such a model is not saved. Searches for scales see the whole error, as without.
"""

import torch
from torch import nn

from macsmith.quant.linear import QuantLinear
from macsmith.quant.recipe import Recipe
from macsmith.quant.weights import QuantizedWeight

__all__ = ["CounterfactualLinear", "quantized_layer"]


def quantized_layer(
    linear: nn.Linear, recipe: Recipe, weight: QuantizedWeight | None = None
) -> QuantLinear:
    """What stands for ``linear`` in a model quantized by ``recipe``; see `QuantLinear.from_float`.

    A `CounterfactualLinear` where the recipe leaves out some of the errors.
    """
    kind = QuantLinear if recipe.weights.errors == "all" else CounterfactualLinear
    return kind.from_float(linear, recipe, weight)


class CounterfactualLinear(QuantLinear):
    """A `QuantLinear` that computes with another weight than its codes': `mixed`, float32 [N, K].

    Attributes
    ----------
    errors : str
        "without-rounding" or "without-underflow".
    """

    FLOAT32 = (*QuantLinear.FLOAT32, "mixed")

    @classmethod
    @torch.no_grad()
    def from_float(
        cls, linear: nn.Linear, recipe: Recipe, weight: QuantizedWeight | None = None
    ) -> "CounterfactualLinear":
        made = super().from_float(linear, recipe, weight)
        made.errors = recipe.weights.errors
        w, rounded = linear.weight.detach().float(), QuantLinear._decoded(made)
        zero = rounded == 0
        if made.errors == "without-rounding":
            mixed = w.masked_fill(zero, 0)
        else:
            mixed = torch.where(zero, w, rounded)
        made.register_buffer("mixed", mixed)
        return made

    def _decoded(self) -> torch.Tensor:
        return self.mixed

    @property
    def float_only(self) -> str:
        """As of `QuantLinear`; there never is one."""
        return f"exact execution needs all of the weights' errors: these are {self.errors}"
