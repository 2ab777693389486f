# amaranth: UnusedElaboratable=no
"""The dot product in Amaranth's simulator against golden, cycle by cycle, in every style."""

import random

import pytest
from amaranth.sim import Simulator

from macsmith.hw.dot import DOTS, DotProduct
from macsmith.sim import golden
from macsmith.sim.spec import MacSpec


def narrow(weights, activations, overflow, lanes, spare):
    """A spec whose accumulator is ``spare`` bits wider than one product."""
    width = MacSpec(weights, activations, 48).product_width + spare
    return MacSpec(weights, activations, width, overflow, lanes)


SPECS = [
    MacSpec("dint4", "int8", 32, "wrap", lanes=2),
    narrow("int8", "int8", "saturate", 3, 1),
    narrow("int4", "int8", "wrap", 16, 0),  # narrower than one group
    narrow("dint4z", "int4", "saturate", 5, 2),
    narrow("fp4_e2m1", "fp8_e4m3", "saturate", 2, 1),
    narrow("dint4_sm", "int4", "exact", 4, 8),
]
CASES = [
    (spec, style, pipeline)
    for j, spec in enumerate(SPECS)
    for k, style in enumerate(DOTS.names(spec))
    if style == "plain" or k % 3 == j % 3  # each style meets two of the specs
    for pipeline in ((0, 1, 2) if style == "plain" else ((j + k // 3) % 3,))
]


@pytest.mark.parametrize(
    ("spec", "style", "pipeline"),
    CASES,
    ids=[f"{s.weights.name}-{s.overflow}{s.lanes}-{style}-{p}" for s, style, p in CASES],
)
def test_every_cycle_equals_golden(spec, style, pipeline):
    dut = DotProduct(spec, style, pipeline)
    rng = random.Random(f"{spec} {style}")
    zero_pointed = spec.weights.zero_pointed
    shown, compared = [0] * dut.latency, 0

    async def testbench(ctx):
        nonlocal compared
        sums = [[], []]
        z = 0
        for _ in range(40):
            en, clear = rng.random() < 0.8, rng.random() < 0.1
            if en and clear:
                z = rng.choice(spec.weights.zero_points) if zero_pointed else 0
            codes = [
                [rng.choice([0, 2 ** (fmt.width - 1), rng.getrandbits(fmt.width)]) for _ in lanes]
                for fmt, lanes in (
                    (fmt, range(spec.lanes)) for fmt in (spec.weights, spec.activations)
                )
            ]
            ctx.set(dut.w, codes[0])
            ctx.set(dut.a, codes[1])
            ctx.set(dut.en, en)
            ctx.set(dut.clear, clear)
            if zero_pointed:
                ctx.set(dut.z, z)
            if en:
                if clear:
                    sums = [[], []]
                sums = [old + new for old, new in zip(sums, codes, strict=True)]
            w, a = sums
            trace = golden.trace(a, w, spec, z if zero_pointed else None)
            shown.append(trace[-1] if trace else 0)
            await ctx.tick()
            shown.pop(0)
            assert ctx.get(dut.acc) == shown[0]
            compared += en

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    assert compared > 15


def test_a_zero_point_may_change_only_with_a_new_sum_in_golden_and_here_with_every_group():
    """`z` belongs to its group: two groups with different zero points add up."""
    spec = MacSpec("int4z", "int8", 24, "wrap", lanes=2)
    dut = DotProduct(spec, "fused-digits", 2)

    async def testbench(ctx):
        for z in (0, 7, 15):
            ctx.set(dut.en, 1)
            ctx.set(dut.w, [9, 3])
            ctx.set(dut.a, [100, 156])
            ctx.set(dut.z, z)
            await ctx.tick()
        ctx.set(dut.en, 0)
        await ctx.tick().repeat(2)
        expected = sum((9 - z) * 100 + (3 - z) * -100 for z in (0, 7, 15))
        assert ctx.get(dut.acc) == expected

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize("lanes", [1, 33])
def test_lanes_out_of_range(lanes):
    with pytest.raises(ValueError, match=rf"^a dot product has 2 to 32 lanes, not {lanes}$"):
        DotProduct(MacSpec("int4", "int8", 40, lanes=lanes))
    with pytest.raises(ValueError, match=r"^pipeline must be 0 to 2 stages, not 3$"):
        DotProduct(MacSpec("int4", "int8", 40, lanes=2), pipeline=3)
