"""The error of a quantized layer, and the bound on it that takes weights and inputs apart.

    ||W X - Q(W) Q(X)||  <=  ||(W - Q(W)) X||  +  ||Q(W) (X - Q(X))||
          total                   weights               inputs

W and X as they are in front of rounding: where a step has scaled channels, both are scaled, and
W X is what it was. Norms are Frobenius', over all tokens and output channels, in float64.
"""

from typing import NamedTuple

import torch
from torch import nn

from macsmith.quant.linear import QuantLinear
from macsmith.quant.tokens import fake_tokens

__all__ = ["ErrorBound", "error_bound"]


class ErrorBound(NamedTuple):
    """Norms of a layer's errors; biases, which are equal on both sides, are left out."""

    weights: float  # of rounding the weights
    inputs: float  # of rounding the inputs
    total: float  # of both together, measured
    output: float  # ||W X||, what they are to be compared with

    @property
    def bound(self) -> float:
        """What `total` never exceeds, but for float64's rounding."""
        return self.weights + self.inputs


@torch.no_grad()
def error_bound(layer: nn.Linear, quantized: QuantLinear, inputs: torch.Tensor) -> ErrorBound:
    """The norms for ``quantized``, made of ``layer``, on ``inputs`` [..., in_features].

    ValueError if the two differ in shape, or an input is not finite.
    """
    shapes = [(m.in_features, m.out_features) for m in (layer, quantized)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"a layer of {shapes[1]} channels in and out is not made of {shapes[0]}")
    x = inputs.reshape(-1, quantized.in_features)
    seen = fake_tokens(x, quantized.spec.activations, quantized.activations).double()
    x, w, rounded = x.double(), layer.weight.double(), quantized.dequantized_weight().double()
    wanted = x @ w.T
    return ErrorBound(
        weights=(x @ (w - rounded).T).norm().item(),
        inputs=((x - seen) @ rounded.T).norm().item(),
        total=(wanted - seen @ rounded.T).norm().item(),
        output=wanted.norm().item(),
    )
