"""Exact floating point against numpy, torch and the C library."""

import ctypes
import ctypes.util
import random
import struct
from fractions import Fraction

import numpy as np
import pytest
import torch

from macsmith.sim import ndarray
from macsmith.sim.floating import BF16, FLOAT32, FP16, FloatFormat, get_float, multiply_add


def as_float(code, fmt):
    """The code as a Python float, by numpy."""
    if fmt is FP16:
        return float(np.uint16(code).view(np.float16))
    return float(np.uint32(code << (32 - fmt.width)).view(np.float32))


def float32_code(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def interesting(fmt, rng, count):
    """Zeros, subnormals, the ends of every range, infinities, NaNs, of both signs; then random."""
    top, one = fmt.infinity, 1 << fmt.fraction_bits
    positive = [0, 1, 2, one // 2, one - 1, one, one + 1, fmt.bias * one, fmt.bias * one + 1]
    positive += [fmt.bias * one - 1, top - 1, top - one, top, top + 1, fmt.nan, 2 * top - top // 2]
    sign = 1 << (fmt.width - 1)
    codes = [code % sign for code in positive]
    return codes + [code | sign for code in codes] + [rng.randrange(2 * sign) for _ in range(count)]


def near(acc_rng, fmt, w, a):
    """An accumulator close to -w * a, or anywhere: where cancellation, ties and alignment are."""
    with np.errstate(over="ignore", invalid="ignore"):
        product = np.float32(as_float(w, fmt) * as_float(a, fmt))
    code = float32_code(float(product)) if np.isfinite(product) else acc_rng.randrange(2**32)
    choice = acc_rng.randrange(4)
    if choice == 0:
        return acc_rng.randrange(2**32)
    if choice == 1:
        return (code ^ 1 << 31) + acc_rng.randrange(-2, 3) & 2**32 - 1
    exponent = (code >> 23 & 255) + acc_rng.randrange(-30, 31)
    fraction = acc_rng.choice([0, 1, 2**23 - 1, 2**22, acc_rng.randrange(2**23)])
    return acc_rng.randrange(2) << 31 | max(0, min(exponent, 254)) << 23 | fraction


def fmaf():
    """The C library's, whose operands are float32."""
    name = ctypes.util.find_library("m")
    if name is None:
        pytest.skip("no C mathematics library found")
    function = ctypes.CDLL(name).fmaf
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float] * 3
    return function


def operands(fmt, seed, count):
    rng = random.Random(seed)
    for w in interesting(fmt, rng, 12):
        for a in interesting(fmt, rng, 12):
            yield rng.choice(interesting(FLOAT32, rng, 4)), w, a
            yield near(rng, fmt, w, a), w, a
    for _ in range(count):
        w, a = rng.randrange(2**fmt.width), rng.randrange(2**fmt.width)
        yield near(rng, fmt, w, a), w, a


@pytest.mark.parametrize("fmt", [FP16, BF16])
def test_every_value_and_back(fmt):
    nans = 0
    for code in range(2**fmt.width):
        expected = as_float(code, fmt)
        if np.isfinite(expected):
            assert fmt.value(code) == Fraction(expected)
            assert fmt.encode(Fraction(expected), negative=bool(code >> 15)) == code
        nans += fmt.is_nan(code)
        assert fmt.is_nan(code) == np.isnan(expected)
        assert fmt.is_infinite(code) == np.isinf(expected)
    assert nans == 2 * (2**fmt.fraction_bits - 1)


def test_encode_rounds_as_numpy_and_torch_do():
    rng = random.Random(0)
    compared = 0
    for _ in range(20_000):
        x = struct.unpack("<f", struct.pack("<I", rng.randrange(2**32)))[0]
        if rng.random() < 0.5:  # where fp16 has values, and its ties
            x = rng.randrange(-(2**13), 2**13) * 2.0 ** rng.randrange(-26, 6)
        if not np.isfinite(x):
            continue
        with np.errstate(over="ignore"):
            assert FP16.encode(Fraction(x)) == int(np.float16(x).view(np.uint16)) or x == 0
        half = torch.tensor(x, dtype=torch.float32).to(torch.bfloat16).view(torch.int16)
        assert BF16.encode(Fraction(x)) == int(half) % 2**16 or x == 0
        wide = rng.uniform(-1, 1) * 2.0 ** rng.randrange(-160, 130)
        with np.errstate(over="ignore"):
            assert FLOAT32.encode(Fraction(wide)) == int(np.float32(wide).view(np.uint32))
        compared += 1
    assert compared > 15_000


@pytest.mark.parametrize("fmt", [FP16, BF16])
def test_multiply_add_against_float64(fmt):
    every = list(operands(fmt, 1, 15_000))
    rounded = ndarray.multiply_add(*np.array(every).T, fmt).tolist()
    compared = subnormal = cancelled = 0
    for (acc, w, a), expected in zip(every, rounded, strict=True):
        got = multiply_add(acc, w, a, fmt)
        assert got == expected, f"acc={acc:#x} w={w:#x} a={a:#x}"
        compared += 1
        subnormal += 0 < got % 2**31 < 2**23
        cancelled += got % 2**31 >> 23 < (acc % 2**31 >> 23) - 2
    assert compared > 15_000
    assert cancelled > 100
    assert subnormal > (100 if fmt is BF16 else 0)


@pytest.mark.parametrize("fmt", [FP16, BF16])
def test_multiply_add_against_the_c_library(fmt):
    reference = fmaf()
    for acc, w, a in operands(fmt, 2, 15_000):
        result = reference(as_float(w, fmt), as_float(a, fmt), as_float(acc, FLOAT32))
        expected = FLOAT32.nan if np.isnan(result) else float32_code(result)
        assert multiply_add(acc, w, a, fmt) == expected, f"acc={acc:#x} w={w:#x} a={a:#x}"


def test_zeros_infinities_and_nans():
    one, minus_one, zero, minus_zero = 0x3C00, 0xBC00, 0x0000, 0x8000
    infinity, nan = 0x7C00, 0x7E01
    plus, minus, quiet = 0x7F800000, 0xFF800000, 0x7FC00000
    for acc, w, a, expected in [
        (0, zero, minus_one, 0),  # +0 + -0
        (1 << 31, zero, minus_one, 1 << 31),  # -0 + -0
        (1 << 31, zero, one, 0),
        (0x3F800000, one, minus_one, 0),
        (0xBF800000, one, one, 0),
        (0, infinity, minus_zero, quiet),
        (plus, infinity, one, plus),
        (plus, infinity, minus_one, quiet),
        (minus, one, one, minus),
        (0, nan, one, quiet),
        (0xFFFFFFFF, one, one, quiet),
    ]:
        assert multiply_add(acc, w, a, FP16) == expected, f"{acc:#x} {w:#x} {a:#x}"


def test_names_and_bad_codes():
    assert get_float("bf16") is BF16
    assert get_float(FP16) is FP16
    with pytest.raises(ValueError, match=r"^unknown floating-point format 'fp8'; there are fp16, "):
        get_float("fp8")
    with pytest.raises(ValueError, match=r"^a fp16 code must be in 0..65535, not 65536$"):
        FP16.value(65536)
    with pytest.raises(ValueError, match=r"^fp16 code 0x7c00 has no finite value$"):
        FP16.value(0x7C00)
    assert FloatFormat("tiny", 2, 1).encode(Fraction(7, 2)) == 0b0110  # 3.5: a tie, to infinity
