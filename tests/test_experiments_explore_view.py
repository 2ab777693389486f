"""An exploration in a report: tables, picture, bound; and the claim that is judged from it."""

import json

import pytest
from technology import needs_osu018

from macsmith.experiments import claims
from macsmith.experiments.explore import exploration, findings, grid, view
from macsmith.experiments.explore.exploration import Exploration, Job
from macsmith.experiments.report import Report, judge, write
from macsmith.experiments.store import provenance
from macsmith.hw import pdk


def row(weights, area, energy, **fields):
    base = {
        "unit": "mac", "style": "plain", "weights": weights, "acc_width": 24, "enough": True,
        "lanes": 1, "outputs": 1, "rows": 1, "cols": 1, "dataflow": "", "pipeline": 0,
        "clock_ps": 1000.0, "adders": "cells", "booth": False, "operands": "layer", "met": True,
        "netlist_equal": True, "problem": "", "delay_ps": 900.0, "label": f"{weights} {area}",
        findings.AREA: area, findings.ENERGY: energy, findings.HAZARDS: None,
    }  # fmt: skip
    return base | fields


ROWS = [
    row("int8", 20.0, 0.05, unit="dot", lanes=16),
    row("int8", 44.0, 0.09),
    row("int4", 10.0, 0.025, unit="dot", lanes=16),
    row("dint4", 30.0, 0.06),
    row("dint4_sm", 11.0, 0.02, unit="dot", lanes=16, style="segment3-digits"),
    row("dint4_r4", 1.0, 0.01, met=False),
    row("int8", 66.0, None, unit="array", rows=16, cols=16, dataflow="output"),
]


def found(library="asap7"):
    ladder = findings.ladder(ROWS, 1000.0)
    return Exploration(library, "default", 1000.0, ROWS, ladder).summary() | {"points": 9}


def test_any_coding_of_dint4_may_win_and_the_bound_is_of_int4():
    shown = view.view(found())
    best = shown["ladder"][-1]
    assert best["area_ratio"] == pytest.approx(20 / 11)
    assert best["energy_ratio"] == pytest.approx(2.5)
    assert shown["bound"]["int8"] == pytest.approx(2.0)
    assert shown["bound"]["dint4"] == pytest.approx(1.1)
    assert best["chosen"][1] == "dint4_sm dot of 16 segment3-digits, 24 bits, 11.00 um2"
    assert (shown["measured"], shown["counted"]) == (7, 6)


def test_an_array_that_is_best_is_told_with_its_size():
    rows = [*ROWS, row("int8", 19.0, 0.04, unit="array", rows=16, cols=8, dataflow="output")]
    best = view.view({**found(), "ladder": findings.ladder(rows, 1000.0)})["ladder"][-1]
    assert best["energy_ratio"] == pytest.approx(2.0)
    assert best["chosen"][0] == "int8 array 16 x 8 plain, 24 bits, 19.00 um2"


def test_structures_have_the_best_of_each_format():
    lines = {(x["structure"], x["weights"]): x for x in found()["structures"]}
    assert set(lines) == {
        ("dot product of 16", "int8"), ("dot product of 16", "int4"), ("MAC", "int8"),
        ("dot product of 16", "dint4_sm"), ("MAC", "dint4"),
        ("array 16 x 16, output-stationary", "int8"),
    }  # fmt: skip
    assert lines["MAC", "int8"]["area"] == 44.0
    array = lines["array 16 x 16, output-stationary", "int8"]
    assert (array["area"], array["energy"], array["energy_style"]) == (66.0, None, None)


def test_it_is_in_the_report_with_its_picture(tmp_path):
    results = {"exploration": json.loads(json.dumps(found()))}
    verdicts = judge(results, ["best"])
    assert verdicts[0]["status"] == "reproduced"
    write(Report(True, 1.0, verdicts, results, provenance()), tmp_path)
    assert (tmp_path / view.PICTURE).read_bytes()[:4] == b"\x89PNG"
    text = (tmp_path / "report.md").read_text()
    assert "measured: 2.00. dINT4 costs 1.10 times INT4, and 1.82 is left." in text
    assert "| array 16 x 16, output-stationary | int8 | 66.00 | plain | - | - |" in text
    html = (tmp_path / "report.html").read_text()
    assert html.count("data:image/png;base64,") == 1
    assert "dint4_sm dot of 16 segment3-digits" in html


def test_the_claim_is_judged_on_one_library_and_by_both_ratios():
    judged = claims.CLAIMS["best"].judge
    low = found()
    low["ladder"][-1] |= {"energy_ratio": 2.0}
    assert judged({"exploration": low}).status == "partly reproduced"
    low["ladder"][-1] |= {"area_ratio": 1.79}
    assert judged({"exploration": low}).status == "not reproduced"
    elsewhere = judged({"exploration": found("osu018")})
    assert elsewhere.status == "not measured"
    assert elsewhere.finding.startswith("1.82x in area and 2.50x in energy on osu018; ")
    assert judged({"exploration": None}).status == "not measured"
    low["ladder"][-1] |= {"area_ratio": None}
    assert judged({"exploration": low}).status == "not measured"


def test_nothing_to_draw_and_nothing_that_bounds():
    empty = Exploration("asap7", "quick", 1000.0, [], findings.ladder([], 1000.0)).summary()
    assert view.picture(empty) is None
    assert view.view(empty)["bound"] is None


@needs_osu018
def test_a_report_takes_what_an_earlier_run_has_kept(tmp_path, monkeypatch):
    few = grid.Family("mac", ("int2",), ("plain",), (12,), adders=("gates",))
    more = grid.Family("mac", ("int2",), ("fused-booth4",), (12,), adders=("gates",))
    monkeypatch.setattr(exploration, "GRIDS", {"quick": (few,), "default": (few, more)})
    libraries = [None]
    monkeypatch.setattr(exploration, "choose_library", lambda name, files=(): libraries[-1])
    assert Job(tmp_path).run() is None
    libraries.append(pdk.find("osu018"))
    first = Job(tmp_path).run()
    assert (first["grid"], first["measured"], first["points"]) == ("quick", 1, 2)
    exploration.explore("osu018", "default", output=tmp_path)
    assert Job(tmp_path).run()["measured"] == 2
