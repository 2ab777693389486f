"""QuantLinear: a linear layer of codes, computed in float or exactly as the hardware does.

                   .-- "float":  dequantize both, F.linear in float32 (fake quantization)
x --encode--> qa --+
                   '-- "exact":  sim.engine on the codes, accumulator and all
y + bias, in x's dtype
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from macsmith.quant import codes, scale
from macsmith.quant.recipe import Activations, Recipe, Weights
from macsmith.sim import engine
from macsmith.sim.spec import MacSpec

__all__ = ["EXECUTIONS", "Operands", "QuantLinear", "quantize_weight"]

EXECUTIONS = ("float", "exact")


class Operands(NamedTuple):
    """Quantized activations of T tokens: value = (level(codes) - zero) * scale * 2**-frac_bits."""

    codes: torch.Tensor  # (T, K), unsigned
    scale: torch.Tensor  # (T,), float32
    zero: torch.Tensor  # (T,), float32 holding integers; 0 where the scheme is symmetric


class QuantLinear(nn.Module):
    """y = x W^T + b with quantized x and W: (..., in_features) -> (..., out_features).

    Buffers: `qweight` codes [N, K]; `scale` float32 [N, G], one per group of `group_size` input
    channels (the last group may be short; G = 1 is per channel); `zero_point` integer [N, G] or
    None; `bias` [N] or None. The scales stay float32 whatever dtype the module is cast to.

    Activations are quantized per token, from the token alone. "exact" follows `sim.golden.linear`:
    integers exact, then float32 in the stated order, the bias added last; so a token's result does
    not depend on what else is in the batch. "float" is the same up to the rounding of a float32
    sum, as long as the accumulator does not overflow: it has none. `execution` may be changed at
    any time. For inference: no gradient passes. ValueError on an input that is not finite.
    """

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
    ) -> None:
        super().__init__()
        self.out_features, self.in_features = qweight.shape
        self.spec = spec
        self.group_size = min(group_size or self.in_features, self.in_features)
        self.activations = activations
        groups = -(-self.in_features // self.group_size)
        if scales.shape != (self.out_features, groups):
            raise ValueError(
                f"scale: wanted shape {(self.out_features, groups)}, got {tuple(scales.shape)}"
            )
        spec.check_depth(min(self.group_size, self.in_features))
        self.register_buffer("qweight", qweight)
        self.register_buffer("scale", scales.to(torch.float32))
        self.register_buffer("zero_point", zero_point)
        self.register_buffer("bias", bias)
        self.execution = "float"

    @classmethod
    @torch.no_grad()
    def from_float(cls, linear: nn.Linear, recipe: Recipe) -> "QuantLinear":
        """Round `linear`'s weight to nearest; `linear` itself is not touched."""
        spec = recipe.spec()
        parts = quantize_weight(linear.weight, spec, recipe.weights)
        bias = None if linear.bias is None else linear.bias.detach().clone()
        return cls(
            *parts,
            bias,
            spec=spec,
            group_size=recipe.weights.group_size,
            activations=recipe.activations,
        )

    @property
    def execution(self) -> str:
        """ "float" or "exact"."""
        return self._execution

    @execution.setter
    def execution(self, execution: str) -> None:
        if execution not in EXECUTIONS:
            raise ValueError(f"execution must be one of {', '.join(EXECUTIONS)}, not {execution!r}")
        self._execution = execution
        self._prepared = None  # decoded again when needed, released when not

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in_features) -> (..., out_features), same dtype."""
        a = self.quantize_input(x)
        y = self._exact(a) if self._execution == "exact" else self._float(a)  # (T, N) float32
        if self.bias is not None:
            y = y + self.bias.float()
        return y.to(x.dtype).view(*x.shape[:-1], self.out_features)

    def quantize_input(self, x: torch.Tensor) -> Operands:
        """Per-token codes, scales and zero points of x (..., in_features), tokens flattened."""
        fmt, scheme = self.spec.activations, self.activations.scheme
        x = x.detach().reshape(-1, self.in_features).float()  # (T, K)
        lo, hi = x.aminmax(dim=1)
        if scheme == "token-asymmetric":
            s, zero = scale.asymmetric(lo, hi, fmt)
        else:
            s = scale.symmetric(torch.maximum(-lo, hi), fmt, self.activations.divisor)
            zero = torch.zeros_like(s)
        if not torch.isfinite(s).all():
            raise ValueError("the input of a quantized layer is not finite")
        x = x / s[:, None]
        if not fmt.is_twos_complement:
            return Operands(codes.encode(x, fmt), s, zero)
        # Rounding half to even and clamping is what this format's thresholds say, only faster.
        half = 2 ** (fmt.width - 1)
        level = x.round_().add_(zero[:, None]).clamp_(-half, half - 1)
        if fmt.width <= 8:
            code = level.to(torch.int8).view(torch.uint8) & (2 * half - 1)
        else:
            code = (level.to(torch.int32) & (2 * half - 1)).to(torch.uint16)
        return Operands(code, s, zero)

    def dequantized_weight(self) -> torch.Tensor:
        """The weight that the codes stand for: float32 [N, K]."""
        n, size = self.out_features, self.group_size
        short = -self.in_features % size
        q = F.pad(self.qweight, (0, short)) if short else self.qweight
        z = None if self.zero_point is None else self.zero_point.reshape(-1)
        u = codes.levels(q.reshape(-1, size), self.spec.weights, z)  # (N * G, size)
        u *= self.scale.view(-1, 1) * 2.0**-self.spec.weights.frac_bits
        return u.view(n, -1)[:, : self.in_features]

    def groups(self) -> list[slice]:
        """The input channels of each accumulation, in order."""
        ends = range(0, self.in_features, self.group_size)
        return [slice(k, min(k + self.group_size, self.in_features)) for k in ends]

    def extra_repr(self) -> str:
        w, a = self.spec.weights.name, self.spec.activations.name
        groups = "" if self.scale.shape[1] == 1 else f", group_size={self.group_size}"
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, {w} x {a}, "
            f"{self.spec.acc_width}-bit {self.spec.overflow}{groups}, execution={self.execution}"
        )

    def _float(self, a: Operands) -> torch.Tensor:
        level = codes.levels(a.codes, self.spec.activations)  # (T, K)
        level -= a.zero[:, None]
        level *= (a.scale * 2.0**-self.spec.activations.frac_bits)[:, None]
        return F.linear(level, self.dequantized_weight())

    def _exact(self, a: Operands) -> torch.Tensor:
        if self._prepared is None:
            self._prepared = [
                engine.Weights.from_codes(
                    self.qweight[:, part],
                    self.spec,
                    None if self.zero_point is None else self.zero_point[:, g],
                )
                for g, part in enumerate(self.groups())
            ]
        return engine.linear(a.codes, a.scale, a.zero.long(), self._prepared, self.scale)

    def _apply(self, fn, recurse: bool = True):
        kept = self.scale
        super()._apply(fn, recurse)
        if self.scale.dtype != torch.float32:  # a cast to half precision would change the numbers
            self.scale = kept.to(self.scale.device)
        self._prepared = None
        return self

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._prepared = None


def quantize_weight(
    weight: torch.Tensor, spec: MacSpec, options: Weights
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Round-to-nearest codes [N, K], scales float32 [N, G], zero points [N, G] (or None).

    `weight` is [N, K] of any float dtype and is not modified. ValueError if it is not finite.
    """
    fmt = spec.weights
    n, k = weight.shape
    size = min(options.group_size or k, k)
    groups = -(-k // size)
    w = weight.detach().float()
    if not torch.isfinite(w).all():
        raise ValueError("the weight has values that are not finite")
    # A short last group is padded with its own last column, which leaves its range as it is.
    w = torch.cat([w, w[:, -1:].expand(n, groups * size - k)], dim=1).view(n * groups, size)
    lo, hi = w.aminmax(dim=1)  # (N * G,)
    z = None
    if fmt.zero_pointed:
        s, z = scale.zero_pointed(lo, hi, fmt, options.steps, options.extend_to_zero)
    else:
        s = scale.symmetric(torch.maximum(-lo, hi), fmt, options.divisor)
    q = codes.encode_rows(w / s[:, None], fmt, z)
    q = q.view(n, groups * size)[:, :k].contiguous()
    if z is not None:
        z = z.view(n, groups).to(codes.code_dtype(fmt))
    return q, s.view(n, groups), z
