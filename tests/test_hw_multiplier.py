# amaranth: UnusedElaboratable=no
"""Multipliers: all pairs of codes in Amaranth's simulator."""

import pytest
from amaranth.sim import Simulator

from macsmith.hw.multiplier import Multiplier
from macsmith.sim.spec import MacSpec


@pytest.mark.parametrize(
    ("weights", "activations"), [("dint3", "int4"), ("dint3z", "int2"), ("fp4_e2m1", "fp4_e3m0")]
)
def test_all_pairs(weights, activations):
    spec = MacSpec(weights, activations)
    dut = Multiplier(spec)
    compared = 0

    async def testbench(ctx):
        nonlocal compared
        for z in spec.weights.zero_points:
            if spec.weights.zero_pointed:
                ctx.set(dut.z, z)
            for w, w_level in enumerate(spec.weights.levels_at(z)):
                ctx.set(dut.w, w)
                for a, a_level in enumerate(spec.activations.levels):
                    ctx.set(dut.a, a)
                    await ctx.delay(1e-9)
                    assert ctx.get(dut.product) == w_level * a_level, f"{w=:#x} {a=:#x} {z=}"
                    compared += 1

    sim = Simulator(dut)
    sim.add_testbench(testbench)
    sim.run()
    pairs = 2 ** (spec.weights.width + spec.activations.width)
    assert compared == pairs * len(spec.weights.zero_points)


def test_ports_and_unknown_style():
    members = Multiplier(MacSpec("dint4z", "int8")).signature.members
    assert {name: member.shape.width for name, member in members.items()} == {
        "w": 4, "a": 8, "z": 4, "product": 13,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"^unknown multiplier style 'booth'; the nearest is 'b"):
        Multiplier(MacSpec("int8", "int8"), style="booth")
