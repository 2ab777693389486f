"""QuantLinear: a linear layer of codes, computed in float or exactly as the hardware does.

                   .-- "float":  dequantize both, F.linear in float32 (fake quantization)
x --encode--> qa --+
                   '-- "exact":  sim.engine on the codes, accumulator and all
y + weights kept in float * dequantized x, + bias, in x's dtype
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from macsmith.quant.kept import Kept
from macsmith.quant.offset import add_offsets, input_sums
from macsmith.quant.recipe import Activations, Recipe
from macsmith.quant.tokens import Operands, fake_tokens, quantize_tokens
from macsmith.quant.weights import QuantizedWeight, quantize_weight
from macsmith.sim import engine
from macsmith.sim.spec import MacSpec

__all__ = ["EXECUTIONS", "QuantLinear"]

EXECUTIONS = ("float", "exact")


class QuantLinear(nn.Module):
    """y = x W^T + b with quantized x and W: (..., in_features) -> (..., out_features).

    Buffers: `qweight` codes [N, K]; `scale` float32 [N, G], of either sign, one per group of
    `group_size` input channels (the last group may be short; G = 1 is per channel); `zero_point`
    integer [N, G] or None; `offset` float32 [N, G], what all weights of a group are shifted by (see
    `macsmith.quant.offset`), or None; `bias` [N] or None; `kept_index` and `kept_value` [M],
    weights that are float beside the codes (see `Kept`), or None. Scales, offsets and kept weights
    keep their dtype whatever the module is cast to.

    Activations are quantized per token, from the token alone. "exact" follows `sim.golden.linear`:
    integers exact, then float32 in the stated order: groups, offsets, kept weights, the bias last;
    so a token's result does not depend on what else is in the batch. "float" is the same up to the
    rounding of a float32 sum, as long as the accumulator does not overflow: it has none.
    `execution` may be changed at any time. Where activations stay in float, the input is used as it
    is, in float32, and "exact" is refused. For inference: no gradient passes. ValueError on an
    input that is not finite.
    """

    #: Buffers that stay float32, or what they were, whatever the module is cast to.
    FLOAT32: ClassVar[tuple[str, ...]] = ("scale", "offset", "kept_value")
    errors: str = "all"  # that the weights have; others are of `CounterfactualLinear`

    def __init__(
        self,
        qweight: torch.Tensor,
        scales: torch.Tensor,
        zero_point: torch.Tensor | None,
        bias: torch.Tensor | None,
        *,
        spec: MacSpec,
        group_size: int = 0,
        activations: Activations = Activations(),  # noqa: B008  (frozen)
        kept: Kept | None = None,
        offset: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.out_features, self.in_features = qweight.shape
        self.spec = spec
        self.group_size = min(group_size or self.in_features, self.in_features)
        self.activations = activations
        groups = -(-self.in_features // self.group_size)
        for what, given in (("scale", scales), ("offset", offset)):
            if given is not None and given.shape != (self.out_features, groups):
                raise ValueError(
                    f"{what}: wanted shape {(self.out_features, groups)}, got {tuple(given.shape)}"
                )
        if activations.quantized:
            spec.check_depth(self.group_size)
        self.register_buffer("qweight", qweight)
        self.register_buffer("scale", scales.to(torch.float32))
        self.register_buffer("zero_point", zero_point)
        self.register_buffer("offset", None if offset is None else offset.to(torch.float32))
        self.register_buffer("bias", bias)
        for part in Kept._fields:
            self.register_buffer(f"kept_{part}", None if kept is None else getattr(kept, part))
        self.execution = "float"

    @classmethod
    @torch.no_grad()
    def from_float(
        cls, linear: nn.Linear, recipe: Recipe, weight: QuantizedWeight | None = None
    ) -> "QuantLinear":
        """`linear` with `weight`, or its own rounded to nearest; `linear` itself is not touched."""
        spec = recipe.spec()
        if weight is None:
            weight = quantize_weight(linear.weight, spec.weights, recipe.weights)
        bias = None if linear.bias is None else linear.bias.detach().clone()
        return cls(
            *weight[:3],
            bias,
            spec=spec,
            group_size=recipe.weights.group_size,
            activations=recipe.activations,
            kept=weight.kept,
            offset=weight.offset,
        )

    @property
    def execution(self) -> str:
        """ "float" or "exact"."""
        return self._execution

    @execution.setter
    def execution(self, execution: str) -> None:
        if execution not in EXECUTIONS:
            raise ValueError(f"execution must be one of {', '.join(EXECUTIONS)}, not {execution!r}")
        if execution == "exact" and (why := self.float_only):
            raise ValueError(why)
        self._execution = execution
        self._forget()  # decoded again when needed, released when not

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in_features) -> (..., out_features), same dtype."""
        y, seen = self._exact(x) if self._execution == "exact" else self._float(x)
        if self.kept is not None:
            self._add_kept(y, seen)
        if self.bias is not None:
            y = y + self.bias.float()
        return y.to(x.dtype).view(*x.shape[:-1], self.out_features)

    def quantize_input(self, x: torch.Tensor) -> Operands:
        """Per-token codes, scales and zero points of x (..., in_features), tokens flattened.

        ValueError if activations stay in float.
        """
        x = x.reshape(-1, self.in_features)
        return quantize_tokens(x, self.spec.activations, self.activations)

    def dequantized_weight(self) -> torch.Tensor:
        """The weight that codes and kept weights together stand for: float32 [N, K]."""
        weight = self._decoded()
        return weight if self.kept is None else self.kept.added_to(weight)

    @property
    def kept(self) -> Kept | None:
        """The weights in float beside the codes."""
        if self.kept_index is None:
            return None
        return Kept(self.kept_index, self.kept_value)

    @property
    def float_only(self) -> str | None:
        """Why there is no exact execution, if there is none."""
        if self.activations.quantized:
            return None
        return "exact execution needs quantized activations: these stay in float"

    def groups(self) -> list[slice]:
        """The input channels of each accumulation, in order."""
        ends = range(0, self.in_features, self.group_size)
        return [slice(k, min(k + self.group_size, self.in_features)) for k in ends]

    def __getattr__(self, name: str):
        if name == "weight":
            raise AttributeError(
                "a quantized layer has codes and no weight: leave layers out (`ignore`) whose "
                "weight the model reads itself"
            )
        return super().__getattr__(name)

    def extra_repr(self) -> str:
        w, a = self.spec.weights.name, "float"
        if self.activations.quantized:
            accumulator = f"{self.spec.acc_width}-bit {self.spec.overflow}"
            a = f"{self.spec.activations.name}, {accumulator}"
        groups = "" if self.scale.shape[1] == 1 else f", group_size={self.group_size}"
        groups += "" if self.offset is None else ", offset"
        if self.kept is not None:
            groups += f", {len(self.kept_index)} in float"
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, {w} x {a}"
            f"{groups}, execution={self.execution}"
        )

    def _decoded(self) -> torch.Tensor:
        """What codes, scales and offsets stand for: float32 [N, K]."""
        weight = QuantizedWeight(self.qweight, self.scale, self.zero_point, offset=self.offset)
        return weight.dequantized(self.spec.weights, self.group_size)

    def _float(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the codes give, float32 [T, N], and what the input is after quantization, [T, K]."""
        x = x.reshape(-1, self.in_features)
        seen = fake_tokens(x, self.spec.activations, self.activations)
        return F.linear(seen, self._decoded()), seen

    def _add_kept(self, y: torch.Tensor, x: torch.Tensor) -> None:
        if self._ranks is None:
            self._ranks = self.kept.ranks(self.in_features)
        for rows, columns, values in self._ranks:
            y[:, rows] += x[:, columns] * values

    def _exact(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The same through the engine; the second only if weights are kept."""
        a = self.quantize_input(x)
        if self._prepared is None:
            self._prepared = [
                engine.Weights.from_codes(
                    self.qweight[:, part],
                    self.spec,
                    None if self.zero_point is None else self.zero_point[:, g],
                )
                for g, part in enumerate(self.groups())
            ]
        y = engine.linear(a.codes, a.scale, a.zero.long(), self._prepared, self.scale)
        if self.offset is not None:
            add_offsets(y, input_sums(a, self.spec.activations, self.groups()), self.offset)
        return y, None if self.kept is None else a.dequantized(self.spec.activations)

    def _apply(self, fn, recurse: bool = True):
        fixed = {name: getattr(self, name) for name in self.FLOAT32}
        super()._apply(fn, recurse)
        for name, before in fixed.items():
            after = getattr(self, name)
            if before is not None and after.dtype != before.dtype:
                setattr(self, name, before.to(after.device))  # a cast would change the numbers
        self._forget()
        return self

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._forget()

    def _forget(self) -> None:
        self._prepared = self._ranks = None
