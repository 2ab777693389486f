"""The models in arrays against golden: all of small specs, the corners and ties of large ones."""

import itertools
import random

import numpy as np
import pytest

from macsmith.sim import floating, ndarray
from macsmith.sim.floating import BF16, FLOAT32, FP16, FloatFormat
from macsmith.sim.requantize import ROUNDINGS, RequantizeSpec, requantize

MOST, LEAST = 2**31 - 1, -(2**31)


def differing(rows, spec):
    """Rows (acc, correction, multiplier, shift, zero point) whose two results differ."""
    acc, correction, *others = np.array(rows, np.int64).T
    got = ndarray.requantize(acc, *others, spec, correction=correction).tolist()
    return [
        (row, y)
        for row, y in zip(rows, got, strict=True)
        if y != requantize(row[0], *row[2:], spec, correction=row[1])
    ]


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_every_operand_of_a_small_requantizer(rounding):
    spec = RequantizeSpec(4, 2, 3, 3, 3, rounding)
    ranges = range(-8, 8), range(-2, 2), range(8), range(8), range(-4, 4)
    rows = list(itertools.product(*ranges))
    assert len(rows) == 2**15
    assert differing(rows, spec) == []


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("out_width", [8, 32])
def test_the_widest_products_at_every_shift(rounding, out_width):
    spec = RequantizeSpec(32, 32, 31, 7, out_width, rounding)
    assert spec.product_width == ndarray.WIDEST
    rng = random.Random(0)
    ends, (low, high) = [LEAST, -1, 0, 1, MOST], spec.out_range
    rows = [
        (*values, shift, rng.choice([low, -1, 0, high]))
        for values in itertools.product(ends, ends, [0, 1, 2**30, MOST - 1, MOST])
        for shift in range(spec.max_shift + 1)
    ]
    assert (LEAST, MOST, MOST) in {row[:3] for row in rows}  # the greatest magnitude of a product
    for shift, twos in itertools.product(range(1, 63), range(8)):  # ties, and just beside them
        multiplier = 2 ** min(shift - 1, 30)
        odd = rng.randrange(-255, 256, 2) << (shift - 1) - min(shift - 1, 30)
        for beside in (-1, 0, 1):
            acc = max(LEAST, min(odd + beside, MOST))
            rows.append((acc, 0, multiplier, shift, rng.randrange(-twos - 1, twos + 1)))
            rows.append((acc >> 1, 0, 2 * multiplier - 1, shift, 0))
    for _ in range(5000):
        bits = [rng.randrange(1, 33) for _ in "xy"]
        acc, correction = (rng.getrandbits(n) - 2 ** (n - 1) for n in bits)
        multiplier = rng.getrandbits(rng.randrange(1, 32))
        rows.append((acc, correction, multiplier, rng.randrange(128), rng.randrange(low, high + 1)))
    assert len(rows) > 20_000
    assert differing(rows, spec) == []


def test_products_beyond_64_bits_are_refused():
    one = np.ones(1, np.int64)
    spec = RequantizeSpec(34, 0, 31)
    with pytest.raises(ValueError, match=r"^products in arrays have at most 64 bits, not 65: Req"):
        ndarray.requantize(one, one, one, one, spec)


def test_products_that_a_second_rounding_would_show_are_refused():
    one = np.ones(1, np.int64)
    with pytest.raises(ValueError, match=r"^products in arrays have at most 24 bits, not the 48 "):
        ndarray.multiply_add(one, one, one, FLOAT32)


@pytest.mark.parametrize("fmt", [FP16, BF16])
def test_every_value(fmt):
    codes = np.arange(2**fmt.width)
    if fmt is FP16:
        expected = codes.astype(np.uint16).view(np.float16)
    else:
        expected = (codes << 16).astype(np.uint32).view(np.float32)
    got = ndarray.values(codes, fmt)
    assert np.array_equal(got, expected, equal_nan=True)
    numbers = ~np.isnan(got)
    assert np.array_equal(np.signbit(got)[numbers], np.signbit(expected)[numbers])


@pytest.mark.parametrize("fmt", [FloatFormat("tiny", 3, 2), FloatFormat("long", 8, 2)])
def test_every_product_on_sums_of_every_class(fmt):
    """All 64 codes of the one; of the other those around 0, 1 and infinity, whose products lie
    below float32's normal numbers and beyond its greatest."""
    around = [0, fmt.bias << fmt.fraction_bits, fmt.infinity]
    some = {code + k & (2 ** (fmt.width - 1) - 1) for code in around for k in range(-5, 6)}
    sign = 1 << (fmt.width - 1)
    codes = sorted(range(64) if fmt.width == 6 else some | {code | sign for code in some})
    one = FLOAT32.bias << FLOAT32.fraction_bits
    sums = [0, 1, 2**22, 2**23 - 1, 2**23, one, one + 1, one - 1, one + (24 << 23) + 1,
            one + (25 << 23), FLOAT32.infinity - 1, FLOAT32.infinity, FLOAT32.nan]  # fmt: skip
    rows = list(itertools.product([*sums, *(2**31 | code for code in sums)], codes, codes))
    got = ndarray.multiply_add(*np.array(rows).T, fmt).tolist()
    wrong = [
        (row, y) for row, y in zip(rows, got, strict=True)
        if y != floating.multiply_add(*row, fmt)
    ]  # fmt: skip
    assert wrong == []
    assert len(rows) > 40_000
    magnitudes = {y % 2**31 for y in got}
    assert {0, FLOAT32.infinity, FLOAT32.nan} < magnitudes
    assert fmt.bias < FLOAT32.bias or any(0 < y < 2**23 for y in magnitudes - set(sums))
