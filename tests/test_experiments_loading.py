"""Models as commands load them: one dtype for all, said where it is another; samples with sense."""

import json

import pytest
import torch
from typer.testing import CliRunner

from macsmith.experiments import console
from macsmith.experiments.cli import app
from macsmith.experiments.loading import Loading
from macsmith.experiments.models import locate
from macsmith.quant import load_model, quantized_layers

RECIPE = ["--recipe", "w4a8-smoothquant-gptq-int4z", "--samples", "2", "--length", "32"]


def said(*line):
    """What a command says as JSON."""
    result = CliRunner().invoke(app, [*line, "--json"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_written_folder_is_the_model_that_eval_measures(tmp_path):
    written = said("quantize", "opt-mini", *RECIPE, "-o", str(tmp_path / "q"))
    assert written["dtype"] == "float32"
    assert 0.5 < written["share"] < 0.8  # the others are embeddings
    few = ["--limit", "2", "--window", "64"]
    folder = said("eval", str(tmp_path / "q"), *few)
    assert folder["ppl"] == said("eval", "opt-mini", *RECIPE, *few)["ppl"]


def test_the_files_dtype_is_kept_where_it_is_asked_for(tmp_path):
    file = ["--recipe", "w4a8-rtn-int4", "--dtype", "auto"]
    assert said("quantize", "opt-mini", *file, "-o", str(tmp_path / "q"))["dtype"] == "float16"
    model = load_model(tmp_path / "q", dtype="auto")
    assert model.get_input_embeddings().weight.dtype == torch.float16
    assert {layer.scale.dtype for _, layer in quantized_layers(model)} == {torch.float32}
    few = ["--limit", "1", "--window", "16"]
    assert said("eval", "opt-mini", "--dtype", "bfloat16", *few)["dtype"] == "bfloat16"


@pytest.mark.parametrize(("line", "words"), [
    (["quantize", "opt-mini", "-o", "x", "--seed", "1"], "--seed means nothing to w4a8-rtn-dint4"),
    (["eval", "opt-mini", "--task", "x"], "--task goes with --recipe"),
    (["slac", "opt-mini", "--seed", "-1"], "calibration seed must be 0 or more, not -1"),
    (["eval", "opt-mini", "--dtype", "int8"], "dtype must be one of float32, float16, bfloat16"),
    (["eval", "opt-mini", "--device", "abacus"], "device 'abacus' is not here: "),
    (["eval", "opt-mini", "--device", "meta"], "device 'meta' computes nothing"),
])  # fmt: skip
def test_what_means_nothing_is_refused(line, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, line)
    assert words in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_an_export_does_not_take_its_models_place(tmp_path):
    folder = str(tmp_path / "q")
    said("quantize", "opt-mini", "--recipe", "w4a8-rtn-int4", "-o", folder)
    result = CliRunner().invoke(app, ["export", folder, "-o", f"{folder}/../q"])
    assert "is the model itself" in str(result.exception)
    assert load_model(folder).config.quantization_config.recipe["name"] == "w4a8-rtn-int4"


def test_the_default_is_what_tables_load():
    assert Loading().load(locate("opt-mini")).dtype == torch.float32


def test_a_count_is_said_each_minute_where_there_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(console, "EACH_S", 0)
    with console.counting("quantizing m", "layers") as progress:
        progress(3, 24)
    assert capsys.readouterr().err == "quantizing m: 3 of 24 layers\n"


def test_a_count_is_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with console.counting("quantizing m", "layers") as progress:
        progress(3, 24)
    assert "3/24" in capsys.readouterr().err
