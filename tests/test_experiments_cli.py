"""The command line as a user meets it: a process of its own, its words and exit status pinned."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from macsmith.experiments.cli import app
from macsmith.hw import pdk

MACSMITH = Path(sys.executable).with_name("macsmith")


def macsmith(*args, cwd=None, **env):
    """(exit status, standard output, standard error) of one call."""
    run = subprocess.run(
        [MACSMITH, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | env,
    )
    return run.returncode, run.stdout, run.stderr


@pytest.fixture
def ternary(tmp_path):
    path = tmp_path / "ternary.toml"
    path.write_text('name = "ternary"\nwidth = 2\nfrac_bits = 0\nlevels = [0, 1, -1, 0]\n')
    return path


@pytest.fixture
def bad_format(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('name = "bad"\nwidth = 2\nfrac_bits = 0\nlevels = [0, 1, -1]\n')
    return path


def test_formats_json_is_one_document():
    status, out, err = macsmith("formats", "--json")
    assert (status, err) == (0, "")
    by_name = {row["name"]: row for row in json.loads(out)}
    assert by_name["dint4"]["values"][8:10] == [0.5, -0.5]
    status, out, _ = macsmith("formats", "dint3", "--json")
    assert json.loads(out)["levels"] == [0, 2, 4, 6, 1, -1, -4, -2]


def test_formats_for_a_person():
    status, out, err = macsmith("formats", "dint4")
    assert (status, err) == (0, "")
    assert "0b1001" in out
    assert "-0.5" in out


def test_a_users_format_is_all_that_is_written(ternary, tmp_path):
    status, out, _ = macsmith("formats", ternary, "--json")
    assert json.loads(out)["levels"] == [0, 1, -1, 0]
    target = tmp_path / "mac_ternary.v"
    status, out, err = macsmith("verilog", "mac", "--weights", ternary, "-o", target, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == {"file": str(target), "module": "mac_ternary", "latency": 1}
    assert "module mac_ternary(" in target.read_text()


def bad_inputs(bad, tmp):
    """(arguments, words of the one line)."""
    truncated = tmp / "cut.lib"
    truncated.write_text("library (cut) {\n  cell (INV) {\n    area : 1.0;\n")
    no_flop = tmp / "noflop.lib"
    no_flop.write_text(
        "library (noflop) {\n  cell (INV) {\n    area : 1.0;\n"
        '    pin (A) { direction : input; }\n    pin (Y) { direction : output; function : "!A"; }\n'
        "  }\n}\n"
    )
    empty = tmp / "empty"
    empty.mkdir()
    config_only = tmp / "config_only"
    config_only.mkdir()
    (config_only / "config.json").write_text('{"model_type": "opt"}')
    file = tmp / "a_file"
    file.write_text("")
    return [
        (("formats", "dint44"), "unknown format 'dint44'; the nearest is 'dint4'"),
        (("formats", bad), "bad.toml: format 'bad' has 3 levels, but 2 bits need 4"),
        (("verilog", "mac", "--weights", bad, "-o", tmp / "x.v"), "has 3 levels"),
        (("verilog", "mac", "--acc-width", "11", "-o", tmp / "x.v"), "11 bits cannot hold one"),
        (("verilog", "mac", "-o", tmp / "none" / "x.v"), "none/x.v: No such file or directory"),
        (("verilog", "mac", "-o", tmp / "wire.v"), "'wire' cannot name a Verilog module"),
        (("verilog", "mak", "-o", tmp / "x.v"), "unknown unit 'mak'; the nearest is 'mac'"),
        (("verilog", "dot", "--lanes", "0", "-o", tmp / "x.v"), "a positive integer, not 0"),
        (("prove", "--style", "booth4"), "--style goes with a unit"),
        (("verilog", "mac"), "Missing option"),
        (("verilog", "mac", "--style", "plane", "-o", tmp / "x.v"), "the nearest is 'plain'"),
        (("synth", "mac", "--pdk", "osu19"), "'osu19'"),
        (("synth", "mac", "--liberty", truncated), "cut.lib"),
        (("synth", "mac", "--liberty", no_flop), "flip-flop"),
        (("synth", "mac", "--liberty", tmp / "none.lib"), "none.lib"),
        (("synth", "mac", "--clock-ps", "0"), "clock_ps must be a positive number"),
        (("synth", "mac", "--operands", "gauss"), "operands must be one of layer, uniform"),
        (("synth", "mac", "--acc-width", "many"), "'--acc-width': wanted a number of bits, or"),
        (("verify", "mac", "--simulator", "vcs"), "simulator must be one of icarus, verilator"),
        (("quantize", empty, "-o", tmp / "q"), "has no config.json"),
        (("quantize", config_only, "-o", tmp / "q"), "has no weights"),
        (("quantize", "opt-mini", "-o", file), "is a file"),
        (("quantize", "opt-mini", "--recipe", "w4a8-rtn-dint5", "-o", tmp / "q"), "the nearest is"),
        (("export", "opt-mini", "-o", tmp / "q"), "the model is not quantized"),
        (("export", "opt-mini", "-o", file), "is a file"),
        (("export", "opt-mini", "-o", tmp / "q", "--layout", "gguf"), "unknown layout 'gguf'"),
        (("eval", "opt-mini", "--execution", "exact"), "exact execution needs a recipe"),
        (
            ("eval", "opt-mini", "--recipe", "w4a16-rtn-int4", "--execution", "exact"),
            "recipe 'w4a16-rtn-int4' leaves activations in float",
        ),
        (("eval", "opt-mini", "--execution", "fast"), "execution must be one of float, exact"),
        (("eval", "opt-mini", "--window", "513"), "the model reads 512 tokens, not 513"),
        (("verilog", "mac", "--acc-width", "9" * 20, "-o", tmp / "x.v"), "more than 63 bits"),
        (("eval", "opt-mini", "--limit", "0"), "limit must be at least one window"),
        (
            ("eval", "opt-mini", "--limit", "0", "--protocol", "lm-eval-word"),
            "limit must be at least one document",
        ),
        (
            ("eval", "no-model", "--protocol", "bogus"),
            "unknown protocol 'bogus': wanted gptq, hf-stride or lm-eval-word",
        ),
        (("eval", "opt-minni"), "opt-mini"),
        (("reproduce", "aria"), "unknown claim 'aria'; the nearest is 'area'"),
        (("reproduce", "definition", "-o", file), "a_file"),
        (("formatz",), "unknown command 'formatz'; the nearest is 'formats'"),
        (("formats", "--jason"), "No such option"),
    ]


def test_bad_input_is_one_line_and_status_2(bad_format, tmp_path):
    for args, words in bad_inputs(bad_format, tmp_path):
        before = sorted(p.name for p in tmp_path.rglob("*"))
        status, out, err = macsmith(*args)
        assert status == 2, (args, status, err)
        assert out == "", (args, out)
        assert words in err, (args, err)
        assert err.startswith("macsmith: "), (args, err)
        assert err.count("\n") == 1, (args, err)
        assert sorted(p.name for p in tmp_path.rglob("*")) == before, args  # nothing half-written


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("verilog decoder -o x.v --acc-width 32", "--acc-width means nothing to decoder"),
        ("verilog decoder -o x.v --activations int8", "--activations means nothing to decoder"),
        ("verilog multiplier -o x.v --overflow wrap", "--overflow means nothing to multiplier"),
        ("verify multiplier --lanes 2", "--lanes means nothing to multiplier"),
        ("datasheet float_mac --weights dint4", "--weights means nothing to float_mac"),
        ("synth requantizer --overflow wrap", "--overflow means nothing to requantizer"),
        ("synth float_mac --operands uniform", "--operands means nothing to float_mac"),
        ("prove multiplier --acc-width 20", "--acc-width means nothing to multiplier"),
        ("prove mac --style plain", "plain is what the other styles of mac are proven equal to"),
        ("styles decoder multiplier --overflow wrap", "--overflow means nothing to decoder or mul"),
        ("styles mac --lanes 8", "--lanes means nothing to mac: each has one"),
        ("verilog mac -o x.v --clock-ps 1000", "--clock-ps goes with --sdc"),
        ("verilog mac -o x.v --load-ff 1", "--load-ff goes with --sdc"),
        ("verify mac --adders gates", "--adders goes with --netlist"),
        ("verify mac --quick", "--quick goes with --all"),
        ("verify --all --netlist --quick", "--quick is for a simulator's bench"),
        ("verify decoder --all --netlist --weights int4 --weights nope", "unknown format 'nope'"),
        ("verilog xyzzy -o x.v", "unknown unit 'xyzzy'; there are decoder, multiplier, mac, dot, "),
        ("xyzzy", "unknown command 'xyzzy'; there are formats, verilog, datasheet, verify, prove"),
    ],
)
def test_what_would_be_ignored_or_guessed_is_refused(line, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        app(line.split(), standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        "verilog decoder -o x.v --weights dint4 --json",
        "verilog requantizer -o x.v --acc-width 20",
        "verilog mac -o x.v --sdc x.sdc --clock-ps 900 --load-ff 1 --lanes 1 --overflow wrap",
        "styles decoder multiplier --activations int4 --pdk none --weights int4 --style plain",
    ],
)
def test_what_one_unit_reads_is_taken(line, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert not app(line.split(), standalone_mode=False)
    assert capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    status, _, err = macsmith("verilog", "mac", "-o", tmp_path / "x.v")
    assert (status, err.count("\n")) == (2, 1)


def test_doctor_knows_this_machine():
    status, out, err = macsmith("doctor", "--json")
    assert (status, err) == (0, "")
    found = {item["name"]: item for item in json.loads(out)}
    assert found["python"]["detail"] == sys.version.split()[0]
    assert all(item["detail"] for item in found.values())


def test_libraries_are_listed(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "b.lib").write_text("library (b) {")
    status, out, err = macsmith("pdk", "list", "--json", MACSMITH_PDK_PATH=str(tmp_path))
    assert (status, err) == (0, "")
    found = {row["name"]: row for row in json.loads(out)}
    assert found["broken"]["problem"].startswith(str(tmp_path / "broken" / "b.lib"))
    if "osu018" in found:
        assert found["osu018"]["flip_flop"] == "DFFPOSX1"
        assert found["osu018"]["full_adder"] == "FAX1"
        assert found["osu018"]["voltage"] == 1.8
    status, out, _ = macsmith("pdk", "list", MACSMITH_PDK_PATH=str(tmp_path))
    assert status == 0
    assert "broken" in out
    status, _, err = macsmith("pdk", "lists")
    assert (status, err) == (2, "macsmith: unknown command 'lists'; the nearest is 'list'\n")


def test_synth_without_a_library_counts_nand2():
    status, out, err = macsmith("synth", "mac", "--weights", "int8", "--pdk", "none", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["library"] is found["area_um2"] is found["delay_ps"] is found["met"] is None
    assert found["dynamic_pj"] is None
    assert 500 < found["area_nand2"] < 5000
    assert found["flops"] == 32


def test_quantize_then_eval_in_both_executions(tmp_path):
    folder = tmp_path / "q"
    status, out, err = macsmith("quantize", "opt-mini", "-o", folder, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["layers"] == 24
    found = {}
    for execution in ("float", "exact"):
        status, out, err = macsmith(
            "eval", folder, "--execution", execution, "--limit", 2, "--json"
        )
        assert (status, err) == (0, "")
        found[execution] = json.loads(out)
    float_, exact = found["float"], found["exact"]
    assert exact["ppl"] == pytest.approx(float_["ppl"], rel=2e-3)
    assert exact["ppl"] != float_["ppl"]  # two ways of computing, not one twice
    assert exact["ids_sha256"] == float_["ids_sha256"]
    assert exact["recipe"]["weights"]["format"] == "dint4"
    status, out, _ = macsmith("eval", "opt-mini", "--recipe", "w4a8-rtn-dint4", "--execution",
                              "exact", "--limit", 2, "--json")  # fmt: skip
    assert json.loads(out)["ppl"] == exact["ppl"]  # saving and loading changed no bit


def test_export_of_a_quantized_folder(tmp_path):
    folder, target = tmp_path / "q", tmp_path / "ct"
    assert macsmith("quantize", "opt-mini", "--recipe", "w4a16-rtn-int4", "-o", folder)[0] == 0
    status, out, err = macsmith("export", folder, "-o", target, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["layers"], found["layout"]) == (24, "compressed-tensors")
    assert found["bytes"] == sum(file.stat().st_size for file in target.iterdir())
    config = json.loads((target / "config.json").read_text())["quantization_config"]
    assert config["format"] == "pack-quantized"
    assert (target / "tokenizer.json").is_file()
    pytest.importorskip("compressed_tensors", reason="compressed-tensors is not installed")
    status, out, err = macsmith("eval", target, "--limit", 1)
    assert (status, err) == (0, "")  # none of the library's progress bars
    assert f"{target}, quantized by compressed-tensors, float: perplexity" in out
    for options, words in (
        (("--execution", "exact"), "is quantized by compressed-tensors: exact execution needs"),
        (("--recipe", "w4a8-rtn-dint4"), "is quantized already, by compressed-tensors: evaluate"),
    ):
        status, out, err = macsmith("eval", target, "--limit", 1, *options)
        assert (status, out) == (2, "")
        assert words in err
        assert err.count("\n") == 1


def test_eval_of_a_text_file(tmp_path):
    text = tmp_path / "short.txt"
    text.write_text("A list is a mutable sequence. " * 200)
    status, out, err = macsmith("eval", "opt-mini", "--text", text, "--window", 64, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["text"] == "short.txt"


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog not installed")
def test_verify_counts_what_it_checked(ternary):
    status, out, err = macsmith("verify", "mac", "--weights", ternary, "--overflow", "saturate",
                                "--acc-width", 12, "--simulator", "icarus", "--json")  # fmt: skip
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["ok"]
    assert found["results"] > 4 * 256
    assert found["cover"]["overflow"] > 0


@pytest.mark.skipif("osu018" not in {p.name for p in pdk.available()}, reason="osu018 not here")
def test_synth_json_has_area_delay_and_energy_at_its_top_level():
    status, out, err = macsmith(
        "synth", "mac", "--pdk", "osu018", "--operands", "uniform", "--json"
    )
    assert (status, err) == (0, "")
    found = json.loads(out)
    for key in ("area_um2", "delay_ps", "cells", "flops", "met", "dynamic_pj", "leakage_pj"):
        assert found[key]
    assert found["netlist_equal"] is True
