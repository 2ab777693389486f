# amaranth: UnusedElaboratable=no
"""Exported Verilog against golden in both simulators, one build each."""

import pickle
import subprocess
from dataclasses import replace

import pytest
from tools import needs

from macsmith.experiments.operands import Operands, uniform
from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import runner
from macsmith.experiments.verify.bench import Effort, top_verilog
from macsmith.experiments.verify.simulators import (
    SIMULATORS,
    BenchError,
    SimulatorMissing,
    run_bench,
)
from macsmith.hw.export import to_verilog, to_verilog_many
from macsmith.hw.mac import Mac
from macsmith.sim.catalog import FORMATS
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec


def suite():
    """Every format of the catalogue as weights, in each kind of accumulator."""
    specs = []
    for fmt in FORMATS.values():
        wide = MacSpec(fmt, "int8", 48 if fmt.name.startswith("fp8") else 32)
        narrow = replace(wide, acc_width=wide.product_width + 1, overflow="saturate")
        specs += [wide, narrow, replace(narrow, lanes=3)]
    one_bit = Format("one_bit", 1, (0, -1))
    return [
        *specs,
        MacSpec("dint4", "int8", 14, "wrap", lanes=4),
        MacSpec("dint4z", "int8", 24, "exact"),
        MacSpec("int4", "int4", 8, "saturate", lanes=16),
        MacSpec("fp8_e4m3", "fp8_e4m3", 40),
        MacSpec("nf4", "fp8_e5m2", 50, "saturate", lanes=2),
        MacSpec(one_bit, one_bit, 2, "saturate", lanes=2),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_every_format(simulator):
    needs(simulator)
    specs = suite()
    brief = Effort(exhaustive=2**16, sample=2**13)
    result = runner.run("mac", specs, simulator, effort=brief)
    print("\n".join(result.lines()))
    assert result.failures == {}
    assert result.ok
    assert len(result.modules) >= len(specs)
    assert result.results > 500_000
    for what in ("all pairs", "clear", "stall", "reset", "overflow", "negative overflow"):
        assert result.cover[what] > 0, what
    hit, total = result.bins
    assert hit == total > 5000


def test_decoders_of_both_styles_and_multipliers():
    needs("icarus")
    for style in ("plain", "shaped"):
        specs = [MacSpec(name, "int8") for name in ("dint4", "dint4_sm", "dint4z", "dint3")]
        result = runner.run("decoder", specs, "icarus", style=style)
        assert result.ok, result.lines()
        assert result.results == 16 + 16 + 256 + 8
        assert result.bins == (93, 93)
    result = runner.run(
        "multiplier", [MacSpec("dint4", "int8"), MacSpec("int3z", "int4")], "icarus"
    )
    assert result.ok, result.lines()
    assert result.results > 2**12 + 2**10
    assert result.cover["all pairs"] == 2


def test_user_formats_of_one_name_are_kept_apart():
    needs("icarus")
    specs = [MacSpec(Format("mine", 1, (0, k)), "int2", 8) for k in (1, 3)]
    result = runner.run("mac", specs, "icarus")
    assert result.ok, result.lines()
    assert len(result.modules) == 2


def test_operands_given_from_outside():
    needs("icarus")
    streams = {}
    for name in ("dint4", "dint4z"):
        spec = MacSpec(name, "int8", 16, "saturate")
        all_of = uniform(spec)
        z = None if all_of.z is None else all_of.z[:2, :300]
        part = (all_of.w[:2, :300], all_of.a[:2, :300], z, all_of.clear[:2, :300])
        streams[spec] = Operands(*part, "test")
    assert runner.run_operands(streams, "icarus") == dict.fromkeys(streams, (600, 0))


def test_result_for_people_and_for_json():
    checked = {"m": runner.Checked(3, 0, "", {"stall": 2}, {"stall": 2})}
    result = runner.VerifyResult("mac", "icarus", checked, 9, {"build": 0.5})
    assert result.ok
    assert result.lines() == [
        "mac in icarus: 3 results checked in 1 module, 9 cycles, 0.5 s; 0 modules failed",
        "covered: 1 of 1 bins; stall 2",
    ]
    row = {"results": 3, "in_arrays": 0, "wrong": 0, "first": ""}
    row |= {"bins": 1, "bins_hit": 1, "missing": []}
    assert result.as_dict()["modules"] == {"m": row}
    assert result.as_dict()["results"] == 3


def test_results_say_which_model_they_were_compared_with():
    checked = {"m": runner.Checked(1500, 0, "", in_arrays=1000), "n": runner.Checked(7, 0, "")}
    result = runner.VerifyResult("mac", "netlists", checked, 9, {})
    assert result.lines()[0].startswith(
        "mac in netlists: 1,507 results checked (507 with golden, 1,000 with its model in arrays) "
        "in 2 modules, "
    )
    row = result.as_dict()
    assert (row["in_arrays"], row["modules"]["m"]["in_arrays"]) == (1000, 1000)


def test_a_missed_bin_is_a_failure():
    checked = {"m": runner.Checked(3, 0, "", {"stall": 2, "clear": 0}, {"stall": 2})}
    result = runner.VerifyResult("mac", "icarus", checked, 9, {})
    assert not result.ok
    assert result.bins == (1, 2)
    assert result.lines()[1:] == ["covered: 1 of 2 bins; stall 2", "m: 1 bins missed: clear"]


def test_nothing_checked_is_a_failure():
    checked = {"m": runner.Checked(0, 0, "")}
    result = runner.VerifyResult("mac", "icarus", checked, 9, {})
    assert not result.ok
    assert result.lines()[-1] == "no result was checked: this is a failure"
    assert not replace(result, modules={}).ok


def test_bad_requests():
    spec = MacSpec("int4", "int4")
    with pytest.raises(ValueError, match=r"^unknown unit 'mak'; the nearest is 'mac'$"):
        runner.run("mak", [spec], "icarus")
    with pytest.raises(
        ValueError, match=r"^simulator must be one of icarus, verilator, not 'vcs'$"
    ):
        runner.run("mac", [spec], "vcs")
    needs("icarus")
    with pytest.raises(ValueError, match=r"^nothing to verify: no spec was given$"):
        runner.run("mac", [], "icarus")
    with pytest.raises(ValueError, match=r"^unknown mac style 'plane'; the nearest is 'plain'$"):
        runner.run("mac", [spec], "icarus", style="plane")
    with pytest.raises(ValueError, match=r"^mac has no option 'rows'; it takes style, pipeline$"):
        runner.run("mac", [spec], "icarus", rows=4)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_missing_simulator_says_what_to_install(monkeypatch, simulator):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SimulatorMissing, match=r"is not installed: (apt-get|pip) install"):
        runner.run("mac", [MacSpec("int4", "int4")], simulator)


def test_an_endless_simulation_is_ended(tmp_path):
    needs("icarus")
    spec = MacSpec("int2", "int2")
    unit = runner.describe("mac", "endless", spec, Mac(spec))
    text = to_verilog(Mac(spec), name="endless")
    stuck = "  reg x = 0; always @* while (!clk | 1) x = ~x;\nendmodule"
    (tmp_path / "endless.v").write_text(text.replace("endmodule", stuck))
    (tmp_path / "top.v").write_text(top_verilog([unit]))
    (tmp_path / "instances.pickle").write_bytes(pickle.dumps([unit]))
    with pytest.raises(
        BenchError, match=r"^icarus left no result \(exit status no end after 3 s\)"
    ):
        run_bench(tmp_path, "icarus", timeout_s=3)
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(tmp_path) not in left.stdout


def test_verilog_that_does_not_compile_shows_the_log():
    needs("icarus")
    spec = MacSpec("int2", "int2")
    unit = runner.describe("mac", "broken", spec, Mac(spec))
    with pytest.raises(BenchError, match=r"(?s)^icarus left no result .*broken\.v:1: syntax err"):
        runner.simulate("mac", [unit], {"broken": "module broken(; endmodule\n"}, "icarus")


@pytest.mark.parametrize(
    ("unit", "options"),
    [
        ("dot", {"pipeline": 2}),
        ("shared", {"outputs": 3, "pipeline": 1}),
        ("array", {"rows": 2, "cols": 2, "dataflow": "output"}),
        ("array", {"rows": 2, "cols": 3, "dataflow": "weight", "decode": "edge"}),
        ("requantizer", {"rounding": "tflite", "pipeline": 3}),
        ("float_mac", {"fmt": "bf16", "pipeline": 2}),
    ],
)
def test_every_kind_of_unit(unit, options):
    needs("icarus")
    lanes = 3 if unit == "dot" else 1
    specs = [MacSpec("dint4z", "int8", 14, "saturate", lanes), MacSpec("int4", "int8", 32)]
    if unit == "dot":
        specs[1] = replace(specs[1], lanes=2)
    brief = Effort(random=100, exhaustive=2**10, sample=2**9, runs=2)
    result = runner.run(unit, specs, "icarus", effort=brief, **options)
    assert result.ok, result.lines()
    assert result.bins[0] == result.bins[1] > 100


def test_gemm_runs_a_part_of_a_real_layer():
    needs("icarus")
    spec = MacSpec("dint4z", "int8", 24)
    brief = Effort(random=100, runs=2)
    shape = {"rows": 2, "cols": 2, "exits": 2, "sums": True, "rounding": "half-even"}
    result = runner.run("gemm", [spec], "icarus", effort=brief, **shape)
    assert result.ok, result.lines()
    what = "4 tokens x 3 channels of model.decoder.layers.3.fc1 in opt-mini"
    assert result.cover[what] == len(result.modules) == 2
    assert what in result.lines()[1]
    assert result.results > 500


@pytest.mark.parametrize("dataflow", ["output", "weight"])
def test_gemm_runs_a_whole_layer(dataflow):
    needs("verilator")
    spec = MacSpec("dint4", "int8", 32, "exact")
    brief = Effort(random=100, runs=2, whole_layer=True)
    shape = {"rows": 2, "cols": 16, "exits": 16, "dataflow": dataflow}
    result = runner.run("gemm", [spec], "verilator", effort=brief, **shape)
    assert result.ok, result.lines()
    assert result.cover["2 tokens x all 1024 channels of model.decoder.layers.3.fc1 in opt-mini"]
    assert result.results > 2 * 1024


@pytest.mark.parametrize("dataflow", ["output", "weight"])
@pytest.mark.parametrize("overflow", ["wrap", "exact"])
def test_a_tile_that_is_less_deep_than_high(dataflow, overflow):
    needs("icarus")
    shape = {"rows": 4, "cols": 2, "depth": 1, "dataflow": dataflow}
    brief = Effort(random=100, runs=2)
    spec = MacSpec("dint4", "int8", 12, overflow)
    result = runner.run("gemm", [spec], "icarus", effort=brief, **shape)
    assert result.ok, result.lines()


def test_gemm_says_where_it_runs_no_real_layer():
    needs("icarus")
    brief = Effort(random=100, runs=2)
    spec, shape = MacSpec("int4", "int4", 24), {"rows": 1, "cols": 1, "depth": 64}
    result = runner.run("gemm", [spec], "icarus", effort=brief, **shape)
    assert result.ok, result.lines()
    assert "no real layer (it needs a depth of 256)" in result.lines()[1]


@pytest.mark.parametrize("dataflow", ["output", "weight"])
def test_a_wrong_array_is_found(dataflow):
    """The Verilog of another spec, and one whose exit drops a beat that waits."""
    needs("icarus")
    spec, other = MacSpec("dint4", "int8", 13, "saturate"), MacSpec("dint4", "int8", 13, "wrap")
    shape = {"rows": 2, "cols": 2, "dataflow": dataflow}
    unit = get_unit("array")
    verilog = to_verilog_many({
        name: unit.make(built, **shape)
        for name, built in (("right", spec), ("clamps_not", other), ("waits_not", spec))
    })
    ready = ".o__ready"
    text = verilog["waits_not"]
    assert "o__ready" in text
    head, _, body = text.partition(");\n")
    verilog["waits_not"] = (
        head + ");\n" + body.replace("o__ready;", "o__ready; wire yes = 1'b1;", 1)
    )
    uses = [line for line in verilog["waits_not"].splitlines() if "o__ready" in line]
    assert len(uses) > 2, ready
    lines = [
        line.replace("o__ready", "yes") if line.lstrip().startswith("assign") else line
        for line in verilog["waits_not"].splitlines()
    ]
    verilog["waits_not"] = "\n".join(lines) + "\n"
    brief = Effort(random=100, runs=2)
    ones = [
        replace(runner.describe("array", name, spec, unit.make(spec, **shape), **shape),
                effort=brief)
        for name in verilog
    ]  # fmt: skip
    result = runner.simulate("array", ones, verilog, "icarus")
    assert set(result.failures) == {"clamps_not", "waits_not"}
    assert result.modules["right"].results > 500


def test_a_requantizer_of_few_bits_has_operands_that_fit():
    needs("icarus")
    spec = MacSpec("int2", "int2", 4)
    result = runner.run("requantizer", [spec], "icarus", effort=Effort(random=20))
    assert result.ok, result.failures
    assert result.results > 100
