"""Bias correction: what rounding adds to an output on average is taken off its bias."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from macsmith.quant.linear import QuantLinear
from macsmith.quant.methods.kinds import Method
from macsmith.quant.steps import BiasCorrection

__all__ = ["METHOD", "mean_error"]


def mean_error(
    inputs: Sequence[torch.Tensor], layer: nn.Linear, quantized: QuantLinear
) -> torch.Tensor:
    """Mean over all tokens of ``quantized``'s outputs less ``layer``'s, biases included: [N].

    Float64; outputs are float32 for inputs [tokens, K] in float32.
    """
    weight = layer.weight.float()
    bias = None if layer.bias is None else layer.bias.float()
    total = tokens = 0
    for x in inputs:
        total = total + (quantized(x) - F.linear(x, weight, bias)).double().sum(dim=0)
        tokens += len(x)
    return total / tokens


def _correct(
    inputs: Sequence[torch.Tensor], layer: nn.Linear, quantized: QuantLinear, step: BiasCorrection
) -> torch.Tensor:
    error = mean_error(inputs, layer, quantized)
    bias = -error if quantized.bias is None else quantized.bias.double() - error
    return bias.to(layer.weight.dtype)


METHOD = Method(correct=_correct)
