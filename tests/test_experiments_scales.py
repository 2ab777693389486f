"""Scales of the methods compared by Eq. 1, on the embedded models."""

import json
from dataclasses import replace

import pytest
import rounded
import torch
from typer.testing import CliRunner

from macsmith.experiments import scales
from macsmith.experiments.cli import app
from macsmith.experiments.models import MODELS, locate
from macsmith.experiments.models.calibration import Calibration
from macsmith.experiments.models.outliers import put_outliers
from macsmith.experiments.scales import COMPARED, Scaled, compare_scales
from macsmith.quant import Recipe, steps
from macsmith.quant.blocks import blocks_of
from macsmith.quant.convert import linear_layers
from macsmith.quant.groups import groups_of
from macsmith.quant.io import load_model, load_tokenizer
from macsmith.quant.methods import METHODS

DRAW = Calibration(samples=8, length=32)
RECIPE = "w4a8-aqas-int4z"


@pytest.mark.parametrize("outliers", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_aqas_is_never_above_no_scales_and_smoothquant_on_the_embedded_models(model, outliers):
    """Errors by a forward pass of their own; none of them is the command's."""
    found = compare_scales(model, RECIPE, DRAW, outliers=outliers)
    assert found.holds
    assert (len(found.rows), found.unscaled) == (16, [])
    net, tokenizer = load_model(locate(model)), load_tokenizer(locate(model))
    if outliers:
        put_outliers(net)
    recipe, aqas = Recipe.get(RECIPE), steps.Aqas()
    ids, rows = DRAW.ids(tokenizer, net), iter(found.rows)
    lower = 0
    for block in blocks_of(net, linear_layers(net, recipe), ids, [aqas.samples]):
        for group in groups_of(block):
            row = next(rows)
            assert row["layers"] == list(group.names)
            ones = torch.ones(group.width)
            chosen = {
                "rtn": ones,
                "smoothquant": METHODS[steps.SmoothQuant].scale(
                    block, group, steps.SmoothQuant(), recipe
                ),
                "aqas": METHODS[steps.Aqas].scale(block, group, aqas, recipe),
            }
            errors = {
                name: rounded.error(
                    block, group, ones if s is None else s, recipe, aqas.samples,
                    inputs_too=True, whole=True,
                )
                for name, s in chosen.items()
            }  # fmt: skip
            for name, error in errors.items():
                assert row["errors"][name] == pytest.approx(error, rel=1e-3)
            for layer, name in enumerate(group.names):
                alone = replace(group, names=(name,), layers=(group.layers[layer],))
                error = rounded.error(
                    block, alone, ones if chosen["aqas"] is None else chosen["aqas"], recipe,
                    aqas.samples, inputs_too=True, whole=False,
                )  # fmt: skip
                assert row["single"][layer]["aqas"] == pytest.approx(error, rel=1e-3)
            assert errors["aqas"] <= min(errors["rtn"], errors["smoothquant"]) * (1 + 1e-4)
            # With a layer alone it is the same thing; with several none may be good for each.
            best = [min(e["rtn"], e["smoothquant"]) for e in row["single"]]
            mine = [e["aqas"] for e in row["single"]]
            if len(mine) == 1 or all(a <= b for a, b in zip(mine, best, strict=True)):
                assert row["possible"]
            lower += errors["aqas"] < 0.99 * errors["rtn"]
    assert lower >= 8, "hardly a scale was found: the test is void"


def made(*errors):
    """Groups of one and two layers in turn, with errors in the order of COMPARED."""
    rows = [
        {"layers": [f"m.layers.{k}.{n}" for n in "abc"[: 1 + k % 2]],
         "errors": dict(zip(COMPARED, line, strict=True)),
         "single": [dict(zip(COMPARED, (4.0, 2.0, 2.0, 3.0), strict=True))] * (1 + k % 2),
         "possible": k % 2 == 0}
        for k, line in enumerate(errors)
    ]  # fmt: skip
    return Scaled(
        model="m", recipe={"name": "r"}, calibration={}, outliers=True, rows=rows, unscaled=["x"],
        seconds=1.0, provenance={},
    )  # fmt: skip


def test_what_is_said_counts_groups_and_layers():
    found = made((4.0, 2.0, 0.5, 1.0), (2.0, 2.0, 4.0, 1.0), (0.0, 0.0, 0.0, 0.0))
    assert found.holds
    text = "\n".join(found.lines())
    assert "m with outliers, r: AQAS never above no scales and SmoothQuant's in a group" in text
    assert "against awq, groups: below in 1 of 3, above in 1; its error is 0.707 of" in text
    assert "0.250 to 2.000" in text
    alone = "layers by themselves, no method's objective: "
    assert f"against rtn, {alone}below in 4 of 4, above in 0; its error is 0.750" in text
    assert f"against smoothquant, {alone}below in 0 of 4, above in 4; its error is 1.500" in text
    assert "  in 1 of 1 groups of several layers every scale that AQAS tries is above no" in text
    assert "1 layers cannot be scaled" in text


def test_a_failed_check_is_said_and_exits_with_1(monkeypatch):
    monkeypatch.setattr(
        scales, "compare_scales", lambda *_, **__: made((1.0, 2.0, 3.0, 1.1), (1.0,) * 4)
    )
    result = CliRunner().invoke(app, ["scales", "m", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["holds"] is False
    result = CliRunner().invoke(app, ["scales", "m"])
    assert result.exit_code == 1
    assert "AQAS ABOVE no scales" in result.stdout
    assert "│ 1.a, 1.b │" in result.stdout


def test_activations_in_float_are_refused():
    with pytest.raises(ValueError, match="activations stay in float"):
        compare_scales("opt-mini", "w4a16-rtn-int4")
