"""From ranges to scales. Every convention has a name; the paper's, where it has one, is default.

symmetric (formats without a zero point), s = max|x| / D, D in units of value:
    "both"   D = largest level that both signs have: int8 127, int4 7, dint4 6      (default)
    "mean"   D = half of the whole range of levels: int8 127.5, int4 7.5
    "full"   D = largest magnitude of any level: int8 128, int4 8; the other sign's end saturates
    "ends"   each sign over its own end, s = max(max x / D+, -min x / D-): dint4 7 and 6  (weights)

zero-pointed (weights), from a range [lo, hi]:
    s = (hi - lo) / p, z = round(-lo / s) clamped to 0..p, half to even
    "steps"   p = number of uniform steps: INT4 15, dINT4 13                        (the text's)
    "levels"  p = number of uniform levels: INT4 16, dINT4 14                       (its figure's)
    the range is first extended to contain 0, so that 0 is exact, unless `extend` is False

asymmetric (activations in a two's-complement format of b bits, range extended to contain 0):
    s = (hi - lo) / (2**b - 1), za = round(-lo / s) - 2**(b-1), code = clamp(round(x / s) + za)

Scales are float32. A row of nothing but zeros gets the least normal float32: no NaN, 0 stays 0.
"""

import torch

from macsmith.sim.formats import Format

__all__ = [
    "DIVISORS", "STEPS", "all_finite", "asymmetric", "by_ends", "ends", "symmetric", "zero_pointed",
]  # fmt: skip

DIVISORS = ("both", "mean", "full")
STEPS = ("steps", "levels")
TINY = torch.finfo(torch.float32).tiny


def symmetric(magnitude: torch.Tensor, fmt: Format, divisor: str = "both") -> torch.Tensor:
    """Scale of rows whose largest magnitude is `magnitude` (float32, any shape)."""
    lo, hi = fmt.level_range
    top = {"both": fmt.symmetric_level, "mean": (hi - lo) / 2, "full": max(hi, -lo)}
    if divisor not in top:
        raise ValueError(f"divisor must be one of {', '.join(DIVISORS)}, not {divisor!r}")
    return _quotient(magnitude, top[divisor] / 2**fmt.frac_bits)


def by_ends(lo: torch.Tensor, hi: torch.Tensor, fmt: Format) -> torch.Tensor:
    """The least scale at which the format's own ends reach both ends of rows in [lo, hi].

    An end that the format does not have is left out: what lies there saturates.
    """
    ends = fmt.level_range
    sides = [
        _quotient(x.clamp(min=0), top / 2**fmt.frac_bits)
        for x, top in ((-lo, -ends[0]), (hi, ends[1]))
        if top > 0
    ]
    return torch.stack(sides).amax(dim=0)


def zero_pointed(
    lo: torch.Tensor, hi: torch.Tensor, fmt: Format, steps: str = "steps", extend: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale (float32) and zero point (uint8 or uint16's worth, as int64) of ranges [lo, hi]."""
    if steps not in STEPS:
        raise ValueError(f"steps must be one of {', '.join(STEPS)}, not {steps!r}")
    top = len(fmt.affine) - 1
    if extend:
        lo, hi = lo.clamp(max=0), hi.clamp(min=0)
    scale = _quotient(hi - lo, top + (steps == "levels"))
    return scale, (-lo / scale).round().clamp(0, top).long()


def asymmetric(
    lo: torch.Tensor, hi: torch.Tensor, fmt: Format
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and zero point za (both float32; za is an integer of the format's own range)."""
    half = 2 ** (fmt.width - 1)
    lo, hi = lo.clamp(max=0), hi.clamp(min=0)
    scale = _quotient(hi - lo, 2 * half - 1)
    return scale, ((-lo / scale).round() - half).clamp(-half, half - 1)


def ends(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Least and largest of each row of [R, K]: [R] each, NaN where a row has one."""
    return rows.amin(dim=1), rows.amax(dim=1)  # torch.aminmax takes twenty times as long


def all_finite(x: torch.Tensor) -> bool:
    """Whether no element is NaN or infinite: then both ends are not, which is faster to see."""
    return not x.numel() or bool(torch.isfinite(torch.stack((x.amin(), x.amax()))).all())


def _quotient(x: torch.Tensor, divisor: float) -> torch.Tensor:
    # A tensor divisor: by a plain number, CUDA multiplies with the rounded reciprocal instead.
    return (x / x.new_tensor(divisor)).clamp(min=TINY)
