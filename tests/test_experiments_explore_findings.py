"""What the rows of an exploration say together, and what is said of those that are wrong."""

import pytest
from technology import TINY
from typer.testing import CliRunner

from macsmith.experiments.cli import app
from macsmith.experiments.explore import campaign, exploration, findings
from macsmith.experiments.explore.grid import Family, points

FEW = (Family("mac", ("int8", "dint4", "int4"), ("plain",), (16,), adders=("gates",)),)


def row(weights="int8", area=1.0, energy=1.0, **fields):
    base = {
        "unit": "mac", "style": "plain", "weights": weights, "acc_width": 32, "enough": False,
        "lanes": 1, "outputs": 1, "pipeline": 0, "rows": 1, "cols": 1, "clock_ps": 1000.0,
        "adders": "gates",
        "booth": False, "operands": "layer", "met": True, "netlist_equal": True, "problem": "",
        "delay_ps": 900.0, findings.AREA: area, findings.ENERGY: energy, findings.HAZARDS: None,
    }  # fmt: skip
    return base | fields


def test_the_best_counts_only_if_it_meets_its_clock():
    rows = [
        row(area=90, energy=3),
        row(area=80, energy=4),
        row(area=10, energy=1, met=False),
        row(area=10, energy=1, netlist_equal=False),
        row(area=10, energy=1, problem="no"),
        row(area=10, energy=1, clock_ps=2000.0),
        row("dint4", 40, 2),
        row("int4", 32, 1),
    ]
    rungs = {rung["name"]: rung for rung in findings.ladder(rows, 1000.0)}
    assert next(iter(rungs)) == "plain"
    assert list(rungs)[-1] == "best"
    found = rungs["operands"]
    assert (found["area_ratio"], found["energy_ratio"]) == (2.0, 1.5)
    assert (found["int4_area_ratio"], found["int4_energy_ratio"]) == (1.25, 2.0)
    assert [one["area_per_mac_um2"] for one in found["area_of"]] == [80, 40, 32]
    assert rungs["plain"]["area_ratio"] is None  # nothing on uniform operands
    assert rungs["booth"]["points"] == 0


def test_each_rung_takes_its_own_rows():
    rows = {
        "plain": row(operands="uniform"),
        "operands": row(),
        "narrow": row(enough=True),
        "booth": row(booth=True),
        "styles": row(style="fused-dadda", adders="cells"),
        "accumulators": row(style="fused-dadda", adders="cells", enough=True),
        "best": row(unit="dot", lanes=16, style="fused-dadda", adders="cells", enough=True),
    }
    takes = {
        rung.name: [n for n, one in rows.items() if rung.takes(one)] for rung in findings.RUNGS
    }
    assert takes == {
        "plain": ["plain"],
        "operands": ["operands"],
        "narrow": ["narrow"],
        "booth": ["booth"],
        "styles": ["operands", "styles"],
        "accumulators": ["narrow", "accumulators"],
        "best": ["narrow", "accumulators", "best"],
    }


def test_hazards_are_compared_where_the_row_of_least_energy_has_them():
    rows = [
        row(energy=3, **{findings.HAZARDS: 8.0}),
        row(energy=2, **{findings.HAZARDS: 9.0}),
        row("dint4", 1, 1, **{findings.HAZARDS: 4.0}),
        row("dint4", 1, 2, **{findings.HAZARDS: 3.2}),
    ]
    found = findings.ladder(rows, 1000.0)[1]
    assert found["name"] == "operands"
    assert (found["energy_ratio"], found["hazard_energy_ratio"]) == (2.0, 2.5)
    assert found["int4_hazard_energy_ratio"] is None
    assert findings.ladder([row(), row("dint4")], 1000.0)[1]["hazard_energy_ratio"] is None
    rows[1][findings.HAZARDS] = None  # of this one nothing is known: the other may be worse
    assert findings.ladder(rows, 1000.0)[1]["hazard_energy_ratio"] is None
    assert findings.chosen(rows, 1000.0) == [1, 2]


def test_best_against_best_by_clock():
    def at(clock, *areas):
        return [
            row(name, area, 1.0, clock_ps=clock, enough=True)
            for name, area in zip(("int8", "dint4", "int4"), areas, strict=False)
        ]

    rows = [*at(1500.0, 18, 10, 9), *at(1000.0, 20, 10, 8), *at(750.0, 30, 15)]
    found = findings.at_clocks(rows)
    assert [one["clock_ps"] for one in found] == [1000.0, 1500.0]  # at 750 there is no INT4
    assert [one["area_ratio"] for one in found] == [2.0, 1.8]


def test_a_front_has_no_row_that_another_betters():
    rows = [row(area=3, energy=1), row(area=1, energy=3), row(area=2, energy=2)]
    rows += [row(area=2, energy=2.5), row(area=3, energy=1, style="x"), row(area=0, energy=None)]
    rows += [row(area=0, energy=0, met=False)]
    found = [(one[findings.AREA], one[findings.ENERGY]) for one in findings.front(rows)]
    assert found == [(1, 3), (2, 2), (3, 1)]


def test_bad_input_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"^the grid must be one of quick, default, full, not 'x'"):
        exploration.explore("osu018", "x", output=tmp_path)
    with pytest.raises(ValueError, match=r"^an exploration needs a library: see"):
        exploration.explore("none", output=tmp_path)
    with pytest.raises(ValueError, match=r"^nothing to explore: there is no point"):
        campaign.run([], None, tmp_path)
    with pytest.raises(ValueError, match=r"^jobs must be a positive number, not 0"):
        campaign.run([1], None, tmp_path, jobs=0)


def test_what_a_rung_chooses_has_hazards_too():
    chosen = points(FEW, 1000.0)
    rows = [row(one.weights) for one in chosen]
    rows[2][findings.HAZARDS] = 5.0
    asked = []

    def measured(again):
        asked.extend(again)
        busy = [row(one.weights, **{findings.HAZARDS: 3.0}) for one in again]
        busy[1]["problem"] = "a library without delays"
        return busy

    found = exploration._with_hazards(chosen, rows, 1000.0, measured)
    assert [(one.weights, one.hazards) for one in asked] == [("int8", True), ("dint4", True)]
    assert [one[findings.HAZARDS] for one in found] == [3.0, None, 5.0]
    assert not any(one["problem"] for one in found)


def run(monkeypatch, tmp_path, library, rows=None):
    monkeypatch.setitem(exploration.GRIDS, "quick", FEW)
    if rows is not None:
        monkeypatch.setattr(campaign, "run", lambda points, **_: rows[: len(points)])
    given = ["--liberty", str(library), "-o", str(tmp_path / "kept"), "--jobs", "1"]
    return CliRunner().invoke(app, ["explore", "--quick", *given])


def test_a_netlist_that_differs_is_said_and_fails(monkeypatch, tmp_path):
    path = tmp_path / "x.lib"
    path.write_text(TINY)
    rows = [
        row(one.weights, label=one.label, netlist_compared=100, netlist_different=0)
        for one in points(FEW, 1000.0)
    ]
    assert run(monkeypatch, tmp_path, path, rows).exit_code == 0
    rows[1] |= {"netlist_equal": False, "netlist_different": 7}
    found = run(monkeypatch, tmp_path, path, rows)
    assert found.exit_code == 1
    assert f"7 of 100 results DIFFER: {rows[1]['label']}" in found.output


def test_a_library_without_areas_or_flip_flops(monkeypatch, tmp_path):
    path = tmp_path / "x.lib"
    path.write_text("\n".join(line for line in TINY.splitlines() if "area" not in line))
    monkeypatch.setitem(exploration.GRIDS, "quick", FEW)
    found = exploration.explore(None, "quick", liberty=[path], output=tmp_path / "kept", jobs=1)
    assert all(one[findings.AREA] is None and one[findings.ENERGY] for one in found.rows)
    assert found.ladder[0]["area_ratio"] is None
    assert len(found.lines()) > 5
    path.write_text(TINY.replace("ff (", "other ("))
    with pytest.raises(ValueError, match=r"wanted a library with a D flip-flop, got"):
        exploration.explore(None, "quick", liberty=[path], output=tmp_path / "kept", jobs=1)
