"""Exact against float execution, product by product, on identical inputs.

    input of a layer --+--> float32: dequantized codes, F.linear ---+--> largest difference
                       '--> exact: integers, accumulator, scales ---'

Both are to be the same but for the rounding of float32, and how far that can take them apart is
known: each of S roundings is off by no more than a part of 2**-24 of what the magnitudes of all
terms sum to, S being the K products of a sum, the steps from group to group, and the few behind
it. So

    |exact - float|  <=  S 2**-24 (sum over k of |x[k] w[n, k]| + |bias|)

unless the accumulator overflows, which float has none of. Attention's two products are compared in
the same way, on the operands that they meet in the model.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from macsmith.quant.attention import QuantAttention, named_attentions
from macsmith.quant.convert import quantized_layers, set_execution
from macsmith.quant.linear import QuantLinear
from macsmith.quant.recipe import Weights
from macsmith.quant.tokens import fake_tokens
from macsmith.quant.weights import fake_weight

__all__ = ["Difference", "compare"]

_FEW = 16  # roundings that are not of a sum: scales and their product, conversion, bias


@dataclass(frozen=True)
class Difference:
    """One layer, or product of attention, over all inputs of the run.

    Attributes
    ----------
    layer : str
        Its name in the model; attention's end in ":scores" and ":outputs".
    largest : float
        Magnitude of exact less float.
    ulps : float
        The largest in units of the last place of float32 numbers as large as the token's largest
        output.
    of_bound : float
        The largest part of the bound above that an output uses up: no more than 1 unless the
        accumulator overflows.
    outputs : int
        How many were compared.
    differing : int
        How many of them differ at all.
    """

    layer: str
    largest: float = 0.0
    ulps: float = 0.0
    of_bound: float = 0.0
    outputs: int = 0
    differing: int = 0

    @property
    def holds(self) -> bool:
        """Whether the bound does."""
        return self.of_bound <= 1

    def with_outputs(
        self, exact: torch.Tensor, float_: torch.Tensor, bound: torch.Tensor
    ) -> "Difference":
        """And these: [..., N], ``bound`` float64."""
        gap = (exact.double() - float_.double()).abs()
        top = float_.double().abs().amax(dim=-1, keepdim=True)
        tiny = torch.finfo(torch.float32).tiny
        unit = 2.0 ** (top.clamp(min=tiny).log2().floor() - 23)
        # Below the least normal number rounding is absolute.
        part = gap / (bound + tiny)
        return Difference(
            self.layer,
            max(self.largest, gap.max().item()),
            max(self.ulps, (gap / unit).max().item()),
            max(self.of_bound, part.max().item()),
            self.outputs + gap.numel(),
            self.differing + int((gap > 0).sum()),
        )


@torch.no_grad()
def compare(
    model: nn.Module,
    ids: torch.Tensor,
    batch: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Difference]:
    """`Difference` of every quantized layer, then of every product of attention.

    The model runs in float on token ids [samples, length], ``batch`` at a time, and is left in
    float. ``progress(done, samples)`` is called after each. ValueError if nothing is quantized,
    something has no exact execution, or the model did not run it.
    """
    set_execution(model, "exact")  # refused where there is none
    set_execution(model, "float")
    found: dict[str, Difference] = {}
    layers = dict(quantized_layers(model))
    attentions = named_attentions(model)
    for name in layers:
        found[name] = Difference(name)
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        with ExitStack() as stack:
            for name, layer in layers.items():
                stack.enter_context(_watched(name, layer, found))
            for name, attention in attentions.items():
                stack.enter_context(_watched_products(name, attention, found))
            for first in range(0, len(ids), batch):
                part = ids[first : first + batch]
                model(input_ids=part.to(device), use_cache=False)
                if progress:
                    progress(first + len(part), len(ids))
    finally:
        model.train(training)
        set_execution(model, "float")
    idle = [name for name, one in found.items() if not one.outputs]
    if attentions and len(found) == len(layers):  # not all of them attend, but some do
        idle.append("attention")
    if idle:
        raise ValueError(f"the model did not run {idle[0]!r}")
    return list(found.values())


@contextmanager
def _watched(name: str, layer: QuantLinear, found: dict[str, Difference]) -> Iterator[None]:
    def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
        x = args[0].detach().float().reshape(-1, layer.in_features)
        y = {}
        for layer.execution in ("exact", "float"):
            # Not by calling it: this hook would see that.
            y[layer.execution] = layer.forward(x)
        found[name] = found[name].with_outputs(y["exact"], y["float"], _bound(layer, x))

    handle = layer.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _bound(layer: QuantLinear, x: torch.Tensor) -> torch.Tensor:
    seen = fake_tokens(x, layer.spec.activations, layer.activations)
    kept = layer.kept
    weight = layer.dequantized_weight().double().abs()
    if layer.offset is not None:
        # What is added and what it is added to may cancel in the weight, and do not in the sums.
        offset = layer.offset.double().abs().repeat_interleave(layer.group_size, dim=1)
        weight = weight + 2 * offset[:, : layer.in_features]
    if kept is not None:
        weight = weight + kept._replace(value=kept.value.abs()).added_to(
            torch.zeros_like(weight, dtype=torch.float32)
        )
    size = seen.double().abs() @ weight.T
    if layer.bias is not None:
        size = size + layer.bias.double().abs()
    groups = layer.scale.shape[1]
    steps = layer.in_features + groups * (1 if layer.offset is None else 2)
    if kept is not None:
        rows = kept.index.long() // layer.in_features
        steps += int(rows.bincount().max()) if len(rows) else 0
    return _part(steps) * size


def _part(steps: int) -> float:
    u = (steps + _FEW) * 2.0**-24
    return u / (1 - u)  # of roundings one after the other


@contextmanager
def _watched_products(
    name: str, attention: QuantAttention, found: dict[str, Difference]
) -> Iterator[None]:
    """While inside, both of the products are computed in both executions."""
    options = attention.options
    attention.score = _product(f"{name}:scores", attention, "score", options.key, found)
    attention.mix = _product(f"{name}:outputs", attention, "mix", options.value, found)
    try:
        yield
    finally:
        del attention.score, attention.mix


def _product(
    name: str, attention: QuantAttention, which: str, weights: Weights, found: dict[str, Difference]
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """``attention``'s product ``which``, its float result, after both have been compared."""
    plain = getattr(attention, which)
    spec = attention.scores if which == "score" else attention.outputs

    def product(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        y = {}
        for attention.execution in ("exact", "float"):
            y[attention.execution] = plain(a, w)
        w = (w if which == "score" else w.transpose(2, 3)).float()  # (B, J, N, K)
        k = w.shape[-1]
        seen = fake_tokens(a.float(), spec.activations, attention.options.activations)
        rows = fake_weight(w.reshape(-1, k), spec.weights, weights).view(w.shape)
        rows = rows.double().abs().repeat_interleave(a.shape[1] // w.shape[1], dim=1)
        groups = -(-k // (weights.group_size or k))
        bound = _part(k + groups) * (seen.double().abs() @ rows.transpose(2, 3))
        before = found.get(name, Difference(name))
        found[name] = before.with_outputs(y["exact"], y["float"], bound)
        return y["float"]

    return product
