"""`macsmith errors` on an embedded model: a row for each layer, what the numbers add up to."""

import json

import pytest
import torch
from commands import run

from macsmith.experiments.models import locate
from macsmith.experiments.models.calibration import Calibration
from macsmith.quant import Recipe
from macsmith.quant.io import load_model, load_tokenizer
from macsmith.quant.underflow import analyse

DRAW = ("--samples", 2, "--length", 16)


@pytest.mark.parametrize("recipe", ["w4a8-rtn-int4z", "w4a16-rtn-int4"])
def test_every_layer_has_both(recipe, monkeypatch, capsys):
    status, out, err = run(
        monkeypatch, capsys, "errors", "opt-mini", "--recipe", recipe, *DRAW, "--json"
    )
    assert (status, err) == (0, "")
    found = json.loads(out)
    place = locate("opt-mini")
    net, tokenizer = load_model(place), load_tokenizer(place)
    wanted = analyse(net, recipe, Calibration(2, 16).ids(tokenizer, net))
    assert [row["layer"] for row in found["layers"]] == [one.layer for one in wanted]
    assert found["holds"] is True
    for row, one in zip(found["layers"], wanted, strict=True):
        terms, bound = row["terms"], row["bound"]
        assert terms == pytest.approx(one._asdict())
        assert terms["rounding"] + terms["underflow"] + terms["cross"] == pytest.approx(
            terms["total"]
        )
        assert bound["weights"] + bound["inputs"] == pytest.approx(bound["bound"])
        assert 0 < bound["total"] <= bound["bound"] * (1 + 1e-9)
        assert (bound["inputs"] > 0) == Recipe.get(recipe).activations.quantized


def test_what_is_said(monkeypatch, capsys):
    status, out, err = run(
        monkeypatch, capsys, "errors", "opt-mini", "--recipe", "w8a8-rtn", "--outliers", *DRAW
    )
    assert (status, err) == (0, "")
    assert "opt-mini with outliers, w8a8-rtn: the bound holds in all 24 layers" in out
    assert all(word in out for word in ("weights", "inputs", "measured", "underflow", "cross"))


def test_beyond_the_bound_exits_with_1(monkeypatch, capsys):
    """A layer whose measured error is more than its parts: a fault, which is said."""
    from macsmith.quant import bounds

    plain = bounds.error_bound

    def faulty(layer, quantized, x: torch.Tensor):
        found = plain(layer, quantized, x)
        return found._replace(total=found.bound * 1.01)

    monkeypatch.setattr(bounds, "error_bound", faulty)
    status, out, _ = run(monkeypatch, capsys, "errors", "opt-mini", "--recipe", "w8a8-rtn", *DRAW)
    assert status == 1
    assert "BEYOND the bound in 24 of 24 layers, the first is model.decoder.layers.0" in out


def test_an_unknown_recipe_is_one_line(monkeypatch, capsys):
    status, out, err = run(monkeypatch, capsys, "errors", "opt-mini", "--recipe", "w8a8-atk")
    assert (status, out) == (2, "")
    assert "unknown recipe 'w8a8-atk'; the nearest is" in err
    assert err.count("\n") == 1
