"""Activations to codes and back: one scale per token, from that token alone."""

from typing import NamedTuple

import torch

from macsmith.quant import codes, scale
from macsmith.quant.nearest import nearest
from macsmith.quant.recipe import Activations
from macsmith.sim.formats import Format

__all__ = ["Operands", "fake_tokens", "quantize_tokens"]


class Operands(NamedTuple):
    """Quantized activations of T tokens: value = (level(codes) - zero) * scale * 2**-frac_bits."""

    codes: torch.Tensor  # (T, K), unsigned
    scale: torch.Tensor  # (T,), float32
    zero: torch.Tensor  # (T,), float32 holding integers; 0 where the scheme is symmetric

    def dequantized(self, fmt: Format) -> torch.Tensor:
        """The activations that the codes stand for: float32 [T, K]."""
        return _values(codes.levels(self.codes, fmt), self.scale, self.zero, fmt)


def quantize_tokens(x: torch.Tensor, fmt: Format, options: Activations) -> Operands:
    """Codes, scales and zero points of x [T, K], any float dtype; x is not modified.

    ValueError if it is not finite, or if the scheme is "float".
    """
    if not options.quantized:
        raise ValueError("activations that stay in float have no codes")
    x, s, zero = _ranged(x, fmt, options)
    if not fmt.is_twos_complement:
        return Operands(codes.encode(x, fmt), s, zero)
    level = _clamped(x, zero, fmt)
    last = 2**fmt.width - 1
    if fmt.width <= 8:
        code = level.to(torch.int8).view(torch.uint8) & last
    else:
        code = (level.to(torch.int32) & last).to(torch.uint16)
    return Operands(code, s, zero)


def fake_tokens(x: torch.Tensor, fmt: Format, options: Activations) -> torch.Tensor:
    """What is left of x [..., K] after `quantize_tokens`: float32, the same shape.

    All of it where the scheme is "float". ValueError if it is not finite.
    """
    if not options.quantized:
        _check_finite(x)
        return x.detach().float()
    rows, s, zero = _ranged(x.reshape(-1, x.shape[-1]), fmt, options)
    level = _clamped(rows, zero, fmt) if fmt.is_twos_complement else nearest(rows, fmt)
    return _values(level, s, zero, fmt).view(x.shape)


def _ranged(
    x: torch.Tensor, fmt: Format, options: Activations
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x [T, K] in units of its scales, float32, a copy; scales and zero points [T]."""
    x = x.detach().float()
    lo, hi = scale.ends(x)
    if options.scheme == "token-asymmetric":
        s, zero = scale.asymmetric(lo, hi, fmt)
    else:
        s = scale.symmetric(torch.maximum(-lo, hi), fmt, options.divisor)
        zero = torch.zeros_like(s)
    _check_finite(s)
    return x / s[:, None], s, zero


def _clamped(x: torch.Tensor, zero: torch.Tensor, fmt: Format) -> torch.Tensor:
    """Levels of two's complement nearest to ``x`` [T, K] behind the zero points, in its place.

    Rounding half to even and clamping is what the format's thresholds say.
    """
    half = 2 ** (fmt.width - 1)
    return x.round_().add_(zero[:, None]).clamp_(-half, half - 1)


def _values(level: torch.Tensor, s: torch.Tensor, zero: torch.Tensor, fmt: Format) -> torch.Tensor:
    """(level - zero) s 2**-frac_bits by token, in the levels' place."""
    level -= zero[:, None]
    level *= (s * 2.0**-fmt.frac_bits)[:, None]
    return level


def _check_finite(x: torch.Tensor) -> None:
    if not scale.all_finite(x):
        raise ValueError("the input of a quantized layer is not finite")
