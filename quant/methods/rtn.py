"""Round to nearest."""

from macsmith.quant.methods.kinds import Method
from macsmith.quant.weights import quantize_weight

__all__ = ["METHOD"]


def _round(inputs, weight, step, recipe):
    return quantize_weight(weight, recipe.spec().weights, recipe.weights)


METHOD = Method(round=_round)
