"""`macsmith explore`: the grid, what is kept of a run, and what the rows say together."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from technology import needs_osu018

from macsmith.experiments import store
from macsmith.experiments.explore import arrays, campaign, findings, grid
from macsmith.experiments.explore.grid import ENOUGH, Family, Point, points
from macsmith.experiments.measure import driven
from macsmith.experiments.operands import uniform
from macsmith.experiments.units import get_unit
from macsmith.hw import pdk
from macsmith.hw.array import SystolicArray
from macsmith.hw.synth import synthesize
from macsmith.hw.yosys import YosysKilled
from macsmith.sim.spec import MacSpec

FEW = (
    Family("multiplier", ("int2",), ("plain", "booth4"), (12,), adders=("gates",)),
    Family("mac", ("int2",), ("plain",), (12, ENOUGH), adders=("gates",), operands=("uniform",)),
)


@pytest.mark.parametrize("families", [grid.QUICK, grid.DEFAULT])
def test_points_can_all_be_built(families):
    found = points(families, 1000)
    assert len(found) == len(set(found)) <= 1500
    for point in found:
        assert point.style in get_unit(point.unit).style_names(point.spec), point
        assert point.macs == point.lanes * point.outputs * point.rows * point.cols
    assert {p.unit for p in points(grid.DEFAULT, 1)} == {"mac", "dot", "shared", "array"}


def test_an_accumulator_that_is_wide_enough():
    """4,096 products of dINT4 are at most 4,096 x 14 x 128 = 7,340,032 half steps: 24 bits."""
    (point,) = points((Family("mac", ("dint4",), ("plain",), (ENOUGH,), adders=("gates",)),), 1)
    assert (point.spec.acc_width, point.spec.overflow) == (24, "exact")
    assert point.operand_bits == 12
    (shared,) = points(
        (Family("shared", ("dint4",), ("plain",), (32,), outputs=(4,), adders=("gates",)),), 1
    )
    assert (shared.operand_bits, shared.macs) == (6, 4)
    sizes = ((16, 8, "output"), (16, 8, "weight"))
    both = points((Family("array", ("dint4",), ("plain",), (32,), arrays=sizes),), 1)
    assert [one.operand_bits for one in both[::3]] == [4 / 16 + 8 / 8, 8 / 8]
    assert {one.macs for one in both} == {128}


@needs_osu018
@pytest.mark.parametrize("dataflow", ["output", "weight"])
def test_a_large_array_is_what_small_ones_say(dataflow):
    """One that is synthesised whole has the flip-flops within 1 %, area and energy within 3 %."""
    library, size = pdk.find("osu018"), (5, 6)
    spec, options = MacSpec("int2", "int2", 8), {"dataflow": dataflow, "decode": "edge"}
    streams = uniform(spec)
    found = arrays.measure_array(spec, "plain", *size, library, 20e3, "gates", options, streams)
    whole = SystolicArray(spec, *size, style="plain", **options)
    synthesis = synthesize(whole, library, clock_ps=20e3)
    spent, _, different = driven(get_unit("array").gates, whole, synthesis, streams)
    assert (found["netlist_equal"], found["netlist_different"], different) == (True, 0, 0)
    assert found["netlist_compared"] > 10_000
    assert found["dynamic_pj"] == pytest.approx(spent.dynamic_pj, rel=0.03)
    assert found["leakage_pj"] == pytest.approx(spent.leakage_pj, rel=0.03)
    assert found["power_mw"] == pytest.approx(spent.power_mw, rel=0.03)
    assert found["flops"] == pytest.approx(synthesis.flops, rel=0.01)
    assert found["area_um2"] == pytest.approx(synthesis.area_um2, rel=0.03)
    assert found["met"]
    assert found["delay_ps"] == pytest.approx(synthesis.delay_ps, rel=0.3)


@needs_osu018
def test_a_run_goes_on_where_it_was(tmp_path, monkeypatch):
    library, chosen = pdk.find("osu018"), points(FEW, 20_000)
    assert len(chosen) == 4
    first = campaign.run(chosen[:2], library, tmp_path, jobs=1)
    calls = []
    measure = campaign._measure
    monkeypatch.setattr(campaign, "_measure", lambda *a: calls.append(a[1]) or measure(*a))
    seen = []
    rows = campaign.run(chosen, library, tmp_path, jobs=1, progress=lambda *a: seen.append(a))
    assert calls == chosen[2:]
    assert rows[:2] == first
    assert seen[0] == (2, 4, "from before")
    assert seen[-1] == (4, 4, chosen[3].label)
    assert json.loads(json.dumps(rows)) == rows
    for point, one in zip(chosen, rows, strict=True):
        assert one["netlist_equal"]
        assert one["area_per_mac_um2"] == one["area_um2"] > 0
        assert one["energy_per_mac_pj"] > one["dynamic_pj"] > 0
        assert (one["unit"], one["style"]) == (point.unit, point.style)
    assert [one["enough"] for one in rows[2:]] == [False, True]
    # A file that was cut off is measured again, and nothing else.
    files = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert len(files) == 4
    files[0].write_text(files[0].read_text()[:100])
    calls.clear()
    assert campaign.run(chosen, library, tmp_path, jobs=1) == rows
    assert len(calls) == 1


@needs_osu018
@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("source_digest", lambda *names: "edited"),
        ("provenance", lambda: store.provenance() | {"python": "3.99"}),
        ("_style_hash", lambda point: "another"),
    ],
)
def test_what_decides_a_result_decides_its_file(monkeypatch, name, other):
    library, chosen = pdk.find("osu018"), points(FEW, 20_000)
    keys = campaign._keys(chosen, library)
    assert len(set(keys)) == 4
    assert not set(campaign._keys(points(FEW, 10_000), library)) & set(keys)
    monkeypatch.setattr(campaign, name, other)
    assert not set(campaign._keys(chosen, library)) & set(keys)


def test_the_layers_model_and_what_reads_it_are_in_the_key():
    root = Path(campaign.__file__).parents[2]
    for name in (
        "experiments/models/opt-mini/model.safetensors", "experiments/models/text.py",
        "quant/recipe.py", "quant/io.py", "hw/mac.py", "sim/spec.py",
    ):  # fmt: skip
        assert any((root / name).is_relative_to(root / one) for one in campaign._SOURCES), name
    for name in campaign._SOURCES:
        assert (root / name).exists(), name


def test_a_style_is_told_by_the_files_it_is_written_in():
    one, other = (
        campaign._style_hash(replace(points(FEW, 1e3)[-1], style=style))
        for style in ("fused-booth4", "fused-dadda")
    )
    assert one != other


@needs_osu018
def test_a_yosys_that_was_killed_leaves_no_row(tmp_path, monkeypatch):
    def killed(*args):
        raise YosysKilled("Yosys was ended by SIGKILL: no result, run again")

    library, chosen = pdk.find("osu018"), points(FEW, 20_000)[:1]
    measure = campaign._measure
    monkeypatch.setattr(campaign, "_measure", killed)
    with pytest.raises(YosysKilled):
        campaign.run(chosen, library, tmp_path, jobs=1)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(campaign, "_measure", measure)
    (row,) = campaign.run(chosen, library, tmp_path, jobs=1)
    assert not row["problem"]


@needs_osu018
def test_hazards_come_besides(tmp_path):
    library, (point, *_) = pdk.find("osu018"), points(FEW, 20_000)
    (still,) = campaign.run([point], library, tmp_path, jobs=1)
    (busy,) = campaign.run([replace(point, hazards=True)], library, tmp_path, jobs=1)
    assert still["hazard_energy_per_mac_pj"] is None
    assert busy["energy_per_mac_pj"] == pytest.approx(still["energy_per_mac_pj"])
    assert busy["hazard_energy_per_mac_pj"] > 1.1 * busy["energy_per_mac_pj"]
    for name in ("area_um2", "dynamic_pj", "internal_pj", "power_mw", "toggles"):
        assert busy[name] == pytest.approx(still[name])
    assert busy["hazard_dynamic_pj"] - busy["dynamic_pj"] == pytest.approx(busy["glitch_pj"])
    assert busy["hazard_toggles"] > busy["toggles"]


def test_a_point_that_one_family_wants_with_hazards_is_measured_with_them():
    plain, busy = FEW[0], replace(FEW[0], hazards=True)
    for families in ([plain, busy], [busy, plain]):
        found = points(families, 1e3)
        assert [p.hazards for p in found] == [True] * len(points([plain], 1e3))


@pytest.mark.parametrize("families", [grid.QUICK, grid.DEFAULT])
def test_without_adder_cells_all_is_gates(families):
    found = points(families, 1000, ("gates",))
    assert {point.adders for point in found} == {"gates"}
    assert {p.unit for p in found} == {p.unit for p in points(families, 1000)}
    assert len(found) == len(set(found))


@needs_osu018
def test_two_processes_find_the_same(tmp_path):
    library, chosen = pdk.find("osu018"), points(FEW, 20_000)
    one = campaign.run(chosen, library, tmp_path / "one", jobs=1)
    assert campaign.run(chosen, library, tmp_path / "two", jobs=2) == one


@needs_osu018
def test_a_point_that_cannot_be_measured_is_said(tmp_path):
    point = Point("mac", "fused-nibble", "int2", "int8", 16, 1, 0, 1, 20e3, "gates", False, "layer")
    (found,) = campaign.run([point], pdk.find("osu018"), tmp_path)
    assert found["problem"].startswith("mac style 'fused-nibble' cannot serve this: ")
    assert not findings.counts(found)
