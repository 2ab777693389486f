"""The claim "exact": which recipes it compares, on tiny models what it finds, and what it says."""

import pytest

from macsmith.experiments import claims, reproduce
from macsmith.experiments.quantized import exact, frame
from macsmith.experiments.quantized.tables import TABLES
from macsmith.quant import Recipe
from macsmith.quant.presets import PRESETS
from macsmith.quant.recipe import Accumulator

FEW = {name: PRESETS[name] for name in ("w8a8-rtn", "w8a8-rtn-int8", "w4a8v4-gptq-dint4z")}


def test_every_recipe_is_compared_or_left_out():
    """All presets with activations of integers, once each; tables' rows on all of their models."""
    points, left_out = exact.chosen(exact.FULL)
    compared = {point.recipe for point in points}
    names = {name for name, preset in PRESETS.items() if not preset.weight_only}
    assert compared <= names
    distinct = len({_without_name(name) for name in names})
    assert len({_without_name(name) for name in compared}) == len(compared)
    assert distinct == len(compared)
    rows = {row.recipe for table in TABLES.values() for row in table.rows}
    assert {p.recipe for p in points if p.subject == "llama-mini+outliers"} == rows & names
    assert left_out.pop("is without-rounding") == left_out.pop("is without-underflow") == 1
    weight_only = sum(preset.weight_only for preset in PRESETS.values())
    assert left_out.pop("leaves activations in float") >= weight_only
    assert not left_out
    quick, left_out = exact.chosen(exact.QUICK)
    assert {point.recipe for point in quick} >= rows & names
    assert left_out["is calibrated, for the full run"] + len(quick) == distinct


def _without_name(recipe):
    return Recipe.get(recipe).model_dump_json(exclude={"name"})


@pytest.fixture
def few(small, monkeypatch):
    """Two recipes under three names, on two tiny models."""
    config = exact.Config(("opt-mini", "llama-mini"), ("opt-mini", "llama-mini"))
    monkeypatch.setattr(exact, "TABLES", {})
    monkeypatch.setattr("macsmith.quant.presets.PRESETS", FEW)
    monkeypatch.setattr(exact, "QUICK", config)
    monkeypatch.setattr(exact, "_DRAW", exact._DRAW | {"limit": 32, "window": 32})
    return config


def test_from_end_to_end(few, tmp_path):
    report = reproduce.reproduce(["exact"], quick=True, output=tmp_path, quiet=True)
    (claim,) = report.claims
    assert claim["status"] == "reproduced"
    assert "2 of 2 recipes stay within the bound" in claim["finding"]
    rows = {row["recipe"]: row for row in report.results["exact"]["rows"]}
    assert set(rows) == {"w8a8-rtn", "w4a8v4-gptq-dint4z"}
    for row in rows.values():
        assert row["models"] == ["opt-mini", "llama-mini"]
        assert 0 < row["of_bound"] < 1 < row["ulps"]
    attention = 2 * 2 * 2  # products, blocks, models
    assert rows["w8a8-rtn"]["layers"] == 2 * (6 + 7)
    assert rows["w4a8v4-gptq-dint4z"]["layers"] == 2 * (6 + 7) + attention
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "w4a8v4-gptq-dint4z" in text
        assert "part of the bound" in text
    again = []
    exact.Job(few, tmp_path / "quantized").run(lambda *at: again.append(at))
    assert again == [(4, 4, "from before")]


def test_accumulators_that_overflow(few, monkeypatch):
    """One product wide they do, in layers and in attention: that is beyond the bound."""
    recipe = Recipe.get("w8a8v8-rtn-int8z").model_copy(
        update={"accumulator": Accumulator(width=17)}
    )
    monkeypatch.setattr(exact, "recipe_of", lambda point: recipe)
    found = exact.compare_point(frame.Point("opt-mini", "w4a8v4-rtn-int4", **exact._DRAW))
    assert found["verdict"] == "beyond"
    assert found["of_bound"] > 1
    result = {"rows": [exact._over_models([found])], "left_out": {"is so": 3}}
    assert exact.status(result) == 0
    assert "BEYOND it: 1 (w4a8v4-rtn-int4)" in exact.finding(result)
    assert "left out: 3 whose recipe is so" in exact.finding(result)


def test_nothing_compared_is_not_reproduced():
    results = {"exact": {"rows": [], "left_out": {}}}
    assert claims.CLAIMS["exact"].judge(results).status == "not reproduced"
