# amaranth: UnusedElaboratable=no
"""Clock gates: followed, simulated, timed; and refused where they could glitch."""

import numpy as np
import pytest
from technology import library, netlist, tiny

from macsmith.experiments.operands import uniform
from macsmith.hw.clocking import clock_tree
from macsmith.hw.gatesim import run
from macsmith.hw.mac import Mac
from macsmith.hw.power import energy
from macsmith.hw.synth import synthesize
from macsmith.hw.timing import Boundary, analyze
from macsmith.sim.spec import MacSpec

#: An enable held by a falling-edge flip-flop, an AND of it and the clock, a flip-flop behind it.
GATED = (
    "INV A=clk Y=nclk", "DFF CK=nclk D=en QN=nhold", "INV A=nhold Y=hold",
    "NAND2 A=clk B=hold Y=ng", "INV A=ng Y=g", "DFF CK=g D=d QN=q",
)  # fmt: skip


def test_a_gate_is_followed(tmp_path):
    gated = netlist("clk en d", "q", *GATED)
    tree = clock_tree(gated, tiny(tmp_path), "clk")
    names = {gated.net_names[net] for net in tree.nets}
    assert names == {"clk", "nclk", "ng", "g"}
    assert {gated.instances[i].name for i in tree.instances} == {"u0", "u3", "u4"}
    assert tree.flip_flops == (1, 5)
    assert tree.falling == {1}
    assert tree.enables == {(3, "B")}


def test_a_gated_flip_flop_takes_what_it_sees_only_where_enabled(tmp_path):
    rng = np.random.default_rng(0)
    en, d = rng.integers(0, 2, (2, 100, 300))
    seen = run(netlist("clk en d", "q", *GATED), tiny(tmp_path), {"en": en, "d": d})
    state = np.zeros(100, np.int64)
    for cycle in range(300):
        assert (seen.outputs["q"][:, cycle] == state).all()
        state = np.where(en[:, cycle], 1 - d[:, cycle], state)  # the output is QN
    net = netlist("clk en d", "q", *GATED).net_names.index("g")
    rises, falls = int(en.sum()), int(en[:, :-1].sum())  # the last cycle ends with the clock high
    assert seen.toggles[net].tolist() == [rises, falls]


def test_a_falling_flip_flop_has_half_a_period(tmp_path):
    gated, lib = netlist("clk en d", "q", *GATED), tiny(tmp_path)
    early, late = (analyze(gated, lib, Boundary(20, 10, 6, arrival)) for arrival in (500, 550))
    assert late.endpoint == "u1/D"
    assert late.delay_ps - early.delay_ps == pytest.approx(2 * 50)


def test_what_may_glitch_is_refused(tmp_path):
    lib = tiny(tmp_path)
    rising = [cell.replace("CK=nclk", "CK=clk") for cell in GATED]
    with pytest.raises(
        ValueError, match=r"^hand: the enable of clock gate u3 \(.*\) may change wh"
    ):
        clock_tree(netlist("clk en d", "q", *rising), lib, "clk")
    from_port = netlist("clk en d", "q", "NAND2 A=clk B=en Y=n", "INV A=n Y=g", "DFF CK=g D=d QN=q")
    with pytest.raises(ValueError, match=r"^hand: the enable of clock gate u0 \(en\) may change"):
        clock_tree(from_port, lib, "clk")
    inverted = netlist("clk en d", "q", "NAND2 A=clk B=en Y=g", "DFF CK=g D=d QN=q")
    with pytest.raises(ValueError, match=r"^hand: u1 \(DFF\) is not clocked by an edge of 'clk'$"):
        clock_tree(inverted, lib, "clk")
    as_data = netlist("clk en d", "q r", *GATED, "DFF CK=clk D=hold QN=r")
    with pytest.raises(
        ValueError, match=r"^hand: u1 \(DFF\) is clocked by the falling edge of the"
    ):
        clock_tree(as_data, lib, "clk")


@pytest.mark.parametrize("name", ["osu018", "sky130hd", "asap7"])
def test_a_gated_mac_stands_still_while_nothing_enters(name):
    """In a real library: right sums with stalls, and less energy in the clock when idle."""
    spec = MacSpec("int4", "int4", 12)
    made = synthesize(Mac(spec, "gated-booth4"), library(name), clock_ps=20_000, name="mac")
    operands = uniform(spec, depth=64)
    rng = np.random.default_rng(1)
    shape = operands.w.shape[0], operands.w.shape[1] * 2
    en = rng.permuted(np.repeat([[0, 1]], operands.w.shape[1], axis=1).repeat(shape[0], 0), axis=1)
    order = np.cumsum(en, axis=1) - en  # which product each cycle shows, entering or not
    order = np.minimum(order, operands.w.shape[1] - 1)
    stimulus = {
        "en": en,
        "clear": np.take_along_axis(operands.clear.astype(int), order, 1),
        "w": np.take_along_axis(operands.w, order, 1),
        "a": np.take_along_axis(operands.a, order, 1),
    }
    spent = energy(made, stimulus)
    sums = np.pad(operands.expected(spec), ((0, 0), (1, 0)))
    after = np.take_along_axis(sums, np.cumsum(en, axis=1), 1)  # of what entered up to each cycle
    assert (spent.activity.outputs["acc"][:, 2:] == after[:, :-2]).all()
    idle = energy(made, {port: codes * (port != "en") for port, codes in stimulus.items()},
                  products=int(en.sum()))  # fmt: skip
    assert idle.clock_pj < 0.8 * spent.clock_pj


@pytest.mark.parametrize("style", ["isolated-booth4", "gated-booth4"])
def test_held_operands_leave_a_multiplier_at_rest(style):
    """Where nothing enters, whatever the ports show: what is not the clock takes little."""
    spec, quiet = MacSpec("int4", "int4", 12), {}
    operands = uniform(spec, depth=64)
    shown = {"clear": operands.clear.astype(int), "w": operands.w, "a": operands.a}
    for name in ("separate-booth4", style):
        made = synthesize(Mac(spec, name), library("osu018"), clock_ps=20_000, name="mac")
        spent = energy(made, {"en": np.zeros_like(operands.w), **shown}, products=1)
        quiet[name] = spent.dynamic_pj - spent.clock_pj
    assert quiet[style] < 0.2 * quiet["separate-booth4"]
