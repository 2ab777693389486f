# amaranth: UnusedElaboratable=no
"""The floating-point MAC in Amaranth's simulator against the exact model."""

import random
from collections import deque

import pytest
from amaranth import ResetInserter, Shape, Signal
from amaranth.sim import Simulator

from macsmith.hw.float_mac import FloatMac
from macsmith.sim.floating import BF16, FLOAT32, FP16, FloatFormat, multiply_add

FORMATS = [FP16, BF16]


def simulate(dut, testbench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def classes(fmt):
    """Zeros, subnormals, the ends of every range, infinities and NaNs, of both signs."""
    one = 1 << fmt.fraction_bits
    unit = fmt.bias * one
    positive = [0, 1, one // 2 + 1, one - 1, one, one + 1, unit, unit + 1, unit - 1]
    positive += [fmt.infinity - one, fmt.infinity - 1, fmt.infinity, fmt.infinity + 1, fmt.nan]
    return positive + [code | 1 << (fmt.width - 1) for code in positive]


def rounded_product(w, a, fmt):
    return multiply_add(0, w, a, fmt)


def near(rng, w, a, fmt):
    """A finite accumulator about where the product is: cancellation, alignment, ties."""
    product = rounded_product(w, a, fmt)
    sign, exponent, fraction = FLOAT32.fields(product)
    kind = rng.randrange(4)
    if kind == 0:  # the opposite, or almost
        return max(0, (product & 2**31 - 1) + rng.randrange(-3, 4)) | (1 - sign) << 31
    exponent = max(0, min(exponent + rng.randrange(-28, 29), 254))
    fraction = rng.choice([0, 1, 2**22, 2**23 - 1, fraction, rng.randrange(2**23)])
    return rng.randrange(2) << 31 | exponent << 23 | fraction


def check(fmt, operands):
    """Each (acc, w, a) by itself: `acc` is written into the register. Number compared."""
    dut = FloatMac(fmt)
    compared = 0

    async def testbench(ctx):
        nonlocal compared
        ctx.set(dut.en, 1)
        for acc, w, a in operands:
            ctx.set(dut.acc, acc)
            ctx.set(dut.w, w)
            ctx.set(dut.a, a)
            await ctx.tick()
            got, expected = ctx.get(dut.acc), multiply_add(acc, w, a, fmt)
            assert got == expected, f"{acc:#010x} + {w:#06x} * {a:#06x}: {got:#x} != {expected:#x}"
            compared += 1

    simulate(dut, testbench)
    return compared


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_classes_crossed(fmt):
    rng = random.Random(0)
    operands = [
        (acc, w, a)
        for w in classes(fmt)
        for a in classes(fmt)
        for acc in rng.sample(classes(FLOAT32), 3)
    ]
    assert check(fmt, operands) == 28 * 28 * 3


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_near_the_product(fmt):
    rng = random.Random(1)
    operands = []
    while len(operands) < 1200:
        w, a = (rng.randrange(2**fmt.width) for _ in range(2))
        if rng.random() < 0.3:  # few bits: ties
            w, a = (code & ~((1 << fmt.fraction_bits - 3) - 1) for code in (w, a))
        operands.append((near(rng, w, a, fmt), w, a))
    assert check(fmt, operands) == 1200


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_halfway_cases(fmt):
    """1 or 1 + 2**-23 plus or minus half of its last bit, and a little more or less."""
    unit = fmt.bias << fmt.fraction_bits
    operands = []
    for acc in (0x3F800000, 0x3F800001, 0x3F7FFFFF, 0x4B7FFFFF, 0x7F7FFFFF, 0x00800000, 0x00000001):
        exponent = (acc >> 23 or 1) - 127  # of acc
        for distance in range(22, 28):
            for fraction in (0, 1, (1 << fmt.fraction_bits) - 1):
                for sign in (0, 1):
                    left, right = _split(exponent - distance, fmt)
                    if left is not None:
                        operands.append((
                            acc,
                            left << fmt.fraction_bits | fraction | sign << 15,
                            right << fmt.fraction_bits,
                        ))
    operands += [(0x3F800000 | s << 31, unit, unit) for s in (0, 1)]
    assert check(fmt, operands) > 100


def _split(exponent, fmt):
    """Two exponent fields of normal numbers whose product is 2**exponent, or (None, None)."""
    for left in range(1, fmt.max_exponent):
        right = exponent - (left - fmt.bias) + fmt.bias
        if 1 <= right < fmt.max_exponent:
            return left, right
    return None, None


@pytest.mark.parametrize("pipeline", [0, 1, 2])
@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_long_sums_with_gaps(fmt, pipeline):
    """Random walks, with `clear` and cycles without a product; `acc` is watched in every cycle."""
    rng = random.Random(pipeline)
    dut = FloatMac(fmt, pipeline=pipeline)
    compared = 0

    async def testbench(ctx):
        nonlocal compared
        acc, shown = 0, deque([0] * dut.latency)
        for k in range(300):
            en, clear = rng.random() < 0.8, rng.random() < 0.02
            # Of about the same size, so that a sum is neither one product nor rounding alone.
            w, a = (
                rng.randrange(2) << 15
                | fmt.bias + rng.randrange(-4, 4) << fmt.fraction_bits
                | rng.randrange(1 << fmt.fraction_bits)
                for _ in range(2)
            )
            ctx.set(dut.en, en)
            ctx.set(dut.clear, clear)
            ctx.set(dut.w, w)
            ctx.set(dut.a, a)
            if en:
                acc = multiply_add(0 if clear else acc, w, a, fmt)
            shown.append(acc)
            await ctx.tick()
            shown.popleft()
            assert ctx.get(dut.acc) == shown[0], f"cycle {k}"
            compared += 1

    simulate(dut, testbench)
    assert dut.latency == 1 + pipeline
    assert compared == 300


@pytest.mark.parametrize("pipeline", [0, 2])
def test_reset_and_the_sign_of_zero(pipeline):
    rst, dut = Signal(), FloatMac("fp16", pipeline=pipeline)

    async def testbench(ctx):
        ctx.set(dut.en, 1)
        ctx.set(dut.w, 0x3C00)
        ctx.set(dut.a, 0xC000)  # -2
        await ctx.tick().repeat(dut.latency)
        assert ctx.get(dut.acc) == 0xC0000000
        ctx.set(rst, 1)  # before `en`, and before what is in the pipeline
        await ctx.tick()
        ctx.set(rst, 0)
        ctx.set(dut.en, 0)
        for _ in range(5):
            assert ctx.get(dut.acc) == 0
            await ctx.tick()
        ctx.set(dut.en, 1)
        ctx.set(dut.clear, 1)
        ctx.set(dut.a, 0x8000)  # 1 * -0
        await ctx.tick().repeat(dut.latency)
        assert ctx.get(dut.acc) == 0

    simulate(ResetInserter(rst)(dut), testbench)


def test_ports():
    members = FloatMac("bf16").signature.members
    assert {name: Shape.cast(member.shape).width for name, member in members.items()} == {
        "en": 1, "clear": 1, "w": 16, "a": 16, "acc": 32,
    }  # fmt: skip


def test_bad_parameters():
    with pytest.raises(ValueError, match=r"^unknown floating-point format 'fp8'; there are fp16, "):
        FloatMac("fp8")
    with pytest.raises(ValueError, match=r"^a float32 product has 48 bits, more than the 24 of a "):
        FloatMac(FLOAT32)
    with pytest.raises(ValueError, match=r"^pipeline must be 0 to 2 stages, not 3$"):
        FloatMac("fp16", pipeline=3)
    with pytest.raises(ValueError, match=r"^unknown float_mac style 'plane'; the nearest is "):
        FloatMac("fp16", style="plane")


def test_a_narrower_format_is_served_too():
    fmt = FloatFormat("e4m3_ieee", 4, 3)
    rng = random.Random(2)
    operands = [(near(rng, w, a, fmt), w, a) for w in range(0, 256, 9) for a in range(0, 256, 9)]
    assert check(fmt, operands) == 29 * 29
