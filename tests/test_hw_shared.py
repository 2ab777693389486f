# amaranth: UnusedElaboratable=no
"""Shared multiples in Amaranth's simulator against golden, output by output, in every style."""

import random

import pytest
from amaranth.sim import Simulator

from macsmith.hw.shared import SHARED, SharedMultiples
from macsmith.sim import golden
from macsmith.sim.spec import MacSpec


def narrow(weights, activations, overflow):
    width = MacSpec(weights, activations, 60).product_width + 1
    return MacSpec(weights, activations, width, overflow)


SPECS = [
    narrow("int8", "int8", "saturate"),
    narrow("dint4", "int8", "wrap"),
    narrow("dint4z", "int8", "saturate"),
    narrow("fp4_e3m0", "fp8_e4m3", "wrap"),
    narrow("fp4_e2m1", "int4", "saturate"),
]
CASES = [
    (spec, style, (j + k) % 3)
    for j, spec in enumerate(SPECS)
    for k, style in enumerate(SHARED.names(spec))
]


@pytest.mark.parametrize(
    ("spec", "style", "pipeline"), CASES, ids=[f"{s.weights.name}-{t}-{p}" for s, t, p in CASES]
)
def test_every_output_is_a_mac(spec, style, pipeline):
    outputs, cycles = 3, 30
    dut = SharedMultiples(spec, outputs, style, pipeline)
    rng = random.Random(f"{spec} {style}")
    zero_pointed = spec.weights.zero_pointed
    w_codes, a_codes = 2**spec.weights.width, 2**spec.activations.width
    shown, compared = [[0] * outputs] * dut.latency, 0

    async def testbench(ctx):
        nonlocal compared
        a_seen, w_seen, zs = [], [[] for _ in range(outputs)], [0] * outputs
        for _ in range(cycles):
            en, clear = rng.random() < 0.8, rng.random() < 0.15
            a = rng.choice([0, a_codes // 2, a_codes // 2 - 1, rng.randrange(a_codes)])
            w = [rng.randrange(w_codes) for _ in range(outputs)]
            if en and clear:
                a_seen, w_seen = [], [[] for _ in range(outputs)]
                zs = [rng.randrange(w_codes) for _ in range(outputs)]
            ctx.set(dut.en, en)
            ctx.set(dut.clear, clear)
            ctx.set(dut.a, a)
            ctx.set(dut.w, w)
            if zero_pointed:
                ctx.set(dut.z, zs)
            if en:
                a_seen.append(a)
                for codes, code in zip(w_seen, w, strict=True):
                    codes.append(code)
            sums = [
                golden.trace(a_seen, codes, spec, z if zero_pointed else None) or [0]
                for codes, z in zip(w_seen, zs, strict=True)
            ]
            shown.append([trace[-1] for trace in sums])
            await ctx.tick()
            shown.pop(0)
            assert [ctx.get(dut.acc[n]) for n in range(outputs)] == shown[0]
            compared += en

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    assert compared > cycles // 2


def test_bad_numbers():
    with pytest.raises(ValueError, match=r"^shared multiples need a spec of 1 lane, not 2$"):
        SharedMultiples(MacSpec("int4", "int8", lanes=2))
    with pytest.raises(ValueError, match=r"^outputs must be 1 to 256, not 0$"):
        SharedMultiples(MacSpec("int4", "int8"), outputs=0)
    with pytest.raises(ValueError, match=r"^pipeline must be 0 to 2 stages, not -1$"):
        SharedMultiples(MacSpec("int4", "int8"), pipeline=-1)
