# amaranth: UnusedElaboratable=no
"""The requantizer in Amaranth's simulator against its exact model."""

import itertools
import random
from collections import deque

import pytest
from amaranth import Shape
from amaranth.sim import Simulator

from macsmith.hw.requantizer import REQUANTIZERS, Requantizer
from macsmith.sim.requantize import ROUNDINGS, RequantizeSpec, requantize

PORTS = ("acc", "multiplier", "shift", "zero_point")


def put(ctx, dut, operands, correction):
    for port, operand in zip(PORTS, operands, strict=True):
        ctx.set(getattr(dut, port), operand)
    if dut.numbers.correction_width:
        ctx.set(dut.correction, correction)


def check_combinational(spec, operands, style="plain"):
    """Number of operands (acc, multiplier, shift, zero_point, correction) that were compared."""
    dut = Requantizer(spec, style)
    compared = 0

    async def testbench(ctx):
        nonlocal compared
        for *first, correction in operands:
            put(ctx, dut, first, correction)
            await ctx.delay(1e-6)
            expected = requantize(*first, spec, correction=correction)
            assert ctx.get(dut.y) == expected, (first, correction)
            compared += 1

    sim = Simulator(dut)
    sim.add_testbench(testbench)
    sim.run()
    assert dut.latency == 0
    return compared


def signed_range(width):
    return range(-(2**width) // 2, 2**width // 2) if width else range(1)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize(
    "widths", [(6, 0, 2, 3, 2), (3, 4, 1, 3, 2), (2, 0, 4, 3, 3), (4, 2, 2, 2, 2)], ids=str
)
def test_every_operand_of_small_widths(widths, rounding):
    spec = RequantizeSpec(*widths, rounding)
    operands = itertools.product(
        signed_range(spec.acc_width),
        range(2**spec.multiplier_width),
        range(2**spec.shift_width),
        signed_range(spec.out_width),
        signed_range(spec.correction_width),
    )
    assert check_combinational(spec, operands) == 2 ** sum(widths)


def corners(width):
    top = 2 ** (width - 1)
    return [-top, 1 - top, -1, 0, 1, top - 1]


def wide_operands(spec, rng, count):
    """Corners crossed, and random operands whose result is mostly inside the clamp."""
    multipliers = [0, 1, 2 ** (spec.multiplier_width - 1), 2**spec.multiplier_width - 1]
    shifts = [0, 1, 30, 31, 32, 33, 38, 62, 63]
    crossed = list(
        itertools.product(
            corners(spec.acc_width),
            multipliers,
            shifts,
            [-128, 0, 127],
            corners(spec.correction_width) if spec.correction_width else [0],
        )
    )
    yield from rng.sample(crossed, 300)
    for k in range(count):
        zero_point = rng.randrange(-128, 128)
        multiplier = rng.randrange(2**30, 2**31)
        bits = rng.randrange(1, spec.acc_width)
        acc = rng.randrange(-(2**bits), 2**bits)
        correction = rng.choice([0, rng.randrange(-(2**bits), 2**bits)])
        if not spec.correction_width:
            correction = 0
        shift = max(0, min(31 + bits - rng.randrange(-1, 9), 63))
        if k % 3 == 0:  # a tie, of the first or of the last rounding
            multiplier, acc, correction = 2**30, 2 * rng.randrange(-(2**20), 2**20) + 1, 0
            acc <<= rng.randrange(3)
            shift = rng.choice([31, 32, 33, 36, 40])
        yield acc, multiplier, shift, zero_point, correction


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("correction_width", [0, 40])
def test_corners_ties_and_random_operands(correction_width, rounding):
    spec = RequantizeSpec(32, correction_width, rounding=rounding)
    operands = list(wide_operands(spec, random.Random(0), 700))
    results = {requantize(*o[:4], spec, correction=o[4]) for o in operands}
    assert len(results) > 190  # most are inside the clamp
    assert check_combinational(spec, operands) == 1000


@pytest.mark.parametrize("pipeline", [1, 2, 3])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_pipeline_takes_a_value_in_every_cycle(rounding, pipeline):
    spec = RequantizeSpec(32, 32, rounding=rounding)
    dut = Requantizer(spec, pipeline=pipeline)
    expected = deque([None] * pipeline)
    compared = 0

    async def testbench(ctx):
        nonlocal compared
        for *first, correction in wide_operands(spec, random.Random(pipeline), 100):
            put(ctx, dut, first, correction)
            expected.append(requantize(*first, spec, correction=correction))
            now = expected.popleft()
            if now is not None:
                assert ctx.get(dut.y) == now
                compared += 1
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    assert dut.latency == pipeline
    assert compared == 400 - pipeline


@pytest.mark.parametrize("widths", [(4, 0, 3, 3, 2), (3, 3, 2, 2, 2)], ids=str)
def test_every_style_on_small_widths(widths):
    styles = [style for style in REQUANTIZERS.names() if style != "plain"]
    for style, rounding in itertools.product(styles, ROUNDINGS):
        spec = RequantizeSpec(*widths, rounding)
        operands = itertools.product(
            signed_range(spec.acc_width),
            range(2**spec.multiplier_width),
            range(2**spec.shift_width),
            [-2, 1],
            signed_range(spec.correction_width),
        )
        assert check_combinational(spec, operands, style) == 2 ** (sum(widths) - 1)
    assert styles


@pytest.mark.parametrize("style", ["booth4"])
def test_every_style_on_wide_operands(style):
    spec = RequantizeSpec(32, 32, rounding="tflite")
    operands = list(wide_operands(spec, random.Random(3), 300))[::6]
    assert check_combinational(spec, operands, style) == 100


def test_ports():
    def widths(dut):
        return {name: Shape.cast(member.shape) for name, member in dut.signature.members.items()}

    ports = widths(Requantizer(RequantizeSpec(32, 24)))
    assert {name: shape.width for name, shape in ports.items()} == {
        "acc": 32, "correction": 24, "multiplier": 31, "shift": 6, "zero_point": 8, "y": 8,
    }  # fmt: skip
    assert {name for name, shape in ports.items() if not shape.signed} == {"multiplier", "shift"}
    assert "correction" not in widths(Requantizer(RequantizeSpec(32)))


def test_bad_parameters():
    with pytest.raises(ValueError, match=r"^pipeline must be 0 to 3 stages, not 4$"):
        Requantizer(RequantizeSpec(), pipeline=4)
    with pytest.raises(ValueError, match=r"^unknown requantizer style 'plane'; the nearest is "):
        Requantizer(RequantizeSpec(), style="plane")
