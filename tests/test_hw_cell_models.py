"""Verilog of library cells against what the library's own expressions evaluate to."""

import itertools
import subprocess

import pytest
from technology import library
from tools import needs

from macsmith.hw.cell_models import cell_models
from macsmith.hw.liberty import load


def run(tmp_path, text):
    path = tmp_path / "t.v"
    path.write_text(text)
    built = subprocess.run(
        ["iverilog", "-Wall", "-g2001", "-o", tmp_path / "t", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return subprocess.run(
        ["vvp", "-n", tmp_path / "t"], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("name", ["osu018", "asap7", "sky130hd"])
def test_every_cell_of_logic_is_what_the_library_says(name, tmp_path):
    needs("icarus")
    lib = library(name)
    cells = [cell for cell in map(lib.cell, lib.names) if cell.combinational]
    cells = [cell for cell in cells if cell.inputs and cell.outputs]  # no fillers, no diodes
    assert len(cells) > 15
    lines, want = [], []
    for k, cell in enumerate(cells):
        n = len(cell.inputs)
        ins = "".join(f".\\{pin} (x{k}[{j}])," for j, pin in enumerate(cell.inputs))
        outs = ",".join(f".\\{pin} (y{k}[{j}])" for j, pin in enumerate(cell.outputs))
        lines += [
            f"reg [{n - 1}:0] x{k}; wire [{len(cell.outputs) - 1}:0] y{k};",
            f"\\{cell.name} u{k} ({ins}{outs});",
            f"initial begin #{k}; for (i = 0; i < {2**n}; i = i + 1) begin",
            f'x{k} = i; #0 #0; #0 $display("%b", y{k}); end end',
        ]
        for bits in itertools.product((False, True), repeat=n):
            env = dict(zip(cell.inputs, reversed(bits), strict=True))
            values = [bool(cell.pins[pin].function.evaluate(env)) for pin in cell.outputs]
            want.append("".join("01"[value] for value in reversed(values)))
    text = cell_models(lib, [cell.name for cell in cells])
    said = run(tmp_path, "\n".join([text, "module t; integer i;", *lines, "endmodule", ""]))
    assert said.split() == want


def test_flip_flops_take_their_next_state_at_the_edge(tmp_path):
    needs("icarus")
    text = cell_models(library("osu018"), ["DFFPOSX1", "DFFSR"])
    said = run(
        tmp_path,
        text
        + """
module t;
  reg clk, d, r, s;
  wire q, p;
  DFFPOSX1 u(.CLK(clk), .D(d), .Q(q));
  DFFSR v(.CLK(clk), .D(d), .R(r), .S(s), .Q(p));
  initial begin
    clk = 0; d = 1; r = 1; s = 1; #1 $display("%b%b", q, p);
    clk = 1; #1 $display("%b%b", q, p);
    d = 0; #1 $display("%b%b", q, p);
    clk = 0; #1 clk = 1; #1 $display("%b%b", q, p);
    s = 0; #1 $display("%b%b", q, p);
    s = 1; r = 0; #1 $display("%b%b", q, p);
  end
endmodule
""",
    )
    assert said.split() == ["xx", "11", "11", "00", "01", "00"]


@pytest.mark.parametrize("pin", ["clock_", "clear_", "preset_"])
def test_pins_may_have_any_name(pin, tmp_path):
    """A flip-flop with clear CLR and preset PRE, one of its pins called as a wire of ours is."""
    needs("icarus")
    own = {"clock_": "CK", "clear_": "CLR", "preset_": "PRE"}[pin]
    pins = [pin if name == own else name for name in ("CK", "D", "CLR", "PRE")]
    clock, d, clear, preset = pins
    (tmp_path / "t.lib").write_text(
        f"library (t) {{ cell (FF) {{ area : 1; "
        f'ff (IQ, IQN) {{ clocked_on : "{clock}"; next_state : "{d}"; '
        f'clear : "!{clear}"; preset : "!{preset}"; }} '
        + "".join(f"pin ({name}) {{ direction : input; }} " for name in pins)
        + 'pin (Q) { direction : output; function : "IQ"; } } }\n'
    )
    text = cell_models(load([tmp_path / "t.lib"]), ["FF"])
    said = run(
        tmp_path,
        text
        + f"""
module t;
  reg ck, d, c, p;
  wire q;
  FF u(.{clock}(ck), .{d}(d), .{clear}(c), .{preset}(p), .Q(q));
  initial begin
    ck = 0; d = 1; c = 1; p = 1; #1 $display("%b", q);
    ck = 1; #1 $display("%b", q);
    c = 0; #1 $display("%b", q);
    c = 1; #1 p = 0; #1 $display("%b", q);
    p = 1; ck = 0; d = 0; #1 $display("%b", q);
    ck = 1; #1 $display("%b", q);
  end
endmodule
""",
    )
    assert said.split() == ["x", "1", "0", "1", "1", "0"]


def test_a_latch_is_refused():
    with pytest.raises(ValueError, match=r"^LATCH is neither a flip-flop nor logic: "):
        cell_models(library("osu018"), ["LATCH"])
