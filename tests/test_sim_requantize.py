"""Requantization against TFLite's formulas, typed a second time, and against `decimal`."""

import itertools
import math
import random
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pytest

from macsmith.sim.requantize import ROUNDINGS, RequantizeSpec, fixed_point, requantize

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
WIDE = {"out_width": 32}  # the int32 before the zero point and the clamp


def truncate(a, b):
    """C++'s integer division."""
    return abs(a) // b * (1 if a >= 0 else -1)


def saturating_rounding_doubling_high_mul(a, b):
    if a == b == INT32_MIN:
        return INT32_MAX
    nudge = 1 << 30 if a * b >= 0 else 1 - (1 << 30)
    return truncate(a * b + nudge, 1 << 31)


def rounding_divide_by_pot(x, exponent):
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)


def multiply_by_quantized_multiplier(x, multiplier, shift):
    """TFLite, default build; None where ``x * (1 << left_shift)`` is no int32."""
    left, right = max(shift, 0), max(-shift, 0)
    if not INT32_MIN <= x << left <= INT32_MAX:
        return None
    high = saturating_rounding_doubling_high_mul(x << left, multiplier)
    return rounding_divide_by_pot(high, right)


def multiply_single_rounding(x, multiplier, shift):
    """TFLite built with TFLITE_SINGLE_ROUNDING."""
    total = 31 - shift
    return (x * multiplier + (1 << (total - 1))) >> total


def quantize_multiplier(scale):
    """TFLite: (multiplier, shift) of a positive double."""
    fraction, shift = math.frexp(scale)
    scaled = fraction * 2.0**31  # below 2**31, so that a half is exact
    fixed = math.floor(scaled + 0.5)
    if fixed == 1 << 31:
        return 1 << 30, shift + 1
    return fixed, shift


def int32_operands(rng, count):
    """(x, multiplier, TFLite shift): corners crossed, random ones, and ties made on purpose."""
    corners = [INT32_MIN, INT32_MIN + 1, -(2**30), -3, -2, -1, 0, 1, 2, 3, 2**30, INT32_MAX]
    multipliers = [0, 1, 2**30, 2**30 + 1, 3 * 2**29, INT32_MAX]
    yield from itertools.product(corners, multipliers, range(-31, 31))
    for _ in range(count):
        x = rng.randrange(-(2 ** rng.randrange(32)), 2 ** rng.randrange(32))
        yield x, rng.randrange(2**30, 2**31), rng.randrange(-31, 31)
        # An odd multiple of half of a step of the first rounding, or of the second.
        tie = (2 * rng.randrange(-(2**14), 2**14) + 1) << rng.randrange(16)
        yield tie, 2**30, rng.randrange(-31, 1)
        yield (2 * rng.randrange(-5, 5) + 1), rng.randrange(1, 64) << 25, rng.randrange(-31, 1)


def test_tflite_for_every_shift():
    spec = RequantizeSpec(rounding="tflite", **WIDE)
    single = RequantizeSpec(rounding="half-up", **WIDE)
    compared = undefined = different = 0
    for x, multiplier, shift in int32_operands(random.Random(0), 20_000):
        expected = multiply_by_quantized_multiplier(x, multiplier, shift)
        if expected is None:
            undefined += 1
            continue
        got = requantize(x, multiplier, 31 - shift, 0, spec)
        assert got == expected, (x, multiplier, shift)
        once = multiply_single_rounding(x, multiplier, shift)
        if INT32_MIN <= once <= INT32_MAX:
            assert requantize(x, multiplier, 31 - shift, 0, single) == once
            different += once != expected
        compared += 1
    assert compared > 50_000
    assert undefined > 1000  # the left shift is among the operands
    assert different > 500  # rounding twice is not rounding once


def test_tflite_left_shift_beyond_int32_is_exact():
    spec = RequantizeSpec(rounding="tflite")
    assert requantize(2**30, 2**30, 31 - 4, 0, spec) == 127  # in C++ x * (1 << 4) may be 0
    assert requantize(-(2**30), 2**30, 31 - 4, 0, spec) == -128


@pytest.mark.parametrize(
    ("rounding", "mode"),
    [("half-even", ROUND_HALF_EVEN), ("half-away", ROUND_HALF_UP), ("half-up", ROUND_FLOOR)],
)
def test_single_roundings_against_decimal_exhaustively(rounding, mode):
    spec = RequantizeSpec(5, 2, 3, 3, 4, rounding)
    ties = compared = 0
    with localcontext(prec=60):
        for acc, correction, multiplier in itertools.product(
            range(-16, 16), range(-2, 2), range(8)
        ):
            for shift in range(8):
                exact = Decimal((acc - correction) * multiplier) / Decimal(2**shift)
                if rounding == "half-up":
                    exact += Decimal("0.5")
                rounded = int(exact.to_integral_value(mode))
                ties += exact % 1 in (Decimal("0.5"), Decimal("-0.5"))
                for zero_point in (-8, 0, 7):
                    got = requantize(
                        acc, multiplier, shift, zero_point, spec, correction=correction
                    )
                    assert got == min(max(rounded + zero_point, -8), 7)
                    compared += 1
    assert ties > 100
    assert compared == 32 * 4 * 8 * 8 * 3


def test_roundings_of_a_tie():
    def all_of(acc, shift):
        return [requantize(acc, 1, shift, 0, RequantizeSpec(rounding=r)) for r in ROUNDINGS]

    #                    up  even away tflite
    assert all_of(1, 1) == [1, 0, 1, 1]
    assert all_of(-1, 1) == [0, 0, -1, 0]
    assert all_of(3, 1) == [2, 2, 2, 2]
    assert all_of(-3, 1) == [-1, -2, -2, -1]
    # 0.49999... becomes a half, and then 1, if it is rounded twice.
    scaled = [requantize(2**31 - 1, 2**30, 62, 0, RequantizeSpec(rounding=r)) for r in ROUNDINGS]
    assert scaled == [0, 0, 0, 1]


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_fixed_point_is_tflites(rounding):
    spec = RequantizeSpec(rounding=rounding)
    rng = random.Random(1)
    scales = [0.5, 1.0, 1 - 2**-53, 1 - 2**-32, 2.0**-32, 3.0, 2.0**30 - 1]
    scales += [rng.uniform(0.5, 1) * 2.0 ** rng.randrange(-31, 31) for _ in range(2000)]
    for scale in scales:
        multiplier, shift = quantize_multiplier(scale)
        assert fixed_point(scale, spec) == (multiplier, 31 - shift), scale
        assert abs(Fraction(multiplier) / 2 ** (31 - shift) / Fraction(scale) - 1) <= 2**-31


def test_fixed_point_of_small_scales_loses_bits_of_the_multiplier():
    spec = RequantizeSpec(multiplier_width=4, shift_width=3)
    assert fixed_point(2**-4, spec) == (8, 7)
    assert fixed_point(2**-5, spec) == (4, 7)
    assert fixed_point(2**-8, spec) == (1, 7)  # half of 2**-7: upwards
    assert fixed_point(2**-9, spec) == (0, 7)
    assert fixed_point(0, spec) == (0, 0)
    assert fixed_point(Fraction(15, 1), spec) == (15, 0)
    assert fixed_point(Fraction(31, 4), spec) == (8, 0)  # 15.5 / 2 carries into a longer one


@pytest.mark.parametrize("scale", [15.5, 16, 2.0**40])
def test_fixed_point_of_a_great_scale(scale):
    with pytest.raises(ValueError, match=r"^scale .* is not below 2\*\*4$"):
        fixed_point(scale, RequantizeSpec(multiplier_width=4))


@pytest.mark.parametrize("scale", [-1.0, math.nan, math.inf])
def test_fixed_point_of_no_scale(scale):
    with pytest.raises(ValueError, match=r"^a scale must be finite and not negative, not "):
        fixed_point(scale, RequantizeSpec())


def test_operands_that_do_not_fit():
    spec = RequantizeSpec()
    good = {"acc": 0, "multiplier": 0, "shift": 0, "zero_point": 0}
    for what, number, message in [
        ("acc", 2**31, r"^acc must be in -2147483648..2147483647, not 2147483648$"),
        ("multiplier", 2**31, r"^multiplier must be in 0..2147483647, not "),
        ("multiplier", -1, r"^multiplier must be in 0..2147483647, not -1$"),
        ("shift", 64, r"^shift must be in 0..63, not 64$"),
        ("zero_point", 128, r"^zero_point must be in -128..127, not 128$"),
        ("correction", 1, r"^correction must be in 0..0, not 1$"),
    ]:
        with pytest.raises(ValueError, match=message):
            requantize(spec=spec, **good | {what: number})


def test_a_spec_out_of_range():
    with pytest.raises(ValueError, match=r"^rounding must be one of half-up, .* not 'nearest'$"):
        RequantizeSpec(rounding="nearest")
    with pytest.raises(ValueError, match=r"^shift_width must be an integer in 1..7, not 8$"):
        RequantizeSpec(shift_width=8)
    with pytest.raises(ValueError, match=r"^out_width must be an integer in 2..32, not True$"):
        RequantizeSpec(out_width=True)
