"""Encoding is compared with the golden model's brute force at, beside and between all ties."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from macsmith.sim import golden
from macsmith.sim.catalog import FORMATS
from macsmith.sim.codec import decode, encode, thresholds
from macsmith.sim.formats import Format

formats = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)


def some_zero_points(fmt):
    last = fmt.zero_points[-1]
    return sorted({0, last // 3, last // 2, last})


@formats
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_golden(fmt, dtype):
    ran = 0
    for z in some_zero_points(fmt):
        levels = sorted(set(fmt.levels_at(z)))
        levels = levels[:: max(1, len(levels) // 64)] + levels[-2:]
        middles = np.array([(a + b) / 2 for a, b in itertools.pairwise(levels)])
        points = np.concatenate([levels, middles, [-(2.0**40), 2.0**40]]).astype(dtype)
        points = points / dtype(2**fmt.frac_bits)
        points = np.concatenate([
            points,
            np.nextafter(points, dtype(-np.inf)),
            np.nextafter(points, dtype(np.inf)),
        ])
        expected = [golden.encode(Fraction(float(x)), fmt, z) for x in points]
        assert encode(points, fmt, z).tolist() == expected
        ran += len(points)
    assert ran > 10


@formats
def test_round_trip(fmt):
    codes = np.arange(2**fmt.width, dtype=np.uint16)
    for z in some_zero_points(fmt):
        levels = decode(codes, fmt, z)
        assert levels.tolist() == list(fmt.levels_at(z))
        again = encode(levels / 2**fmt.frac_bits, fmt, z)
        np.testing.assert_array_equal(decode(again, fmt, z), levels)


def test_never_produces_a_second_zero_nan_or_infinity():
    values = np.concatenate([np.linspace(-600, 600, 100_001), [-1e9, 1e9]])
    assert 0b1000 not in encode(values, FORMATS["dint4_sm"])
    assert not {0x7F, 0xFF, 0x80} & set(encode(values, FORMATS["fp8_e4m3"]).tolist())
    assert (encode(np.array([-1e9, 1e9]), FORMATS["fp8_e5m2"]) == [0xFB, 0x7B]).all()


def test_one_zero_point_per_row():
    fmt = FORMATS["dint4z"]
    rng = np.random.default_rng(0)
    z = np.array([0, 3, 13, 3])
    values = rng.normal(size=(4, 50)) * 5
    codes = encode(values, fmt, z)
    for row in range(4):
        np.testing.assert_array_equal(codes[row], encode(values[row], fmt, int(z[row])))
    np.testing.assert_array_equal(
        decode(codes, fmt, z), [decode(c, fmt, int(k)) for c, k in zip(codes, z, strict=True)]
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: decode(np.array([16]), FORMATS["int4"]), r"^codes of int4 must be in 0\.\.15"),
        (lambda: decode(np.array([0.5]), FORMATS["int4"]), r"^codes of int4 must be integers"),
        (lambda: decode(np.array([1]), FORMATS["int4z"]), r"^int4z is zero-pointed: give"),
        (lambda: decode(np.array([1]), FORMATS["int4z"], 16), r"^zero point of int4z must be in"),
        (
            lambda: decode(np.array([1]), FORMATS["int4"], 3),
            r"^zero point of int4 must be in 0\.\.0",
        ),
        (lambda: encode(np.array([np.nan]), FORMATS["int4"]), r"^cannot encode NaN in int4$"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_binary_format_ties_to_the_positive_level():
    fmt = Format("sign", 1, (-1, 1))
    assert encode(np.array([0.0, -0.1]), fmt).tolist() == [1, 0]
    assert thresholds(fmt)[1].tolist() == [0, 1]
