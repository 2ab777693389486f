"""Golden model in plain Python integers: slow, obvious, standard library only.

It is the contract: RTL, kernels, engine and quantized layers must equal it bit for bit. It shares
no code with what it checks except the level tables of the formats.
"""

import struct
from collections.abc import Sequence
from fractions import Fraction

from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

__all__ = ["dot", "encode", "float32", "linear", "overflow", "saturate", "trace", "wrap"]


def wrap(x: int, width: int) -> int:
    """Two's-complement value of the low ``width`` bits of ``x``.

    >>> wrap(127, 8), wrap(128, 8), wrap(-129, 8)
    (127, -128, 127)
    """
    low = x % 2**width
    return low - 2**width if low >= 2 ** (width - 1) else low


def saturate(x: int, width: int) -> int:
    """``x`` clamped to what ``width`` bits of two's complement hold.

    >>> saturate(127, 8), saturate(128, 8), saturate(-129, 8)
    (127, 127, -128)
    """
    return max(-(2 ** (width - 1)), min(x, 2 ** (width - 1) - 1))


def overflow(x: int, spec: MacSpec) -> int:
    """``x`` as the accumulator of ``spec`` keeps it ("exact" is checked by its width alone)."""
    return saturate(x, spec.acc_width) if spec.overflow == "saturate" else wrap(x, spec.acc_width)


def trace(
    a_codes: Sequence[int], w_codes: Sequence[int], spec: MacSpec, zero_point: int | None = None
) -> list[int]:
    """The accumulator after each product, of a sum that starts at 0.

    Within a group of ``lanes`` it is what the sum would be if the group ended there, as a short
    last group does.
    """
    if zero_point is None and spec.weights.zero_pointed:
        raise ValueError(f"{spec.weights.name} is zero-pointed: give zero_point")
    a_levels = spec.activations.levels
    w_levels = spec.weights.levels_at(zero_point or 0)
    base = group = 0
    seen = []
    for k, (a, w) in enumerate(zip(a_codes, w_codes, strict=True)):
        if not (0 <= a < len(a_levels) and 0 <= w < len(w_levels)):
            raise ValueError(f"product {k}: a={a} w={w} are not both codes of {spec}")
        if k % spec.lanes == 0:
            base, group = (seen[-1] if seen else 0), 0
        group += a_levels[a] * w_levels[w]
        seen.append(overflow(base + group, spec))
    return seen


def dot(
    a_codes: Sequence[int], w_codes: Sequence[int], spec: MacSpec, zero_point: int | None = None
) -> int:
    """Accumulator of one output after all products, in order; 0 if there are none.

    Codes are unsigned integers; ``zero_point`` is the weights' (zero-pointed formats only).
    ValueError if a code or the zero point is none of its format, or if overflow is "exact" and the
    width does not suffice for this many products.
    """
    spec.check_depth(len(a_codes))
    return (trace(a_codes, w_codes, spec, zero_point) or [0])[-1]


def encode(value: Fraction, fmt: Format, zero_point: int = 0) -> int:
    """Code of the level nearest to ``value``; beyond the table, the nearest end.

    A tie between two uniform levels goes to the even multiple of the step, any other tie to the
    smaller magnitude (and to the positive one where both are equal). Of codes with equal levels
    the lowest is produced. Brute force over the table.
    """
    levels = fmt.levels_at(zero_point)
    x = Fraction(value) * 2**fmt.frac_bits
    distance = min(abs(level - x) for level in levels)
    nearest = sorted({level for level in levels if abs(level - x) == distance})
    step = fmt.step
    if len(nearest) == 2 and step and nearest[1] - nearest[0] == step and nearest[0] % step == 0:
        nearest = [level for level in nearest if level // step % 2 == 0]
    level = min(nearest, key=lambda level: (abs(level), -level))
    return levels.index(level)


def float32(x: int | float) -> float:
    """``x`` rounded once to float32, half to even."""
    if isinstance(x, int) and abs(x) >= 2**53:  # a float64 on the way would round twice
        shift = abs(x).bit_length() - 54
        sticky = int(abs(x) & (2**shift - 1) > 0)
        x = (1 if x > 0 else -1) * ((abs(x) >> shift) | sticky) * 2**shift
    return struct.unpack("f", struct.pack("f", x))[0]


def linear(
    a_codes: Sequence[int],
    a_scale: float,
    a_zero: int,
    w_codes: Sequence[int],
    w_scales: Sequence[float],
    spec: MacSpec,
    *,
    zero_points: Sequence[int | None] = (None,),
) -> float:
    """One output of a linear layer as a float32, from one accumulation per scale group.

    y = (acc - za * sum u) * (sa * sw * 2**-frac_bits), each operation rounded to float32, groups
    added in order of k. ``w_scales`` (and ``zero_points``, or one for all) has one entry per group
    of ``ceil(K / groups)`` products; scales are float32 already.
    """
    size = -(-len(a_codes) // len(w_scales))
    total = None
    for g, w_scale in enumerate(w_scales):
        part = slice(g * size, (g + 1) * size)
        z = zero_points[g if len(zero_points) > 1 else 0]
        acc = dot(a_codes[part], w_codes[part], spec, z)
        levels = spec.weights.levels_at(z or 0)
        integer = acc - a_zero * sum(levels[w] for w in w_codes[part])
        scale = float32(float32(a_scale * w_scale) * 2.0**-spec.frac_bits)
        y = float32(float32(integer) * scale)
        total = y if total is None else float32(total + y)
    return total
