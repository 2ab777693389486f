"""`requantize` and `multiply_add` over numpy arrays: for a million results where golden has a few.

The same functions of the same specs, computed otherwise than golden does: in int64 instead of
fractions, and in float64 instead of integers.
"""

import numpy as np
from numpy.typing import NDArray

from macsmith.sim.floating import FLOAT32, FloatFormat
from macsmith.sim.requantize import RequantizeSpec

__all__ = ["WIDEST", "multiply_add", "requantize", "values"]

#: Bits of the widest product that `requantize` takes.
WIDEST = 64


def requantize(
    acc: NDArray[np.int64],
    multiplier: NDArray[np.int64],
    shift: NDArray[np.int64],
    zero_point: NDArray[np.int64],
    spec: RequantizeSpec,
    *,
    correction: NDArray[np.int64] | int = 0,
) -> NDArray[np.int64]:
    """`macsmith.sim.requantize.requantize` of every element, all int64 of one shape.

    Operands are not checked: they must fit the widths of ``spec``. ValueError if its products need
    more than WIDEST bits. One of 64 stays above -2**63, so that it can be negated, and below
    2**63 - 1, so that 1 can be added.
    """
    if spec.product_width > WIDEST:
        raise ValueError(
            f"products in arrays have at most {WIDEST} bits, not {spec.product_width}: {spec}"
        )
    product = (acc - correction) * multiplier
    if spec.rounding == "half-even":
        up = _half_up(product, shift)  # and half down is different at a tie only
        rounded = np.where(up & 1, -_half_up(-product, shift), up)
    elif spec.rounding == "half-away":
        rounded = _half_away(product, shift)
    elif spec.rounding == "half-up":
        rounded = _half_up(product, shift)
    else:
        first = np.minimum(shift, spec.multiplier_width)
        rounded = _half_away(_half_up(product, first), shift - first)
    low, high = spec.out_range
    reach = high - low  # beyond it no zero point brings a result back
    return np.clip(np.clip(rounded, -reach, reach) + zero_point, low, high)


def _half_up(x: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.int64]:
    """floor(x * 2**-shift + 1/2), without adding a half that int64 may not hold."""
    to_halves = np.clip(shift - 1, 0, WIDEST - 1)  # by more, int64 is its sign as well
    return np.where(shift > 0, ((x >> to_halves) + 1) >> 1, x)


def _half_away(x: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(x >= 0, _half_up(x, shift), -_half_up(-x, shift))


def values(codes: NDArray[np.int64], fmt: FloatFormat) -> NDArray[np.float64]:
    """What codes stand for, exactly; infinities, NaNs and the sign of a zero included."""
    fraction = codes & (2**fmt.fraction_bits - 1)
    exponent = codes >> fmt.fraction_bits & fmt.max_exponent
    significand = fraction + (exponent > 0) * 2**fmt.fraction_bits
    finite = np.ldexp(
        significand.astype(np.float64), np.maximum(exponent, 1) - fmt.bias - fmt.fraction_bits
    )
    beyond = np.where(fraction > 0, np.nan, np.inf)
    magnitude = np.where(exponent == fmt.max_exponent, beyond, finite)
    return np.where(codes >> (fmt.width - 1), -magnitude, magnitude)


def multiply_add(
    acc: NDArray[np.int64], w: NDArray[np.int64], a: NDArray[np.int64], fmt: FloatFormat
) -> NDArray[np.int64]:
    """`macsmith.sim.floating.multiply_add` in float32 of every element, codes as int64.

    A product has at most float32's 24 bits, so that float64 has it exactly. So it has a sum whose
    bits lie within 53. Of any other the smaller term is below 2**-28 of the greater: too little to
    reach or to leave a tie between two float32, which the greater is no nearer to than 2**-26 of
    itself. So a second rounding, to float32, does what one alone does. ValueError if a product may
    be wider.
    """
    if 2 * fmt.precision > FLOAT32.precision:
        raise ValueError(
            f"products in arrays have at most {FLOAT32.precision} bits, "
            f"not the {2 * fmt.precision} of {fmt.name}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        total = values(acc, FLOAT32) + values(w, fmt) * values(a, fmt)
        rounded = total.astype(np.float32)
    codes = rounded.view(np.uint32).astype(np.int64)
    return np.where(np.isnan(rounded), FLOAT32.nan, codes)
