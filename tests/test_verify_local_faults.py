# amaranth: UnusedElaboratable=no
"""Faults of one element, one slice or one bit: the benches and testbenches find every one."""

import re
import subprocess
from dataclasses import replace

import pytest
from tools import NO_TURNS, needs

from macsmith.experiments.testbench import make_testbench
from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import runner
from macsmith.hw.export import to_verilog
from macsmith.sim.spec import MacSpec

GROUPS = MacSpec("dint4", "int8", 12, "saturate", lanes=3)
SINGLE = MacSpec("dint4", "int8", 12, "saturate")
ARRAY = {"rows": 2, "cols": 2}
CLAMP = r"12'h800 : 12'h7ff"
CLAMPS = [(CLAMP, "12'h801 : 12'h7ff"), (CLAMP, "12'h800 : 12'h3ff")]
#: A register that a reset leaves as it is.
KEPT = r"({} <= (_\d+_);[\s\S]*assign \2 =) rst \? \d'h0 : "
#: What of the exported Verilog becomes what, wherever it is.
FAULTS = {
    "output-stationary": ("array", GROUPS, ARRAY, [
        *CLAMPS,
        (r"(total_reg) \[13\] \?", r"\1 [12] ?"),  # the clamp's sign
        (r"(\.lane  \+) 1'h1", r"\1 1'h0"),
        (r"(\.lane  ==) 2'h2", r"\1 2'h1"),
        (r"(\\core\.first_\S+) +\? 2'h1 : (_\d+_)", r"\2"),  # lanes go on at a new sum
        (r"_\d+_ \? (\{ \\core\.acc.*\}) : (\\core\.element_\S+) ;", r"\1;"),  # always clamped
        (r"_\d+_ \? (\{ \\core\.acc.*\}) : (\\core\.element_\S+) ;", r"\2 ;"),  # and never
    ]),
    "weight-stationary": ("array", SINGLE, ARRAY | {"dataflow": "weight"}, CLAMPS),
    "ready after a reset": ("array", GROUPS, ARRAY, [(KEPT.format("leaving"), r"\1 ")]),
    "load after a reset": ("array", SINGLE, ARRAY | {"dataflow": "weight"}, [
        (KEPT.format(name), r"\1 ") for name in ("loaded", "switching")
    ]),
    "GEMM's shifter": ("gemm", MacSpec("dint4", "int8", 32), ARRAY | {"depth": 64}, [
        (r"(exit_0\.shift) \[4\] \?", r"\1 [3] ?"),
        (r"(exit_0\.shift) \[3\] \?", r"\1 [2] ?"),
        (r"(exit_0\.shift) \[2\] \?", r"\1 [3] ?"),
    ]),
    "floating point": ("float_mac", SINGLE, {"fmt": "bf16"}, [
        (r"(base_(?:0|12|31)) = clear \? 1'h0 : ", r"\1 = "),
        # The last of them says whether anything is shifted out.
        (r"\| (distance\[9:5\];)(?![\s\S]*\| distance\[9:5\])", r"& \1"),
        (r"(raw_zeros_1_3 ) = ~ raw\[9\]", r"\1 = 1'h0"),
        (r"(\\sum_zeros\.\S+ \[0\]) = _\d+_ \? (.*) : .*;", r"\1 = \2;"),
    ]),
}  # fmt: skip


def faulty(text, name, changes):
    """Modules of other names, each with one fault at one place."""
    found = {}
    for pattern, new in changes:
        places = list(re.finditer(pattern, text))
        assert places, pattern
        for at in places:
            module = f"{name}_{len(found)}"
            changed = text[: at.start()] + at.expand(new) + text[at.end() :]
            found[module] = changed.replace(f"module {name}(", f"module {module}(")
    return found


@pytest.mark.parametrize("what", FAULTS)
def test_the_bench_finds_each(what):
    needs("icarus")
    unit, spec, options, changes = FAULTS[what]
    component = get_unit(unit).make(spec, **options)
    text = to_verilog(component, name="unit")
    verilog = {"unit": text} | faulty(text, "unit", changes)
    instances = [runner.describe(unit, name, spec, component, **options) for name in verilog]
    modules = runner.simulate(
        unit, [replace(one, effort=NO_TURNS) for one in instances], verilog, "icarus"
    ).modules
    assert modules["unit"].failure == ""
    assert [name for name in verilog if not modules[name].wrong] == ["unit"]


@pytest.mark.parametrize("what", ["output-stationary", "weight-stationary", "GEMM's shifter"])
def test_the_testbench_finds_each(what, tmp_path):
    needs("icarus")
    unit, spec, options, changes = FAULTS[what]
    component = get_unit(unit).make(spec, **options)
    text = to_verilog(component, name="unit")
    made = make_testbench(unit, "unit", spec, component, "unit.hex", **options)
    (tmp_path / "unit.hex").write_text(made.vectors)
    (tmp_path / "unit_tb.v").write_text(made.verilog)
    passed = []
    for name, verilog in ({"unit": text} | faulty(text, "unit", changes)).items():
        (tmp_path / "unit.v").write_text(verilog.replace(f"module {name}(", "module unit("))
        command = ["iverilog", "-g2001", "-o", "sim", "unit_tb.v", "unit.v"]
        subprocess.run(command, cwd=tmp_path, check=True)
        done = subprocess.run(["vvp", "-n", "sim"], cwd=tmp_path, capture_output=True, text=True)
        passed += [name] if done.returncode == 0 else []
    assert passed == ["unit"]
