# amaranth: UnusedElaboratable=no
"""A style is one file: one that is defined here serves every unit, command, bench and proof.

And every style of the library computes exact products.
"""

import random

import pytest
from amaranth import Module, Signal, signed
from amaranth.sim import Simulator
from tools import needs

from macsmith.experiments.units import UNITS
from macsmith.hw.dot import DOTS
from macsmith.hw.heap import Heap
from macsmith.hw.mac import MACS
from macsmith.hw.multiplier import MULTIPLIERS, Multiplier, Scheme
from macsmith.hw.shared import SHARED
from macsmith.sim.catalog import FORMATS
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec


class Serial(Scheme):
    """A row of the weight for each bit of the activation."""

    def rows(self, m: Module, heap: Heap, weight, activation, name):
        for k, bit in enumerate(activation):
            row = Signal(signed(len(weight) + 1), name=f"{name}_{k}")
            last = k == len(activation) - 1
            with m.If(bit):
                m.d.comb += row.eq(-weight if last else weight)
            heap.add(row, k)


@pytest.fixture
def serial(monkeypatch):
    """The style, registered for one test."""
    MULTIPLIERS.names()  # discover the others first
    monkeypatch.setattr(MULTIPLIERS, "_by_name", dict(MULTIPLIERS._by_name))
    MULTIPLIERS.add("serial")(Serial)


SPEC = MacSpec("dint3", "int4", 12, "wrap")


def test_the_style_is_known_everywhere_at_once(serial):
    assert "serial" in MULTIPLIERS.names(SPEC)
    assert {"separate-serial", "fused-serial", "carrysave-serial"} <= set(MACS.names(SPEC))
    assert "fused-serial" in DOTS.names(MacSpec("dint3", "int4", 12, lanes=2))
    assert "fused-serial" in SHARED.names(SPEC)
    assert "carrysave-serial" in UNITS["mac"].style_names(SPEC)


def test_it_is_verified_like_any_other(serial):
    from macsmith.experiments.verify import runner

    needs("icarus")
    for unit, style in (("multiplier", "serial"), ("mac", "fused-serial")):
        result = runner.run(unit, [SPEC], "icarus", style=style)
        assert result.ok, result.failures
        assert result.results > 100


def test_it_is_proven_like_any_other(serial):
    from macsmith.experiments.verify.proof import prove

    found = prove("multiplier", [SPEC], ["serial"])
    assert found.ok
    assert [proof.style for proof in found.proofs] == ["serial"]


def test_a_name_is_taken_once(serial):
    with pytest.raises(ValueError, match=r"^multiplier style 'serial' exists already$"):
        MULTIPLIERS.add("serial")


#: Formats that every scheme must get right, or refuse: one bit, no sign, no zero at code 0, wide.
ODD = [
    Format("one_bit", 1, (0, -1)),
    Format("positive", 2, (0, 3, 5, 6)),
    Format("far", 2, (1, -23, 0, 90)),
    Format("even", 3, (0, 4, 8, 12, -16, -12, -8, -4), 2),
]
FORMAT_NAMES = [name for name, fmt in FORMATS.items() if fmt.level_width <= 20]
WEIGHTS = [*ODD, *(FORMATS[name] for name in FORMAT_NAMES)]


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda fmt: fmt.name)
def test_every_scheme_makes_exact_products(weights):
    activations = ODD[1] if weights.width == 1 else FORMATS["int8"]
    spec = MacSpec(weights, activations, 48)
    rng = random.Random(weights.name)
    m = Module()
    duts = {style: Multiplier(spec, style) for style in MULTIPLIERS.names(spec)}
    for style, dut in duts.items():
        m.submodules[style] = dut
    compared = 0

    async def testbench(ctx):
        nonlocal compared
        for w in range(2**weights.width) if weights.width < 8 else rng.sample(range(256), 40):
            z = rng.choice(weights.zero_points) if weights.zero_pointed else 0
            for a in {0, 2**activations.width // 2, rng.randrange(2**activations.width)}:
                want = weights.levels_at(z)[w] * activations.levels[a]
                for style, dut in duts.items():
                    ctx.set(dut.w, w)
                    ctx.set(dut.a, a)
                    if weights.zero_pointed:
                        ctx.set(dut.z, z)
                    await ctx.delay(1e-9)
                    assert ctx.get(dut.product) == want, (style, w, a, z)
                    compared += 1

    sim = Simulator(m)
    sim.add_testbench(testbench)
    sim.run()
    assert len(duts) >= 6
    assert compared >= 2 * len(duts)
