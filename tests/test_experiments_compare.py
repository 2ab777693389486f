"""`macsmith eval --compare` on a folder: a row for each layer; the words where it is refused."""

import json
from pathlib import Path

import pytest
from commands import run

from macsmith.experiments.models.calibration import Calibration
from macsmith.experiments.quantizing import quantize_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = {}
    for recipe in ("w4a8v4-rtn-dint4z", "w4a16-rtn-int4"):
        found[recipe] = tmp_path_factory.mktemp("models") / "q"
        quantize_model("llama-mini", recipe, found[recipe], Calibration())
    return found


def test_every_layer_has_a_row(folder, monkeypatch, capsys):
    options = ("--compare", "--limit", 1, "--window", 16)
    model = folder["w4a8v4-rtn-dint4z"]
    status, out, err = run(monkeypatch, capsys, "eval", model, *options, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    layers = json.loads((model / "config.json").read_text())["quantization_config"]["layers"]
    names = [row["layer"] for row in found["layers"]]
    assert set(layers) <= set(names)
    assert sum(name.endswith((":scores", ":outputs")) for name in names) == len(names) - len(layers)
    assert len(names) > len(layers)
    assert found["holds"] is True
    assert (found["windows"], found["window"]) == (1, 16)
    assert 0 < max(row["of_bound"] for row in found["layers"]) < 1
    status, out, err = run(monkeypatch, capsys, "eval", model, *options)
    assert (status, err) == (0, "")
    assert f"the bound holds in all {len(names)}" in out
    assert all(name in out for name in names)


@pytest.mark.parametrize(
    ("recipe", "options", "words"),
    [
        ("w4a16-rtn-int4", (), "exact execution needs quantized activations: these stay in float"),
        ("w4a8v4-rtn-dint4z", ("--protocol", "gptq"), "--protocol means nothing with --compare"),
        ("w4a8v4-rtn-dint4z", ("--limit", 0), "limit must be at least one window, not 0"),
        ("w4a8v4-rtn-dint4z", ("--window", 10**6), "window: the model reads 1 to"),
    ],
)
def test_what_is_refused(recipe, options, words, folder: dict[str, Path], monkeypatch, capsys):
    status, out, err = run(monkeypatch, capsys, "eval", folder[recipe], "--compare", *options)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
