# amaranth: UnusedElaboratable=no
"""`hw.timing`: interpolation by hand, boundary conditions, and OpenSTA on the same netlist.

OpenSTA's slack at the clock period that `hw.timing` finds is to be zero. Both take the clock for
ideal, behind a gate as well, and both give a gate's enable the time until the clock rises, without
a margin. Only OpenSTA asks that an enable hold until the clock has fallen (a check of hold times).
"""

from dataclasses import replace

import pytest
from opensta import GATING, slacks_ps
from technology import library, netlist, tiny

from macsmith.experiments.units import UNITS, make_unit, spec_for
from macsmith.hw.clocking import clock_tree
from macsmith.hw.mac import Mac
from macsmith.hw.recipes import RECIPES
from macsmith.hw.synth import assess, synthesize
from macsmith.hw.timing import Boundary, analyze
from macsmith.sim.spec import MacSpec

BOUNDARY = Boundary(input_slew_ps=20, clock_slew_ps=10, output_load_ff=6)


def test_chain_of_inverters_by_hand(tmp_path):
    """Tables of INV at (slew, load): rise 10 30 / 20 60, fall 10 20 / 10 40, slews below.

    A falling `a` (slew 20) makes n rise into 2.2 fF: delay between 10.5 and 21, so 15.75; slew
    20.5 whatever the input. That makes y fall into 6 fF: between 15 and 25, at 20.5 so 20.25.
    A rising `a` makes n fall into 1.8 fF, below the table: between 9.75 and 9.25, so 9.5; slew
    between 9.5 and 19.5, so 14.5. That makes y rise: between 20 and 40, at 14.5 so 24.5.
    """
    chain = netlist("a", "y", "INV A=a Y=n", "INV A=n Y=y")
    timing = analyze(chain, tiny(tmp_path), BOUNDARY)
    at = {name: timing.arrival_ps[i] for i, name in enumerate(chain.net_names)}
    slew = {name: timing.slew_ps[i] for i, name in enumerate(chain.net_names)}
    assert at["n"] == pytest.approx([15.75, 9.5])
    assert slew["n"] == pytest.approx([20.5, 14.5])
    assert at["y"] == pytest.approx([9.5 + 24.5, 15.75 + 20.25])
    assert timing.delay_ps == pytest.approx(36.0)
    assert timing.slack_ps(30) == pytest.approx(-6.0)
    assert [(step.net, step.edge, step.cell) for step in timing.path] == [
        ("a", "fall", ""),
        ("n", "rise", "INV"),
        ("y", "fall", "INV"),
    ]


def test_clock_to_output_and_setup_count(tmp_path):
    """DFF at clock slew 10: QN rises into u1.A's 2.2 fF after 40 + 40 * 0.025 = 41 with slew
    10.5, falls into 1.8 fF after 39 with slew 9.5. u1 then falls into D's 2 fF at slew 10.5 (10)
    or rises at slew 9.5 (9.75), its slews being 10.25 and 20. Setup at the clock's slew 10: 20 for
    a falling D; for a rising one 10 at a data slew of 10 and 20 at 30, so 15 at 20."""
    loop = netlist("clk", "q", "DFF CK=clk D=d QN=q", "INV A=q Y=d")
    timing = analyze(loop, tiny(tmp_path), Boundary(20, 10, 0))
    assert timing.endpoint == "u0/D"
    assert timing.setup_ps == pytest.approx(20)
    assert timing.delay_ps == pytest.approx(41 + 10 + 20)
    assert [step.net for step in timing.path] == ["clk", "q", "d"]


def test_inputs_can_arrive_later(tmp_path):
    chain = netlist("a", "y", "INV A=a Y=n", "INV A=n Y=y")
    late = Boundary(20, 10, 6, input_arrival_ps=100)
    assert analyze(chain, tiny(tmp_path), late).delay_ps == pytest.approx(136.0)


def test_constants_do_not_switch(tmp_path):
    still = netlist("a", "y", "NAND2 A=1 B=0 Y=n", "INV A=n Y=y")
    assert analyze(still, tiny(tmp_path), BOUNDARY).delay_ps == 0


def test_clock_through_inverters(tmp_path):
    twice = netlist("clk d", "q", "INV A=clk Y=n", "INV A=n Y=c", "DFF CK=c D=d QN=q")
    assert analyze(twice, tiny(tmp_path), BOUNDARY).endpoint == "q"
    once = netlist("clk d", "q", "INV A=clk Y=n", "DFF CK=n D=d QN=q")
    with pytest.raises(ValueError, match=r"^hand: u1 \(DFF\) is clocked by the falling edge"):
        analyze(once, tiny(tmp_path), BOUNDARY)
    with pytest.raises(ValueError, match=r"^hand: wanted a one-bit input port 'clk', got d, ck"):
        analyze(netlist("d ck", "q", "DFF CK=ck D=d QN=q"), tiny(tmp_path), BOUNDARY)
    with pytest.raises(ValueError, match=r"^hand: u0 is a LATCH: only flip-flops are known"):
        analyze(netlist("d clk", "q", "LATCH G=clk D=d Q=q"), tiny(tmp_path), BOUNDARY)


def test_default_boundary_is_a_chain_of_inverters():
    lib = library("osu018")
    boundary = Boundary.of(lib)
    gate = lib.inverter
    arc = gate.pins["Y"].timing[0]
    load = 4 * gate.pins["A"].cap
    slews = [table.at(boundary.input_slew_ps, load) for table in (arc.rise_slew, arc.fall_slew)]
    assert boundary.input_slew_ps == pytest.approx(sum(slews) / 2)
    assert boundary.clock_slew_ps == boundary.input_slew_ps
    assert boundary.output_load_ff == lib.flip_flop.pins["D"].cap


LIBRARIES = ["osu018", "sky130hd", "asap7"]
EXACT = 1e-4  # of the period; the promise is 2 %
SMALL = {  # seconds are spent in synthesis
    "shared": {"outputs": 2},
    "array": {"rows": 2, "cols": 2},
    "gemm": {"rows": 2, "cols": 2, "depth": 16, "zero_points": False},
    "float_mac": {"fmt": "bf16"},
}


def small(unit, **options):
    lanes = 2 if unit == "dot" else 1
    spec = spec_for(unit, "dint4", "int4", 12, "wrap", lanes)
    return make_unit(unit, spec, **SMALL.get(unit, {}), **options)


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_is_as_slow_as_opensta_says(unit, name, tmp_path):
    lib = library(name)
    late = replace(Boundary.of(lib), input_arrival_ps=70)
    found = synthesize(small(unit), lib, clock_ps=50000, boundary=late, recipes=RECIPES[:1])
    (slack,) = slacks_ps(found, tmp_path, found.delay_ps).values()
    assert slack == pytest.approx(0, abs=EXACT * found.delay_ps)


@pytest.mark.parametrize("name", LIBRARIES)
def test_adder_cells_are_as_slow_as_opensta_says(name, tmp_path):
    unit = small("mac", style="fused-dadda")
    found = synthesize(unit, library(name), clock_ps=50000, adders="cells", recipes=RECIPES[:1])
    (slack,) = slacks_ps(found, tmp_path, found.delay_ps).values()
    assert slack == pytest.approx(0, abs=EXACT * found.delay_ps)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_gated_clock_is_opensta_s(name, tmp_path):
    """The gate's enable is not critical: its own slack is compared."""
    found = synthesize(small("mac", style="gated-booth4"), library(name), clock_ps=50000)
    slacks = slacks_ps(found, tmp_path, found.delay_ps)
    assert slacks["clk"] == pytest.approx(0, abs=EXACT * found.delay_ps)
    ((gate, pin),) = clock_tree(found.netlist, found.technology, "clk").enables
    enable = found.netlist.instances[gate].pins[pin]
    late = found.timing.arrival_ps[enable].max()
    assert slacks[GATING] == pytest.approx(found.delay_ps / 2 - late, abs=EXACT * found.delay_ps)


@pytest.mark.parametrize(("before", "behind"), [(9, 0), (0, 10)])
def test_half_a_period_is_opensta_s(before, behind, tmp_path):
    """Inverters before the falling-edge flip-flop, or between it and the gate."""
    cells = ["DFFPOSX1 CLK=clk D=en Q=a0", *_inverters("a", before)]
    cells += [f"DFFNEGX1 CLK=clk D=a{before} Q=b0", *_inverters("b", behind)]
    cells += [f"AND2X2 A=clk B=b{behind} Y=gated", "DFFPOSX1 CLK=gated D=d Q=q"]
    found = assess(netlist("clk en d", "q", *cells), library("osu018"))
    assert found.endpoint == (f"u{before + 1}/D" if before else f"u{behind + 2}/B")
    slacks = slacks_ps(found, tmp_path, found.delay_ps)
    critical = slacks["clk"] if before else slacks[GATING]
    assert critical == min(slacks.values())
    assert critical == pytest.approx(0, abs=EXACT * found.delay_ps)


def _inverters(net, count):
    return [f"INVX1 A={net}{i} Y={net}{i + 1}" for i in range(count)]


@pytest.mark.parametrize(
    ("name", "clock_ps", "weights", "booth"),
    [
        ("osu018", 9000, "int8", False),
        ("osu018", 6000, "dint4", True),
        ("sky130hd", 9000, "dint4", False),
        ("asap7", 1000, "dint4", False),
        ("asap7", 400, "int8", True),  # not met: buffers and large cells
    ],
)
def test_slack_is_opensta_s(name, clock_ps, weights, booth, tmp_path):
    lib = library(name)
    spec = MacSpec(weights=weights, activations="int8", acc_width=24, overflow="wrap")
    found = synthesize(Mac(spec), lib, clock_ps=clock_ps, booth=booth)
    (slack,) = slacks_ps(found, tmp_path, clock_ps).values()
    assert found.delay_ps == pytest.approx(clock_ps - slack, rel=EXACT)


def test_hand_made_library_is_opensta_s(tmp_path):
    cells = "DFF CK=clk D=d QN=q", "NAND2 A=q B=a Y=n", "INV A=n Y=d", "INV A=q Y=y"
    found = assess(netlist("clk a", "y", *cells), tiny(tmp_path), clock_ps=500, boundary=BOUNDARY)
    (slack,) = slacks_ps(found, tmp_path, 500).values()
    assert 500 - slack == pytest.approx(found.delay_ps, abs=0.01)
