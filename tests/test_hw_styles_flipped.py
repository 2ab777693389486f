# amaranth: UnusedElaboratable=no
"""The multiplier of magnitudes: every product of small formats, and what it refuses."""

from operator import attrgetter

import pytest
from amaranth.sim import Simulator

from macsmith.hw.multiplier import MULTIPLIERS, Multiplier
from macsmith.sim import golden
from macsmith.sim.catalog import FORMATS
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

ONE_BIT = Format("one_bit", 1, (0, -1))
POSITIVE = Format("positive", 2, (0, 3, 5, 6))
ACTIVATIONS = [ONE_BIT, FORMATS["int2"], FORMATS["dint4"]]
NAME = attrgetter("name")
SERVED = [FORMATS[n] for n in ("int2", "int3", "int4", "dint3", "dint4", "dint4_sr", "fp4_e2m1")]


@pytest.mark.parametrize("activations", ACTIVATIONS, ids=NAME)
@pytest.mark.parametrize("weights", [*SERVED, ONE_BIT, POSITIVE], ids=NAME)
def test_every_product_is_goldens(weights, activations):
    spec = MacSpec(weights, activations, 32)
    dut, compared = Multiplier(spec, "flipped"), 0

    async def testbench(ctx):
        nonlocal compared
        for w in range(2**weights.width):
            for a in range(2**activations.width):
                ctx.set(dut.w, w)
                ctx.set(dut.a, a)
                await ctx.delay(1e-9)
                assert ctx.get(dut.product) == golden.dot([a], [w], spec), (w, a)
                compared += 1

    sim = Simulator(dut)
    sim.add_testbench(testbench)
    sim.run()
    assert compared == 2 ** (weights.width + activations.width)


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        ("dint4z", "the signs of dint4z depend on its zero point"),
        ("nf4", "levels of nf4 have more than 10 bits"),
        ("int8", "some magnitudes of int8 need more than 3 signed powers of two"),
        ("fp4_e3m0", "the rows of fp4_e3m0 need signs of their own besides the weight's"),
    ],
)
def test_what_it_cannot_serve_is_said_in_one_line(weights, why):
    spec = MacSpec(weights, "int8", 40)
    assert "flipped" not in MULTIPLIERS.names(spec)
    with pytest.raises(
        ValueError, match=r"^multiplier style 'flipped' cannot serve this: "
    ) as said:
        Multiplier(spec, "flipped")
    assert str(said.value).endswith(why)
    assert "\n" not in str(said.value)
