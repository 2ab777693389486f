"""The error that a scale of a group's inputs leaves in the output of the module around it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from macsmith.quant.blocks import Block
from macsmith.quant.groups import Group
from macsmith.quant.recipe import Recipe
from macsmith.quant.tokens import fake_tokens
from macsmith.quant.weights import fake_weight

__all__ = ["Objective"]


class Objective:
    """Mean squared error of a group in quantized form, as a function of its scales.

    Measured at the output of the module that holds the group (attention, for queries, keys and
    values), or, with ``whole`` False or where there is none, at the outputs of its layers together.

    Parameters
    ----------
    block, group, recipe
    samples : int
        Of the block's, the first.
    inputs_too : bool
        Whether inputs are quantized, as Eq. 1 of Lee et al. has it; where activations stay in
        float it changes nothing.
    whole : bool
    """

    def __init__(
        self,
        block: Block,
        group: Group,
        recipe: Recipe,
        samples: int,
        *,
        inputs_too: bool,
        whole: bool = True,
    ) -> None:
        self.group, self.recipe = group, recipe
        self.inputs_too = inputs_too and recipe.activations.quantized
        self.spec = recipe.spec()
        watched = (group.parent,) if whole and group.parent is not None else group.layers
        self._calls = [(m, call) for m in watched for call in block.calls_of(m, samples)]
        self._columns = group.columns
        self._wanted = [call.of(m).float() for m, call in self._calls]

    def error(self, s: torch.Tensor) -> float:
        """Of scales ``s`` float32 [K]; 1 everywhere is plain rounding."""
        fmt, options = self.spec.weights, self.recipe.weights
        rounded = fake_weight(self._columns * s, fmt, options).div_(s)
        weights = rounded.split([layer.out_features for layer in self.group.layers])
        total, count = 0.0, 0
        with _replaced(self.group.layers, weights), self._quantized_inputs(s):
            for (module, call), wanted in zip(self._calls, self._wanted, strict=True):
                gap = call.of(module).float() - wanted
                total += gap.square_().sum(dtype=torch.float64).item()
                count += gap.numel()
        return total / count

    def best(self, candidates: Sequence[torch.Tensor]) -> tuple[torch.Tensor, float]:
        """The first of the candidates with the least error, and that error."""
        errors = [self.error(s) for s in candidates]
        k = min(range(len(errors)), key=errors.__getitem__)
        return candidates[k], errors[k]

    @contextmanager
    def _quantized_inputs(self, s: torch.Tensor) -> Iterator[None]:
        if not self.inputs_too:
            yield
            return

        seen: tuple[torch.Tensor, torch.Tensor] | None = None

        def quantize(_, args):
            nonlocal seen
            x = args[0]
            if seen is None or seen[0] is not x:  # layers of one input come one after the other
                found = fake_tokens(x.float() / s, self.spec.activations, self.recipe.activations)
                seen = x, found.mul_(s).to(x.dtype)
            return (seen[1], *args[1:])

        hooks = [layer.register_forward_pre_hook(quantize) for layer in self.group.layers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


@contextmanager
def _replaced(layers: Sequence[nn.Linear], weights: Sequence[torch.Tensor]) -> Iterator[None]:
    kept = [layer.weight.data for layer in layers]
    try:
        for layer, weight in zip(layers, weights, strict=True):
            layer.weight.data = weight.to(layer.weight.dtype)
        yield
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            layer.weight.data = weight
