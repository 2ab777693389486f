# amaranth: UnusedElaboratable=no
"""`hw.gatesim`: netlists compute what they should, and edges are counted."""

import re

import numpy as np
import pytest
from technology import TINY, library, netlist, tiny

from macsmith.hw.gatesim import run
from macsmith.hw.liberty import load
from macsmith.hw.mac import Mac
from macsmith.hw.synth import synthesize
from macsmith.sim import golden
from macsmith.sim.spec import MacSpec


def test_one_gate_over_all_its_inputs(tmp_path):
    gate = netlist("a b", "y", "NAND2 A=a B=b Y=y")
    seen = run(gate, tiny(tmp_path), {"a": np.array([0, 0, 1, 1]), "b": np.array([0, 1, 0, 1])})
    assert seen.outputs["y"].tolist() == [[1, 1, 1, 0]]
    edges = dict(zip(gate.net_names, seen.toggles.tolist(), strict=True))
    assert edges["a"] == [1, 0]
    assert edges["b"] == [2, 1]
    assert edges["y"] == [0, 1]
    assert seen.pins == (("A", "B"),)
    moves = {(code >> 2, code & 3): n for code, n in enumerate(seen.events[0]) if n}
    assert moves == {(0b00, 0b01): 1, (0b01, 0b10): 1, (0b10, 0b11): 1}


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["NAND2 A=a Y=y"], "input B of u0 (NAND2)"),
        (["INV A=a Y=y", "DFF D=y QN=q"], "input CK of u1 (DFF)"),
        (["INV A=a Y=y", "DFFR CK=clk D=y Q=q"], "input RN of u1 (DFFR)"),
    ],
)
def test_an_open_input_of_a_cell_is_refused(tmp_path, cells, words):
    open_input = netlist("clk a", "y", *cells)
    with pytest.raises(ValueError, match=f"^hand: {re.escape(words)} is not connected$"):
        run(open_input, tiny(tmp_path), {"a": np.zeros(4, int)})


def test_a_function_of_what_is_no_pin_is_refused(tmp_path):
    path = tmp_path / "damaged.lib"
    path.write_text(TINY.replace("(A B)'", "(A C)'"))
    gate = netlist("a b", "y", "NAND2 A=a B=b Y=y")
    with pytest.raises(ValueError, match=r"^hand: .* a cell whose function reads 'C', which is n"):
        run(gate, load([path]), {"a": np.zeros(4, int), "b": np.zeros(4, int)})


def test_an_open_output_is_nothing_to_complain_about(tmp_path):
    both = netlist("a", "y", "INV A=a", "INV A=a Y=y")
    assert run(both, tiny(tmp_path), {"a": np.array([0, 1])}).outputs["y"].tolist() == [[1, 0]]


def test_flip_flop_is_a_cycle_late_and_starts_at_reset(tmp_path):
    """DFF has IQ = !D and QN = IQ. Two cycles of zeros come first, so QN starts at 1."""
    flop = netlist("clk d", "q", "DFF CK=clk D=d QN=q")
    d = np.array([1, 0, 0, 1, 1, 0])
    seen = run(flop, tiny(tmp_path), {"d": d})
    assert seen.outputs["q"][0].tolist() == [1, *(1 - d[:-1]).tolist()]
    edges = dict(zip(flop.net_names, seen.toggles.tolist(), strict=True))
    assert edges["clk"] == [6, 6]
    assert edges["d"] == [2, 2]
    assert edges["q"] == [1, 2]  # 1 1 0 1 1 0: what the last operand does to q is in a later cycle
    assert seen.pins == (("CK", "D", "IQ"),)
    events = seen.events[0].sum()
    assert events == 6 + 6 + 4  # clock edges, edges of d; the state moves with the clock


def test_outputs_without_counting_are_the_same(tmp_path):
    """A clock behind a gate, a clear, and a state: what counting looks at, and all that counts."""
    gated = netlist(
        "clk d rn", "q y", "INV A=clk Y=n", "INV A=n Y=c", "DFFR CK=c D=d RN=rn Q=q",
        "NAND2 A=q B=d Y=y",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    stimulus = {"d": rng.integers(0, 2, (70, 50)), "rn": rng.integers(0, 4, (70, 50)) > 0}
    counted, quick = (run(gated, tiny(tmp_path), stimulus, counting=c) for c in (True, False))
    for name in ("q", "y"):
        assert (counted.outputs[name] == quick.outputs[name]).all()
    assert counted.toggles.any()
    assert any(events.any() for events in counted.events)
    assert quick.toggles.shape == (0, 2)
    assert not any(events.any() for events in quick.events)


def test_asynchronous_clear_acts_at_once(tmp_path):
    flop = netlist("clk d rn", "q", "DFFR CK=clk D=d RN=rn Q=q")
    ones = np.ones(6, int)
    seen = run(flop, tiny(tmp_path), {"d": ones, "rn": np.array([1, 1, 0, 1, 1, 1])})
    assert seen.outputs["q"][0].tolist() == [0, 1, 0, 0, 1, 1]


def test_clock_through_inverters(tmp_path):
    twice = netlist("clk d", "q", "INV A=clk Y=n", "INV A=n Y=c", "DFF CK=c D=d QN=q")
    seen = run(twice, tiny(tmp_path), {"d": np.array([0, 1, 0, 1])})
    assert seen.outputs["q"].tolist() == [[1, 1, 0, 1]]
    edges = dict(zip(twice.net_names, seen.toggles.tolist(), strict=True))
    assert edges["clk"] == edges["n"] == edges["c"] == [4, 4]


@pytest.mark.parametrize("streams", [1, 3, 64, 65, 130])
def test_streams_are_independent(tmp_path, streams):
    """y(k) = NAND(a(k), q(k)), q(k + 1) = !y(k): a stream's history shows in its outputs."""
    cells = "NAND2 A=a B=q Y=y", "DFF CK=clk D=y QN=q"
    loop = netlist("clk a", "y", *cells)
    a = np.random.default_rng(0).integers(0, 2, (streams, 20))
    seen = run(loop, tiny(tmp_path), {"a": a})
    edges = np.zeros(2, int)
    for row, got in zip(a, seen.outputs["y"], strict=True):
        q, last = 0, 1  # two cycles with a = 0: y = 1
        for k, bit in enumerate(row):
            y = 1 - (bit & q)
            assert got[k] == y, f"stream of {streams}, cycle {k}: a={bit} q={q}: {got[k]} != {y}"
            edges += (y > last, y < last)
            q, last = 1 - y, y
    assert seen.toggles[loop.net_names.index("y")].tolist() == edges.tolist()


def test_one_operand_for_all_streams(tmp_path):
    gate = netlist("a b", "y", "NAND2 A=a B=b Y=y")
    a = np.random.default_rng(1).integers(0, 2, (5, 9))
    b = np.ones(9, bool)
    assert (run(gate, tiny(tmp_path), {"a": a, "b": b}).outputs["y"] == 1 - a).all()


def test_wrong_stimulus(tmp_path):
    gate, lib = netlist("aa b", "y", "NAND2 A=aa B=b Y=y"), tiny(tmp_path)
    good = np.zeros(4, int)
    with pytest.raises(ValueError, match=r"^hand: no stimulus for port b"):
        run(gate, lib, {"aa": good})
    with pytest.raises(ValueError, match=r"^hand has no operand port 'aaa'; the nearest is 'aa'"):
        run(gate, lib, {"aaa": good})
    with pytest.raises(ValueError, match=r"^port 'b': 2 is no code of 1 bits"):
        run(gate, lib, {"aa": good, "b": good + 2})
    with pytest.raises(
        ValueError, match=r"^port 'b': wanted codes \[1, 5\] or \[5\], got \[1, 4\]"
    ):
        run(gate, lib, {"aa": np.zeros(5, int), "b": good})
    with pytest.raises(ValueError, match=r"^port 'b': wanted integer codes .* got float64 \[4\]"):
        run(gate, lib, {"aa": good, "b": good / 2})


@pytest.mark.parametrize("name", ["osu018", "sky130hd", "asap7"])
@pytest.mark.parametrize(
    ("weights", "overflow", "acc_width", "booth"),
    [("int8", "wrap", 20, False), ("dint4", "saturate", 18, True), ("int4z", "wrap", 32, True)],
)
def test_netlist_of_a_mac_is_the_golden_model(name, weights, overflow, acc_width, booth):
    lib = library(name)
    spec = MacSpec(weights=weights, activations="int8", acc_width=acc_width, overflow=overflow)
    unit = Mac(spec)
    found = synthesize(unit, lib, clock_ps=8000, booth=booth)
    rng = np.random.default_rng(2)
    streams, cycles = 66, 60
    shape = streams, cycles
    w, a = rng.integers(0, 2**spec.weights.width, shape), rng.integers(0, 256, shape)
    a[:, ::2] |= 64  # long runs of one sign, to reach the ends of the accumulator
    en, clear = rng.integers(0, 8, shape) > 0, rng.integers(0, 40, shape) == 0
    stimulus = {"en": en, "clear": clear, "w": w, "a": a}
    z = 5 if spec.weights.zero_pointed else None
    if z is not None:
        stimulus["z"] = np.full(cycles, z)
    acc = run(found.netlist, lib, stimulus).outputs["acc"]
    checked = 0
    for stream in range(streams):
        terms: list[tuple[int, int]] = []
        for k in range(cycles - unit.latency):
            if en[stream, k]:
                if clear[stream, k]:
                    terms.clear()
                terms.append((int(a[stream, k]), int(w[stream, k])))
                expected = golden.dot(*zip(*terms, strict=True), spec, z)
                got = acc[stream, k + unit.latency]
                assert got == expected, f"stream {stream}, cycle {k}: {terms}: {got} != {expected}"
                checked += 1
    assert checked > 3000
