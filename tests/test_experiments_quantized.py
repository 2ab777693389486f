"""The tables of quantized models, on tiny ones: points, cache, orderings, report."""

import csv
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import tiny

from macsmith.experiments import claims, reproduce
from macsmith.experiments.quantized import compare, frame, job, judge, papers, runner
from macsmith.experiments.quantized.checks import CHECKS
from macsmith.experiments.quantized.tables import TABLES, Table, _lee
from macsmith.experiments.quantized.view import view
from macsmith.quant import Recipe

#: A folder with the tables as they were read from the paper, in long form.
REFERENCE = os.environ.get("MACSMITH_REFERENCE_PATH", "")
CONFIG = job.Config(seeds=2)


def test_every_row_is_a_recipe_that_the_paper_has():
    """And what a table is there to show is an ordering that some family's columns agree on."""
    for table in TABLES.values():
        names = [row.name for row in table.rows]
        assert len(names) == len(set(names)) > 1
        for row in table.rows:
            Recipe.get(row.recipe)
            assert not table.paper or table.printed().rows[row.name]
        agreed = {
            pair
            for name in table.subjects
            for pair in judge.orderings(table, frame.SUBJECTS[name].family)
        }
        assert table.point or table.id in CHECKS
        assert set(table.point) <= agreed, table.id
        assert set(table.subjects) <= set(frame.SUBJECTS)


def test_a_table_from_end_to_end(small, tmp_path, monkeypatch):
    """Every point once; uncalibrated rows have one; a second run measures nothing."""
    two = replace(TABLES["table14"], subjects=("opt-mini", "llama-mini"))
    monkeypatch.setitem(TABLES, "table14", two)
    seen = []
    one = job.Job(("table14",), CONFIG, tmp_path)
    found = one.run(lambda *at: seen.append(at))
    assert seen[-1][0] == seen[-1][1] == 2 * (1 + 3 + 3 * 2)  # FP32, 3 rounded, 3 of 2 seeds each
    again = []
    assert one.run(lambda *at: again.append(at)) == found
    assert [at[0] for at in again] == [20]
    table = found["tables"]["table14"]
    assert [len(row["ours"]["opt-mini"]["ppl"]) for row in table["rows"]] == [1, 2] * 3
    assert table["models"][0]["tokens"] == 6 * 31
    assert {o["verdict"] for o in table["orderings"]} <= set(compare.VERDICTS)
    for row in table["rows"]:
        for model in ("opt-mini", "llama-mini"):
            cell = row["ours"][model]
            full = next(m["ppl"] for m in table["models"] if m["model"] == model)
            mean = sum(ppl / full for ppl in cell["ppl"]) / len(cell["ppl"])
            assert cell["quotient"] == pytest.approx(mean, rel=1e-6)
    assert view(found)["tables"][0]["rows"][0][2:4] == ["1.351 (43.15)", "1.344"]
    json.dumps(found, allow_nan=False)


def test_a_file_that_was_cut_is_measured_again(small, tmp_path):
    point = frame.Point("opt-mini", "w4a16-rtn-int4z").settled()
    row = runner.run([point, point], tmp_path)[point]
    (file,) = tmp_path.glob("*.json")
    file.write_text(file.read_text()[:-20])
    assert runner.run([point], tmp_path)[point]["losses"] == row["losses"]
    other = replace(point, limit=64)
    assert len(runner.run([other], tmp_path)[other]["losses"]) == 1 < len(row["losses"])
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_point_is_what_the_package_computes(small):
    """Perplexity in pieces is that of the whole."""
    from macsmith.quant import perplexity, quantize_

    point = frame.Point("llama-mini", "w4a8v4-gptq-dint4z", seed=1)
    found = frame.measure(point)
    model = tiny.llama()
    quantize_(model, "w4a8v4-gptq-dint4z", tiny.ids(5, 16))
    whole = perplexity(model, frame._evaluation("", "")[0])
    assert found["ppl"] == pytest.approx(whole.ppl, rel=1e-5)
    assert (found["tokens"], found["ids_sha256"]) == (whole.tokens, whole.ids_sha256)
    assert found["calibration"]["seed"] == 1


def test_a_text_that_is_too_short_is_found_before_the_work(small, monkeypatch):
    monkeypatch.setattr(frame, "_evaluation", lambda *_: (tiny.ids(1, 10).flatten(), "a line"))
    monkeypatch.setattr(frame, "prepared", None)  # which quantizes
    with pytest.raises(ValueError, match=r"text too short: wanted \d+ tokens, got 10"):
        frame.measure(frame.Point("opt-mini", "w4a8-rtn-dint4"))


def test_so_is_a_limit(small, monkeypatch):
    monkeypatch.setattr(frame, "prepared", None)
    with pytest.raises(ValueError, match=r"limit too short: wanted \d+ tokens, got 9"):
        frame.measure(frame.Point("opt-mini", "w4a8-rtn-dint4", limit=9))


def test_settled():
    """Only what is calibrated has seeds; groups are the model's."""
    calibrated = frame.Point("opt-mini", "w4a16-gptq-int4z", True, seed=3)
    assert calibrated.settled() == calibrated
    assert frame.recipe_of(calibrated).weights.group_size == 128
    assert frame.recipe_of(replace(calibrated, subject="stories260K")).weights.group_size == 32
    assert frame.Point("opt-mini", "w4a16-rtn-int4z", seed=3).settled().seed == 0
    assert frame.Point("opt-mini", None, seed=3).settled().seed == 0


@pytest.mark.parametrize("quick", [True, False])
def test_every_table_has_points(quick):
    config = job.QUICK if quick else job.FULL
    for table in TABLES.values():
        points = job.points_of(table, config)
        assert "full" in {row for _, row in points}
        assert len(points) > 2
        assert all(len(some) == config.seeds for some in points.values())


def test_the_claim(small, tmp_path, monkeypatch):
    """By name, with a report that has both columns; not among the claims without a name."""
    monkeypatch.setattr(job, "QUICK", CONFIG)
    report = reproduce.reproduce(["table13"], quick=True, output=tmp_path, quiet=True)
    (claim,) = report.claims
    assert claim["status"] in (*claims.STATUSES, "not decided")
    assert "orderings that all of the paper's columns have" in claim["finding"]
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "paper: llama-7b" in text
        assert "rtn-fp4_e1m2" in text
        assert "29,151.857" in text  # 165582.55 / 5.68
    assert not {claim.id for claim in claims.CLAIMS.values() if not claim.long} & set(TABLES)


def test_help_names_them():
    from macsmith.experiments.cli import reproduce as command

    assert set(TABLES) <= set(command.__doc__.replace(".", " ").split())


def test_a_text_that_is_not_here_is_found_before_the_work(tmp_path):
    with pytest.raises(FileNotFoundError, match="wanted 'docs', a WikiText folder or a text file"):
        reproduce.reproduce(["table14"], quick=True, output=tmp_path, text="none", quiet=True)


def test_a_text_that_is_too_short_leaves_no_folder(tmp_path):
    text = tmp_path / "short.txt"
    text.write_text("A line.")
    with pytest.raises(ValueError, match=r"text too short: wanted 1024 tokens, got \d"):
        reproduce.reproduce(
            ["table14"], quick=True, output=tmp_path / "r", text=str(text), quiet=True
        )
    assert list(tmp_path.iterdir()) == [text]


def test_what_a_row_has_that_its_preset_has_not_is_said(small, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "QUICK", CONFIG)
    reproduce.reproduce(["table12", "fig4"], quick=True, output=tmp_path, quiet=True)
    text = (tmp_path / "report.md").read_text()
    assert "| rtn-int3z | w3a16-rtn-int3z, in groups |" in text
    assert ", groups of 128\n" in text
    assert "| without-rounding | w4a8v4-aqas-int4z, errors 'without-rounding' |" in text
    assert "Calibrated on 32 samples of 128 tokens." in text
    found = json.loads((tmp_path / "report.json").read_text())["results"]["quantized"]["tables"]
    assert {c["group_size"] for r in found["table12"]["rows"] for c in r["ours"].values()} == {128}
    assert {c["group_size"] for r in found["fig4"]["rows"] for c in r["ours"].values()} == {0}


def test_nothing_to_measure(tmp_path):
    with pytest.raises(ValueError, match="nothing to measure"):
        runner.run([], tmp_path)


def test_the_papers_numbers():
    """A few retyped; the rest is held against the reference, where it is here."""
    assert papers.printed("3").rows["aqas-gptq-dint4z"]["llama-30b"] == 4.72
    assert papers.printed("10").rows["rtn-int3z"]["opt-2.7b"] == 43_000
    assert papers.printed("14").full["opt-125m"] == 31.95
    with pytest.raises(ValueError, match="no Table 99"):
        papers.printed("99")


@pytest.mark.skipif(not REFERENCE, reason="MACSMITH_REFERENCE_PATH names no folder with tables")
def test_the_papers_numbers_against_the_reference():
    text = (Path(REFERENCE) / "lee2023_tables.csv").read_text()
    lines = csv.DictReader(text.splitlines())
    steps = {"none": "", "smoothquant": "smoothquant", "awq": "awq", "aqas": "aqas"}
    checked = 0
    for line in lines:
        accuracies = line["table"] == "13" and line["metric"] != "wikitext_ppl_w4a16"
        if line["table"] not in papers.TABLES or accuracies:
            continue
        table = papers.printed(line["table"])
        if line["format"] == "fp16":
            assert table.full[line["model"]] == float(line["value"])
        else:
            chain = [steps[line["scaling"]], "gptq" if line["optq"] == "yes" else ""]
            fmt = line["format"].replace("_c=1/2", "")
            fmt, _, special = fmt.partition("_c=1/")
            fmt += "z" * ("fp" not in fmt) + (f"_c{special}" if special else "")
            name = "-".join([*filter(None, chain), fmt] if any(chain) else ["rtn", fmt])
            if line["table"] == "1":
                name += "@" + line["metric"].rpartition("_")[2]
            assert table.rows[name][line["model"]] == float(line["value"]), line
        checked += 1
    every = [papers.printed(name) for name in papers.TABLES if name != "4a"]
    assert checked == sum(len(row) for t in every for row in t.rows.values()) + 9 + 3


@pytest.mark.parametrize("name", CHECKS)
def test_checks(small, tmp_path, monkeypatch, name):
    """Every model has one, with a verdict and the paper's side of it."""
    monkeypatch.setitem(TABLES, name, replace(TABLES[name], subjects=("opt-mini",), window=None))
    table = job.Job((name,), CONFIG, tmp_path).run()["tables"][name]
    (check,) = table["checks"]
    assert check["verdict"] in compare.VERDICTS
    assert "the paper" in check["text"]
    assert check["text"] in judge.finding(table)
    assert TABLES[name].note in judge.finding(table)
    assert judge.status(table) in (0, 1, 2, None)


def test_a_row_that_these_models_cannot_show_is_said():
    assert "2,048 tokens cannot be shown: the longest context" in TABLES["slac"].note


def test_a_table_without_a_papers_numbers(small, tmp_path, monkeypatch):
    """Its own orderings are judged; a loss beyond what a float holds is shown as such."""
    rows = _lee("13", "w4a16")
    table = Table(
        "t", "s.", "here", rows, (), ("opt-mini",), (), orders=((rows[3].name, rows[0].name),)
    )
    monkeypatch.setitem(TABLES, "t", table)
    found = job.Job(("t",), CONFIG, tmp_path).run()
    assert [o["better"] for o in found["tables"]["t"]["orderings"]] == ["rtn-dint4z"]
    cell = {"losses": [800.0], "loss": 800.0, "ppl": None, "seed": 0, "calibration": None,
            "seconds": 0}  # fmt: skip
    measured = judge._measured("m", "r", {("m", "r"): [cell], ("m", "full"): [{"loss": 1.0}]})
    assert measured["quotient"] is None
    assert math.isclose(sum(measured["losses"][0]), 800)
