"""`hw.liberty_trim`: what Yosys and ABC are given reads as the library does."""

from technology import TINY
from test_hw_liberty_build import changed

from macsmith.hw.liberty import load
from macsmith.hw.liberty_text import read
from macsmith.hw.liberty_trim import trim
from macsmith.hw.synth import synthesize

ADDER = """module t(input clk, input [3:0] a, b, output reg [3:0] y);
  always @(posedge clk) y <= (a & b) ^ (a + b); endmodule"""


def built(tmp_path, *pairs):
    (tmp_path / "t.v").write_text(ADDER)
    return synthesize(tmp_path / "t.v", changed(tmp_path, *pairs), clock_ps=1e5).cell_counts


def test_functions_read_the_same_whatever_binds_tighter(tmp_path):
    """ABC reads (A * B) ^ C, Yosys and macsmith A * (B ^ C)."""
    changed(tmp_path, ('"!(A + B)"', '"A * B ^ C"'))
    assert 'function : "A*(B^C)"' in trim(read(tmp_path / "changed.lib"))


def test_a_group_of_several_pins_is_one_for_each(tmp_path):
    single = "\n    ".join(f"pin ({p}) {{ direction : input; capacitance : 1; }}" for p in "AB")
    grouped = "pin (A, B) { direction : input; capacitance : 1; }"
    lib = changed(tmp_path, (single, grouped))
    assert lib.cell("NOR2").inputs == ("A", "B")
    assert built(tmp_path, (single, grouped)) == built(tmp_path)
    text = trim(read(tmp_path / "changed.lib"))
    assert text.count("{") == text.count("}") > 0
    (tmp_path / "short.lib").write_text(trim(lib.texts[0]))
    assert load([tmp_path / "short.lib"]).cell("NOR2").pins == lib.cell("NOR2").pins


def test_a_function_may_go_on_in_the_next_line(tmp_path):
    continued = ('"!(A + B)"', '"!(A + \\\n   B)"')
    assert built(tmp_path, continued) == built(tmp_path)
    assert 'function : "!(A+B)"' in trim(read(tmp_path / "changed.lib"))
    assert 'function : "!(A*B)"' in trim(read(tmp_path / "changed.lib"))
    assert TINY.count("function") == trim(read(tmp_path / "changed.lib")).count("function")
