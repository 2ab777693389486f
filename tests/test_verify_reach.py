# amaranth: UnusedElaboratable=no
"""Wide accumulators at the ends of their range: benches and testbenches get there, or say so."""

import subprocess
from dataclasses import replace

import pytest
from tools import needs

from macsmith.experiments.testbench import make_testbench
from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import runner
from macsmith.experiments.verify.bench import FULL
from macsmith.experiments.verify.reach import unreached
from macsmith.experiments.verify.sums import can_overflow
from macsmith.experiments.verify.whole import EFFORTS
from macsmith.hw.export import to_verilog
from macsmith.sim.spec import MacSpec

#: 15 bits take 1,024 products of 16: more than a narrow accumulator's run.
FAR = MacSpec("int2", "int4", 15, "saturate")
EFFORT = replace(EFFORTS["icarus"], reach=FULL.reach)
CASES = [
    ("mac", FAR, {}),
    ("mac", replace(FAR, lanes=3), {}),
    ("dot", replace(FAR, acc_width=16, lanes=2), {}),
    ("shared", FAR, {"outputs": 2}),
    ("array", replace(FAR, lanes=2), {"rows": 2, "cols": 2}),
    ("array", FAR, {"rows": 2, "cols": 1, "dataflow": "weight"}),
    ("gemm", FAR, {"rows": 2, "cols": 2, "depth": 64}),
    ("gemm", FAR, {"rows": 2, "cols": 1, "depth": 2, "dataflow": "weight"}),
]


def exported(unit, spec, options, name="unit"):
    return to_verilog(get_unit(unit).make(spec, **options), name=name)


@pytest.mark.parametrize(("unit", "spec", "options"), CASES)
def test_the_bench_tells_what_saturates_from_what_wraps(unit, spec, options):
    needs("icarus")
    assert not any(can_overflow(spec, spec.lanes if unit == "dot" else 1).values())
    component = get_unit(unit).make(spec, **options)
    right = replace(runner.describe(unit, "right", spec, component, **options), effort=EFFORT)
    verilog = {
        "right": exported(unit, spec, options, "right"),
        "wraps": exported(unit, replace(spec, overflow="wrap"), options, "wraps"),
    }
    instances = [replace(right, module=name) for name in verilog]
    modules = runner.simulate(unit, instances, verilog, "icarus").modules
    assert modules["right"].failure == ""
    assert modules["wraps"].wrong


@pytest.mark.parametrize(("unit", "spec", "options"), CASES)
def test_the_testbench_tells_them_too(unit, spec, options, tmp_path):
    needs("icarus")
    component = get_unit(unit).make(spec, **options)
    made = make_testbench(unit, "unit", spec, component, "unit.hex", **options)
    (tmp_path / "unit.hex").write_text(made.vectors)
    (tmp_path / "unit_tb.v").write_text(made.verilog)
    said = {}
    for overflow in ("saturate", "wrap"):
        text = exported(unit, replace(spec, overflow=overflow), options)
        (tmp_path / "unit.v").write_text(text)
        command = ["iverilog", "-g2001", "-o", "sim", "unit_tb.v", "unit.v"]
        subprocess.run(command, cwd=tmp_path, check=True)
        run = subprocess.run(["vvp", "-n", "sim"], cwd=tmp_path, capture_output=True, text=True)
        said[overflow] = run.stdout
    assert said["saturate"].startswith("PASS")
    assert "not reached" not in said["saturate"] + made.verilog
    assert said["wrap"].startswith("FAIL")


def test_what_is_not_reached_is_said(tmp_path):
    needs("icarus")
    for unit, options in (("mac", {}), ("shared", {"outputs": 2})):
        spec = replace(FAR, acc_width=32)
        text = "the overflow of 32 bits was not reached"
        result = runner.run(unit, [spec], "icarus", **options)
        assert result.ok
        wide, narrow = result.modules
        said = f"{wide}: {text}, which takes 153,391,690 products; that of 7 bits was, in {narrow}"
        assert result.notes == (said,)
        assert result.lines()[-1] == said
        assert result.as_dict()["notes"] == (said,)
        component = get_unit(unit).make(spec, **options)
        made = make_testbench(unit, "unit", spec, component, "unit.hex", **options)
        head = f"// What it does not show: {text}, which takes 153,391,690 products of the largest"
        assert made.verilog.splitlines()[1].startswith(head)
        assert f'results checked; {text}"' in made.verilog


def test_what_there_is_nothing_to_say_of():
    exact = replace(FAR, acc_width=32, overflow="exact")
    for unit, spec, options in (
        ("mac", FAR, {}),
        ("mac", exact, {}),  # nothing is to overflow
        ("array", replace(FAR, acc_width=32), {"dataflow": "weight"}),  # sums enter at their ends
        ("decoder", FAR, {}),
        ("requantizer", FAR, {}),
    ):
        component = get_unit(unit).make(spec, **options)
        assert unreached(runner.describe(unit, "unit", spec, component, **options)) == "", unit
    brief = runner.describe("mac", "unit", FAR, get_unit("mac").make(FAR))
    assert unreached(replace(brief, effort=FULL.briefly())).startswith("the overflow of 15 bits")
