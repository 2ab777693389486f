# amaranth: UnusedElaboratable=no
"""What goes with the Verilog: the testbench runs in Icarus and bites, the rest names real ports."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from opensta import run_sta
from technology import library
from tools import needs

from macsmith.experiments.handoff import constraints_of, write_unit
from macsmith.experiments.units import UNITS, make_unit, spec_for
from macsmith.hw.handoff import Constraints, core_file, sdc
from macsmith.hw.liberty_trim import trim
from macsmith.hw.netlist import to_verilog as netlist_verilog
from macsmith.hw.synth import synthesize
from macsmith.hw.timing import Boundary


def spec_of(unit):
    return spec_for(unit, "dint4z", "int4", 12, "wrap", 2 if unit == "dot" else 1)


def simulate(folder, *files):
    build = subprocess.run(
        ["iverilog", "-Wall", "-g2001", "-o", "sim", *files],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert build.stdout + build.stderr == ""
    run = subprocess.run(["vvp", "-n", "sim"], cwd=folder, capture_output=True, text=True)
    return run.returncode, run.stdout


def written(unit, folder, **options):
    return write_unit(
        unit, spec_of(unit), options, folder / "unit.v",
        core=folder / "unit.core", sdc=folder / "unit.sdc", testbench=folder / "unit_tb.v",
    )  # fmt: skip


def with_a_bit_inverted(text):
    """The module as another one, in a module of its name that inverts a bit of its results."""
    ports = re.findall(r"^  (input|output) (?:signed )?(\[\d+:0\] )?(\w+);$", text, re.MULTILINE)
    outputs = [name for way, _, name in ports if way == "output"]
    result = next((name for name in outputs if name.endswith("payload")), outputs[-1])
    lines = [f"module unit({', '.join(name for *_, name in ports)});"]
    lines += [f"  {way} {width}{name};" for way, width, name in ports]
    (width,) = (width for _, width, name in ports if name == result)
    lines += [f"  wire {width}right;", f"  assign {result} = right ^ 1'b1;"]
    pins = ", ".join(f".{name}({'right' if name == result else name})" for *_, name in ports)
    lines += [f"  inner dut({pins});", "endmodule", ""]
    assert text.count("module unit(") == 1
    return "\n".join(lines) + text.replace("module unit(", "module inner(")


#: Small ones of those that are slow to simulate, and both dataflows.
CASES = [
    *((unit, {}) for unit in UNITS if unit not in ("gemm", "array")),
    ("array", {"dataflow": "output", "rows": 2, "cols": 2}),
    ("array", {"dataflow": "weight", "rows": 2, "cols": 3}),
    ("gemm", {"rows": 2, "cols": 2, "depth": 64}),
    ("gemm", {"rows": 2, "cols": 2, "depth": 64, "dataflow": "weight"}),
]


@pytest.mark.parametrize(("unit", "options"), CASES)
def test_the_testbench_passes(unit, options, tmp_path):
    needs("icarus")
    result = written(unit, tmp_path, **options)
    code, said = simulate(tmp_path, "unit_tb.v", "unit.v")
    assert said.splitlines()[-1] == f"PASS: {result.checked} results checked"
    assert (code, result.checked > 10) == (0, True)
    (tmp_path / "unit.v").write_text(with_a_bit_inverted((tmp_path / "unit.v").read_text()))
    code, said = simulate(tmp_path, "unit_tb.v", "unit.v")
    assert code != 0
    assert said.startswith("FAIL: cycle ")
    assert "PASS" not in said


@pytest.mark.parametrize(
    ("old", "new"), [("clear ?", "en ?"), ("rst ?", "1'b0 ?"), ("en ?", "1'b1 ?")]
)
def test_a_mutated_module_fails(tmp_path, old, new):
    needs("icarus")
    written("mac", tmp_path)
    text = (tmp_path / "unit.v").read_text()
    assert old in text
    (tmp_path / "unit.v").write_text(text.replace(old, new))
    code, said = simulate(tmp_path, "unit_tb.v", "unit.v")
    assert code != 0
    assert said.startswith("FAIL: cycle ")


@pytest.mark.parametrize(
    ("pattern", "new", "said"),
    [
        (r"o__valid <= ", "o__valid <= 1'b0 & ", "stuck, or a beat is missing"),
        (r"o__valid <= ", "o__valid <= 1'b1 | ", "o has "),
        (r"o__payload\[0\] <= ", "o__payload[0] <= ~ ", "o has the wrong beat"),
        (r"assign advance = .*;", "assign advance = 1'b1;", "o"),
        (r"assign i__ready = ", "assign i__ready = 1'b1 | ", "o has "),
        (
            r"assign i__ready = ",
            "reg up; always @(posedge clk) up <= !rst; assign i__ready = up & ",
            "i.ready after a reset",
        ),
    ],
)
def test_a_mutated_stream_fails(tmp_path, pattern, new, said):
    needs("icarus")
    written("array", tmp_path, rows=2, cols=2)
    text, count = re.subn(pattern, new, (tmp_path / "unit.v").read_text())
    assert count == 1
    (tmp_path / "unit.v").write_text(text)
    code, out = simulate(tmp_path, "unit_tb.v", "unit.v")
    assert code != 0
    assert out.startswith("FAIL: cycle ")
    assert said in out
    assert "PASS" not in out


@pytest.mark.parametrize("unit", ["decoder", "array"])
def test_nothing_checked_fails(unit, tmp_path):
    needs("icarus")
    written(unit, tmp_path)
    (tmp_path / "unit_tb.hex").write_text("")
    code, said = simulate(tmp_path, "unit_tb.v", "unit.v")
    assert code != 0
    assert "FAIL" in said
    assert "PASS" not in said


def test_same_bytes_in_another_process(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    files = ["unit.v", "unit.core", "unit.sdc", "unit_tb.v", "unit_tb.hex"]
    written("mac", here)
    command = "--weights dint4z --activations int4 --acc-width 12 -o unit.v --core unit.core"
    subprocess.run(
        [sys.executable, "-P", "-c", "from macsmith.experiments.cli import main; main()", "verilog",
         "mac", *command.split(), "--sdc", "unit.sdc", "--testbench", "unit_tb.v"],
        cwd=there, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": "3"},
    )  # fmt: skip
    for name in files:
        assert (here / name).read_bytes() == (there / name).read_bytes(), name


def test_constraints_name_every_port():
    mac = make_unit("mac", spec_of("mac"))
    text = sdc(mac, Constraints(800.0, 100.0, 50.0, "BUFx2", 1.5))
    assert "create_clock -name clk -period 0.8 [get_ports clk]" in text
    for port in ("rst", "en", "clear", "w", "a", "z"):
        assert f"set_input_delay 0.1 -clock clk [get_ports {{{port}}}]" in text
        assert f"set_driving_cell -lib_cell BUFx2 [get_ports {{{port}}}]" in text
    assert "set_output_delay 0.05 -clock clk [get_ports {acc}]" in text
    assert "set_load 0.0015 [get_ports {acc}]" in text
    decoder = sdc(make_unit("decoder", spec_of("decoder")), Constraints())
    assert "\ncreate_clock -name clk -period 1\n" in decoder
    with pytest.raises(ValueError, match=r"^input_delay_ps must be 0 up to the period, not 1000"):
        Constraints(1000.0, 1000.0)


def test_files_that_cannot_all_be_written_are_not_begun(tmp_path):
    one, spec = tmp_path / "unit.v", spec_of("mac")
    with pytest.raises(
        ValueError, match=r"unit\.v and .*unit\.v are one file: each needs its own$"
    ):
        write_unit("mac", spec, {}, one, sdc=tmp_path / "." / "unit.v")
    for wrong in (tmp_path / "none" / "unit.sdc", tmp_path):
        with pytest.raises(OSError, match=re.escape(str(wrong))):
            write_unit("mac", spec, {}, one, sdc=wrong)
    assert list(tmp_path.iterdir()) == []


def test_links_to_one_file_are_one_file(tmp_path):
    one, spec = tmp_path / "unit.v", spec_of("mac")
    one.write_text("old")
    (tmp_path / "hard.sdc").hardlink_to(one)
    (tmp_path / "soft.sdc").symlink_to("unit.v")
    (tmp_path / "dangling.sdc").symlink_to("new.v")
    before = sorted(tmp_path.iterdir())
    for file, other in ((one, "hard.sdc"), (one, "soft.sdc"), (tmp_path / "new.v", "dangling.sdc")):
        said = rf"{file.name} and .*{other} are one file: each needs its own$"
        with pytest.raises(ValueError, match=said):
            write_unit("mac", spec, {}, file, sdc=tmp_path / other)
    assert (sorted(tmp_path.iterdir()), one.read_text()) == (before, "old")


@pytest.mark.parametrize("last", ["sdc", "core"])
def test_files_of_which_one_fails_late_are_all_left_as_they_were(tmp_path, last):
    """/dev/full may be opened, and fails when it is written."""
    (tmp_path / "unit.v").write_text("old")
    with pytest.raises(OSError, match=r"^\[Errno 28\] .*: '/dev/full'$"):
        write_unit(
            "mac", spec_of("mac"), {}, tmp_path / "unit.v", testbench=tmp_path / "unit_tb.v",
            **{last: Path("/dev/full")},
        )  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["unit.v"]
    assert (tmp_path / "unit.v").read_text() == "old"


@pytest.mark.parametrize("name", ["osu018", "asap7"])
def test_an_sdc_constrains_what_our_timing_does(name, tmp_path):
    """OpenSTA reads it with the library's units: its slack is that of our own timing."""
    lib, mac = library(name), make_unit("mac", spec_of("mac"))
    clock_ps = {"osu018": 9000.0, "asap7": 1000.0}[name]
    found = synthesize(mac, lib, clock_ps=clock_ps, name="mac")
    (tmp_path / "mac.v").write_text(netlist_verilog(found.netlist))
    given = constraints_of(name, clock_ps=clock_ps)
    commands = ["read_verilog mac.v", "link_design mac", "read_sdc mac.sdc"]
    for k, text in enumerate(lib.texts):
        (tmp_path / f"{k}.lib").write_text(trim(text))
        commands.insert(0, f"read_liberty {k}.lib")
    commands.append("report_checks -path_delay max -digits 4")

    def said(constraints):
        (tmp_path / "mac.sdc").write_text(sdc(mac, constraints))
        return run_sta(commands, tmp_path)

    right = said(given)
    assert "match" not in right
    slack = float(re.search(r"(-?[\d.]+)\s+slack", right).group(1)) * given.time_unit_ps
    assert clock_ps - slack == pytest.approx(found.delay_ps, rel=2e-3)
    # in other units than the library's
    other = replace(given, time_unit_ps=1.0 if given.time_unit_ps > 1 else 1000.0)
    assert "does not match library" in said(other)


def test_there_is_a_line_before_much_work_and_none_before_little(tmp_path, monkeypatch):
    lines = []
    options = {"rows": 2, "cols": 3}
    target = tmp_path / "unit.v"
    write_unit("array", spec_of("array"), options, target, progress=lines.append)
    assert lines == []
    monkeypatch.setattr("macsmith.experiments.handoff.MANY_ELEMENTS", 5)
    write_unit("gemm", spec_of("gemm"), options, target, progress=lines.append)
    assert lines == ["gemm of 2 x 3 elements: the Verilog may take minutes"]
    with pytest.raises(FileNotFoundError):
        write_unit("array", spec_of("array"), options, tmp_path / "none" / "x.v",
                   progress=lines.append)  # fmt: skip
    assert len(lines) == 1


def test_a_driving_cell_must_be_there():
    library("osu018")
    with pytest.raises(ValueError, match=r"^osu018 has no cell 'nope' to drive the inputs with$"):
        constraints_of("osu018", driving_cell="nope")


def test_constraints_of_a_library_are_those_of_its_timing():
    boundary = Boundary.of(library("osu018"))
    given = constraints_of("osu018", clock_ps=5000.0, driving_cell=None, output_delay_ps=70.0)
    assert given == Constraints(
        5000.0, 0.0, 70.0, None, boundary.output_load_ff, boundary.input_slew_ps,
        boundary.clock_slew_ps, 1000.0, 1000.0,
    )  # fmt: skip
    text = sdc(make_unit("mac", spec_of("mac")), given)
    slew = f"{boundary.input_slew_ps / 1000:.6g}"
    assert 0 < float(slew) < 1
    assert f"set_input_transition {slew} [get_ports {{w}}]" in text
    assert f"set_clock_transition {slew} [get_clocks clk]" in text
    assert f"set_load {boundary.output_load_ff / 1000:.6g} [get_ports {{acc}}]" in text
    assert constraints_of("osu018", clock_ps=5000.0, load_ff=3.0).load_ff == 3.0
    with pytest.raises(ValueError, match=r"^load_ff must be 0 or more, not -1"):
        Constraints(load_ff=-1.0)


def test_core_file_names_its_files_and_targets():
    text = core_file("m", "rtl/m.v", testbench=("m_tb", "m_tb.v", "m.hex"), sdc="m.sdc")
    assert text.startswith("CAPI=2:\n")
    for line in ("      - rtl/m.v", "      - m.sdc", "    toplevel: m_tb", "  lint:", "  synth:"):
        assert line in text.splitlines()
    text = core_file("m", "m.v", testbench=("m_tb", "tb/m_tb.v", "tb/m.hex"), sdc=None)
    assert "      - tb/m.hex: {file_type: user, copyto: m.hex}" in text.splitlines()
    assert "  sim:" not in core_file("m", "m.v", testbench=None, sdc=None)


@pytest.mark.parametrize("folder", ["plain/", "a #b/", "x: y, {z}/", "- dash/", 'it\'s "it"/'])
def test_a_core_file_is_yaml_whatever_files_are_called(folder):
    files = [f"{folder}{name}" for name in ("m, 1.v", "m_tb.v", "m_tb, 2.hex", "m.sdc")]
    verilog, bench, vectors, constraints = files
    sets = yaml.safe_load(
        core_file("m", verilog, testbench=("m_tb", bench, vectors), sdc=constraints)
    )["filesets"]
    assert sets["rtl"]["files"] == [verilog]
    assert sets["constraints"]["files"] == [constraints]
    copied = {"file_type": "user", "copyto": "m_tb, 2.hex"}
    assert sets["tb"]["files"] == [bench, {vectors: copied}]


@pytest.mark.parametrize("cell", ["x y; exit", "", "a]b", "INV\n"])
def test_a_driving_cell_is_a_name(cell):
    with pytest.raises(ValueError, match=r"^driving_cell must be a cell's name"):
        Constraints(driving_cell=cell)
