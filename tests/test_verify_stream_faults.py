# amaranth: UnusedElaboratable=no
"""Faults of arrays and tiles around resets, long waits and partial sums: the benches find them."""

import re
import subprocess
from dataclasses import replace

import pytest
from tools import NO_TURNS, needs

from macsmith.experiments.handoff import write_unit
from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import runner
from macsmith.experiments.verify.whole import EFFORTS
from macsmith.hw.export import to_verilog_many
from macsmith.sim.spec import MacSpec

SPEC = MacSpec("dint4", "int8", 14)
WIDE = MacSpec("dint4", "int8")


#: Its first results come after all tokens have passed twice.
LATE = {"rows": 2, "cols": 1, "dataflow": "weight", "depth": 5, "zero_points": False, "pipeline": 3}


def wrapped(text, name, inputs=None, outputs=None, logic=""):
    """The module of ``text``, called ``name``, around the right one: of the ports that are given
    what goes in (of the port's own name) or comes out (of ``x_`` and the name) is another."""
    inputs, outputs = inputs or {}, outputs or {}
    ports = re.findall(r"^  (input|output) (?:signed )?(\[\d+:0\] )?(\w+);$", text, re.MULTILINE)
    lines = [f"module {name}({', '.join(port for *_, port in ports)});"]
    lines += [f"  {way} {width}{port};" for way, width, port in ports]
    lines += [f"  wire {width}x_{port};" for way, width, port in ports if way == "output"]
    pins = [
        f".{port}({inputs.get(port, port) if way == 'input' else f'x_{port}'})"
        for way, _, port in ports
    ]
    lines += [f"  {name}_right dut({', '.join(pins)});", logic]
    lines += [
        f"  assign {port} = {outputs.get(port, f'x_{port}')};"
        for way, _, port in ports
        if way == "output"
    ]
    inner = text.replace("module right(", f"module {name}_right(")
    return "\n".join([*lines, "endmodule", inner])


def found(unit, spec, faults, effort=NO_TURNS, **options):
    """Results that are wrong by fault; the right unit has none, and every bin."""
    needs("icarus")
    component = get_unit(unit).make(spec, **options)
    verilog = to_verilog_many({"right": component})
    verilog |= {name: wrapped(verilog["right"], name, **fault) for name, fault in faults.items()}
    described = runner.describe(unit, "right", spec, component, **options)
    instances = [replace(described, module=name, effort=effort) for name in verilog]
    modules = runner.simulate(unit, instances, verilog, "icarus").modules
    assert modules["right"].failure == ""
    return {name: modules[name].wrong for name in faults}


def reset_lost(*waiting):
    """A reset that is not seen while one of these ports waits."""
    held = " | ".join(f"({port})" for port in waiting)
    return {"inputs": {"rst": f"rst & ~({held})"}}


def late(width):
    """A result that comes a cycle later, through a register of its own."""
    logic = (
        f"  reg later; reg [{width - 1}:0] kept;\n  always @(posedge clk) if (rst) later <= 0;\n"
        "    else if (!later | o__ready) begin later <= x_o__valid; kept <= x_o__payload; end"
    )
    return {
        "logic": logic,
        "inputs": {"o__ready": "(!later | o__ready)"},
        "outputs": {"o__valid": "later", "o__payload": "kept"},
    }


def lost(port, often):
    """A cycle in which the source is not ready, of so many."""
    count = f"  integer count;\n  always @(posedge clk) count <= rst ? 0 : (count + 1) % {often};"
    return {
        "logic": count,
        "inputs": {f"{port}__valid": f"({port}__valid & count != {often - 1})"},
        "outputs": {f"{port}__ready": f"x_{port}__ready & count != {often - 1}"},
    }


def out_of_rhythm(unit, spec, options, often):
    """By name, a right unit's beats at other cycles than those that are promised."""
    component = get_unit(unit).make(spec, **options)
    faults = {"late": late(len(component.o.payload.as_value()))}
    sources = [port for port in ("i", "load", "tile") if hasattr(component, port)]
    return faults | {f"{port}_lost": lost(port, often) for port in sources}


RHYTHMS = [
    ("array", {"rows": 2, "cols": 3}),
    ("array", {"rows": 3, "cols": 2, "dataflow": "weight"}),
    ("gemm", {"rows": 2, "cols": 2, "exits": 2}),
    ("gemm", {"rows": 2, "cols": 2, "dataflow": "weight", "pipeline": 1}),
]


@pytest.mark.parametrize(("unit", "options"), RHYTHMS)
def test_latency_and_throughput(unit, options):
    wrong = found(unit, WIDE, out_of_rhythm(unit, WIDE, options, 40), **options)
    assert all(wrong.values()), wrong


@pytest.mark.parametrize("dataflow", ["output", "weight"])
def test_a_reset_that_meets_a_beat_that_waits(dataflow):
    faults = {
        "o_waits": reset_lost("x_o__valid & ~o__ready"),
        "i_waits": reset_lost("i__valid & ~x_i__ready"),
    }
    if dataflow == "weight":
        faults["load_waits"] = reset_lost("load__valid & ~x_load__ready")
    wrong = found("array", SPEC, faults, rows=2, cols=2, dataflow=dataflow)
    assert all(wrong.values()), wrong


def test_a_reset_that_meets_a_result_that_comes_late():
    wrong = found("gemm", WIDE, {"o_waits": reset_lost("x_o__valid & ~o__ready")}, **LATE)
    assert all(wrong.values()), wrong


def later(beats):
    """Wrong once so many beats have entered since one with ``first``."""
    count = (
        "  integer count;\n  always @(posedge clk) if (rst) count <= 0; else if (i__valid & "
        "x_i__ready) count <= i__payload[0] ? 1 : count + 1;"
    )
    return {"logic": count, "outputs": {"o__payload": f"x_o__payload ^ ((count > {beats}) << 1)"}}


def test_a_sum_that_is_wrong_after_many_products():
    faults = {f"after_{n}": later(n) for n in (30, 300, 4000)}
    wrong = found("array", SPEC, faults, EFFORTS["verilator"], rows=2, cols=2)
    assert all(wrong.values()), wrong


def test_partial_sums():
    """They are of any size, wait for long, and a reset meets them."""
    shape = {"rows": 2, "cols": 2, "dataflow": "weight"}
    tile = get_unit("gemm").make(WIDE, **shape)
    top = len(tile.i.payload.as_value()) - 1  # the last column's sum, its highest bit
    cut = f"{{{{9{{i__payload[{top}]}}}}, i__payload[{top - 9}:0]}}"
    end = len(tile.partial.payload.as_value()) - 1
    lost = f"{{{{9{{x_partial__payload[{end}]}}}}, x_partial__payload[{end - 9}:0]}}"
    waits = (
        "  integer count;\n  always @(posedge clk) count <= (x_partial__valid & ~partial__ready) ? "
        "count + 1 : 0;"
    )
    faults = {
        "in": {"inputs": {"i__payload": cut}},
        "out": {"outputs": {"partial__payload": lost}},
        "changes": {
            "logic": waits,
            "outputs": {"partial__payload": "x_partial__payload ^ (count == 40)"},
        },
        "reset": reset_lost("x_partial__valid & ~partial__ready"),
        "reset_as_a_tile_is_taken": reset_lost("tile__valid & x_tile__ready"),
    }
    wrong = found("gemm", WIDE, faults, **shape)
    assert all(wrong.values()), wrong


@pytest.mark.parametrize(
    ("unit", "options", "waiting"),
    [
        ("array", {"rows": 2, "cols": 2}, ("o",)),
        ("array", {"rows": 2, "cols": 2, "dataflow": "weight"}, ("o",)),
        ("gemm", {"rows": 2, "cols": 2, "dataflow": "weight"}, ("o", "partial")),
        ("gemm", LATE, ("o",)),
    ],
)
def test_the_exported_testbench_finds_them_too(unit, options, waiting, tmp_path):
    needs("icarus")
    write_unit(unit, WIDE, options, tmp_path / "unit.v", testbench=tmp_path / "unit_tb.v")
    text = (tmp_path / "unit.v").read_text()

    def said():
        files = ["unit_tb.v", "unit.v"]
        subprocess.run(["iverilog", "-g2001", "-o", "sim", *files], cwd=tmp_path, check=True)
        run = subprocess.run(["vvp", "-n", "sim"], cwd=tmp_path, capture_output=True, text=True)
        return run.stdout

    assert said().startswith("PASS")
    faults = {
        f"{port} {what}": fault
        for port in waiting
        for what, fault in {
            "waits at a reset": reset_lost(f"x_{port}__valid & ~{port}__ready"),
            "waits for ready": {"outputs": {f"{port}__valid": f"x_{port}__valid & {port}__ready"}},
        }.items()
    }
    faults |= out_of_rhythm(unit, WIDE, options, 8)
    if unit == "array":
        faults["after_30"] = later(30)
    for name, fault in faults.items():
        (tmp_path / "unit.v").write_text(
            wrapped(text.replace("module unit(", "module right("), "unit", **fault)
        )
        assert said().startswith("FAIL: cycle "), name
