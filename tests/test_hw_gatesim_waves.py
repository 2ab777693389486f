# amaranth: UnusedElaboratable=no
"""`hw.gatesim` with delays: glitches by hand, and edge by edge as Icarus has them."""

import subprocess

import numpy as np
import pytest
from technology import library, needs_osu018, netlist, tiny
from tools import needs

from macsmith.hw.boolean import Expr
from macsmith.hw.delays import net_delays
from macsmith.hw.gatesim import run
from macsmith.hw.mac import Mac
from macsmith.hw.multiplier import Multiplier
from macsmith.hw.netlist import CONST1, Netlist
from macsmith.hw.power import energy
from macsmith.hw.synth import assess, synthesize
from macsmith.hw.timing import Boundary
from macsmith.sim.spec import MacSpec

INFIX = {"and": "&", "or": "|", "xor": "^"}
BOUNDARY = Boundary(input_slew_ps=20, clock_slew_ps=10, output_load_ff=6)


def edges(tmp_path, cells, delays, **stimulus):
    """Rising and falling edges of each net by name, with delays by the name of a net."""
    one = netlist(*cells)
    late = np.array([delays.get(name, 0) for name in one.net_names])
    seen = run(one, tiny(tmp_path), stimulus, delays=late)
    return dict(zip(one.net_names, seen.toggles.tolist(), strict=True)), seen


@pytest.mark.parametrize(("slow", "fast", "count"), [(9, 4, 1), (9, 6, 1), (9, 10, 0), (9, 9, 1)])
def test_a_hazard_passes_if_it_lasts_for_the_delay(tmp_path, slow, fast, count):
    """y = !(a & !a): low from where a rises until n follows, `slow` later."""
    cells = "a", "y", "INV A=a Y=n", "NAND2 A=a B=n Y=y"
    found, seen = edges(tmp_path, cells, {"n": slow, "y": fast}, a=np.array([1, 1, 0, 1]))
    assert found["n"] == [1, 2]
    assert found["y"] == [2 * count, 2 * count]  # a rises twice; when it falls there is no hazard
    assert seen.outputs["y"].tolist() == [[1, 1, 1, 1]]
    # The cell's own function has both edges, whether or not they come out: 01 -> 11 -> 10.
    events = seen.events[1]
    assert events[0b01 << 2 | 0b11] == events[0b11 << 2 | 0b10] == 2


def test_only_the_bits_that_stay_are_followed(tmp_path):
    """64 streams at once: in even ones the operand moves, in odd ones it does not."""
    a = np.tile(np.array([[0, 1, 0, 1], [0, 0, 0, 0]]), (32, 1))
    cells = "a", "y", "INV A=a Y=n", "NAND2 A=a B=n Y=y"
    found, _ = edges(tmp_path, cells, {"n": 9, "y": 4}, a=a)
    assert found["y"] == [64, 64]


def test_delays_are_the_mean_of_a_cell_s_tables(tmp_path):
    """Slew 20 ps and load 6 fF are in the middle of the tables: rise (10 + 30 + 20 + 60) / 4 ps,
    fall (10 + 20 + 10 + 40) / 4."""
    found = assess(netlist("a", "y", "INV A=a Y=y"), tiny(tmp_path), boundary=BOUNDARY)
    y = found.netlist.net_names.index("y")
    assert net_delays(found)[y] == (30_000 + 20_000) / 2
    assert net_delays(found)[found.netlist.net_names.index("a")] == 0


def text(expr: Expr, env) -> str:
    if expr.op == "const":
        return f"1'b{expr.value:d}"
    if expr.op == "var":
        return env[expr.name]
    args = [text(arg, env) for arg in expr.args]
    return f"(~{args[0]})" if expr.op == "not" else f"({args[0]} {INFIX[expr.op]} {args[1]})"


def bench(one: Netlist, lib, delays, words: list[dict[str, int]], period: int) -> str:
    """Continuous assignments with inertial delays, and a counter of each net's edges."""
    nets = range(len(one.net_names))
    lines = ["`timescale 1fs/1fs", "module t;", "wire n0 = 0, n1 = 1; reg clk = 1, on = 0;"]
    driven = {net for port in one.inputs.values() for net in port.bits}
    for k, instance in enumerate(one.instances):
        cell = lib.cell(instance.type)
        env = {pin: f"n{net}" for pin, net in instance.pins.items()}
        if cell.ff:
            env |= {cell.ff.state: f"s{k}", cell.ff.inverse: f"(~s{k})"}
            lines.append(f"reg s{k} = 0; always @(posedge clk) s{k} <= ")
            lines[-1] += f"{text(cell.ff.next_state, env)};"
        for pin in cell.outputs:
            if (net := instance.pins.get(pin)) is not None:
                value = text(cell.pins[pin].function, env)
                lines.append(f"wire #{delays[net]} n{net} = {value};")
    for name, port in one.inputs.items():
        if name == "clk":
            lines.append(f"assign n{port.bits[0]} = clk;")
            lines.insert(3, f"wire n{port.bits[0]};")
        else:
            regs = ", ".join(f"n{net} = 0" for net in port.bits)
            lines.insert(3, f"reg {regs};")
    counted = [net for net in nets if net > CONST1 and one.net_names[net] != "clk"]
    for net in counted:
        lines.append(f"integer r{net} = 0, f{net} = 0;")
        lines.append(f"always @(posedge n{net}) if (on) r{net} = r{net} + 1;")
        lines.append(f"always @(negedge n{net}) if (on) f{net} = f{net} + 1;")
    lines.append("initial begin")
    for k, word in enumerate(words):
        for name, code in word.items():
            bits = one.inputs[name].bits
            lines += [f"n{net} = {code >> j & 1};" for j, net in enumerate(bits)]
        lines += [f"#{period // 2} clk = 0; #{period // 2};"]
        lines += ["on = 1;"] if k == 1 else []
        lines += ["clk = 1;"] if k < len(words) - 1 else []
    lines += [f'$display("{net} %0d %0d", r{net}, f{net});' for net in counted]
    assert driven
    return "\n".join([*lines, "end", "endmodule", ""])


@needs_osu018
@pytest.mark.parametrize("unit", ["multiplier", "mac"])
def test_every_edge_is_icarus_s(tmp_path, unit):
    needs("icarus")
    lib = library("osu018")
    spec = MacSpec("dint4", "int8", 16)
    component = Multiplier(spec) if unit == "multiplier" else Mac(spec)
    found = synthesize(component, lib, clock_ps=10_000, name=unit)
    one, rng = found.netlist, np.random.default_rng(0)
    # Delays of which no two sums are the same: where a pulse is as long as a delay, simulators
    # differ.
    delays = np.where(net_delays(found) > 0, net_delays(found) + rng.integers(1, 999, 1), 0)
    delays += np.where(delays > 0, rng.integers(0, 20_000, len(delays)), 0)
    cycles = 60
    codes = {
        name: rng.integers(0, 2 ** len(port.bits), cycles)
        for name, port in one.inputs.items()
        if name not in ("clk", "rst")
    }
    if unit == "mac":
        codes["clear"] = (rng.random(cycles) < 0.1).astype(np.int64)
        codes["rst"] = np.zeros(cycles, np.int64)
    seen = run(one, lib, codes, delays=delays)
    still = run(one, lib, codes)
    assert all((seen.outputs[name] == still.outputs[name]).all() for name in still.outputs)
    assert seen.toggles.sum() > 1.2 * still.toggles.sum()  # there are glitches
    reset = [{name: int(name == "rst") for name in codes}] * 2
    words = reset + [{name: int(x[k]) for name, x in codes.items()} for k in range(cycles)]
    path = tmp_path / "t.v"
    path.write_text(bench(one, lib, delays, words, 20_000_000))
    build = ["iverilog", "-g2005", "-o", str(tmp_path / "t"), str(path)]
    subprocess.run(build, check=True, capture_output=True)
    out = subprocess.run(
        ["vvp", "-n", str(tmp_path / "t")], check=True, capture_output=True, text=True
    ).stdout
    counts = np.array([line.split() for line in out.splitlines()], np.int64)
    assert len(counts) > 100
    assert (seen.toggles[counts[:, 0]] == counts[:, 1:]).all()


@needs_osu018
def test_energy_with_glitches():
    lib = library("osu018")
    found = synthesize(Multiplier(MacSpec("int8", "int8", 16)), lib, clock_ps=10_000)
    rng = np.random.default_rng(0)
    codes = {"w": rng.integers(0, 256, (64, 50)), "a": rng.integers(0, 256, (64, 50))}
    still, moving = energy(found, codes), energy(found, codes, glitches=True)
    assert still.glitch_pj is None
    assert moving.glitch_pj == pytest.approx(moving.dynamic_pj - still.dynamic_pj)
    assert moving.glitch_pj > 0.1 * still.dynamic_pj
    assert moving.toggles > still.toggles
    assert energy(found, codes, glitches=True) == moving
    words = {name: x * 0 for name, x in codes.items()}
    assert energy(found, words, glitches=True).glitch_pj == 0
