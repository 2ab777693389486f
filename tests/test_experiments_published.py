"""`macsmith published`: the figures, the quotients that are made of them, and what is refused."""

import json

import pytest
from commands import run
from technology import TINY, needs_osu018
from typer.testing import CliRunner

from macsmith.experiments.cli import app
from macsmith.experiments.explore import published
from macsmith.experiments.explore import published_figures as figures
from macsmith.experiments.explore.published import Built, Row, compare
from macsmith.experiments.explore.published_figures import AREA, ENERGY, FIGURES, Figure, Part
from macsmith.experiments.measure import measure
from macsmith.experiments.units import get_unit
from macsmith.hw import pdk
from macsmith.hw.pdk import Pdk

A, B = Part("multiplier", "int2", "int2"), Part("multiplier", "int3", "int2")


def figure(**fields):
    base = {"name": "a over b", "source": "S", "of": AREA, "figure": 3.0, "part": A, "over": 6.0,
            "less": "less", "more": "more", "divisor": B}  # fmt: skip
    return Figure(**base | fields)


def built(area=1.0, energy=1.0, **fields):
    base = {"name": "u", "style": "plain", "adders": "gates", "clock_ps": 1000.0,
            "area_um2": area, "energy_pj": energy, "delay_ps": 900.0, "met": True,
            "netlist_equal": True}  # fmt: skip
    return Built(**base | fields)


def build_by_width(work):
    """A stand-in: um2 are the bits of the weights, pJ twice that."""
    part, _, clock_ps = work
    bits = part.spec.weights.width
    return built(bits, 2 * bits, name=part.name, clock_ps=clock_ps * part.periods)


def test_figures_are_well_formed():
    assert len({one.name for one in FIGURES}) == len(FIGURES) >= 12
    for one in FIGURES:
        assert all((one.name, one.source, one.less, one.more))
        assert one.of in (AREA, ENERGY)
        assert (one.over is None) == (one.divisor is None)
        assert one.over is not None or one.pdk  # an absolute number is of one node
        assert one.theirs > 0
        for part in one.parts:
            served = get_unit(part.unit).style_names(part.spec, **dict(part.options))
            assert set(published.STYLES.get(part.unit, ())) <= set(served)
        assert len({part.periods for part in one.parts}) == 1  # both of a quotient at one clock


def test_figures_retyped_from_their_sources():
    theirs = {one.name: one.theirs for one in FIGURES}
    expected = {
        "unsigned 8 x 4 over 8 x 8: area": 342.6 / 709.6,
        "unsigned 8 x 3 over 8 x 8: area": 247.3 / 709.6,
        "unsigned 8 x 2 over 8 x 8: area": 109.8 / 709.6,
        "unsigned 8 x 4 over 8 x 8: power": 0.137 / 0.391,
        "unsigned 8 x 3 over 8 x 8: power": 0.082 / 0.391,
        "unsigned 8 x 2 over 8 x 8: power": 0.033 / 0.391,
        "signed 8 x 8 over unsigned 8 x 8: area": 729.8 / 709.6,
        "INT8 multiplier over INT8 MAC: area": 282 / 419,
        "INT8 MAC over FP16 MAC with float32 sums: area": 419 / 5824,
        "INT8 MAC over FP16 MAC with fp16 sums: area": 419 / 3000,
        "INT8 MAC over FP16 MAC with float32 sums: energy": 0.3 / 2.0,
        "INT8 MAC over FP16 MAC with fp16 sums: energy": 0.3 / 1.5,
        "INT8 MAC at 7 nm: pJ": 0.1,
        "INT8 MAC at 7 nm, 1 GHz: um2": 86.33,
    }
    assert theirs == pytest.approx(expected)


def test_a_row_is_ours_over_theirs():
    one = Row(figure(), (built(4.0, 9.0), built(5.0, 3.0)))
    assert (one.figure.theirs, one.ours, one.ratio) == (0.5, 0.8, 1.6)
    assert Row(figure(of=ENERGY), one.built).ours == 3.0
    alone = Row(figure(over=None, divisor=None), one.built[:1])
    assert (alone.figure.theirs, alone.ours) == (3.0, 4.0)
    assert alone.figure.parts == (A,)


@pytest.mark.parametrize(
    ("ours", "why"),
    [(2.0, "less"), (2.8, "no more than"), (3.2, "no more than"), (4.0, "more")],
)
def test_why_follows_what_was_measured(ours, why):
    assert Row(figure(over=None, divisor=None), (built(ours),)).why.startswith(why)


def test_what_a_unit_misses_is_said():
    assert built().text == "u plain, gates, 1000 ps"
    assert built(met=False).text.endswith("(misses the clock)")
    assert built(netlist_equal=False).text.endswith("(NOT EQUAL to golden)")


def test_each_unit_is_built_once_and_absolutes_only_in_their_node(monkeypatch):
    asked = []
    monkeypatch.setattr(published, "_build", lambda w: asked.append(w[0]) or build_by_width(w))
    for name, clock_ps in (("asap7", 1000.0), ("elsewhere", 10_000.0)):
        asked.clear()
        monkeypatch.setattr(published, "choose_library", lambda *_, n=name: Pdk(n, ()))
        monkeypatch.setattr(published, "_require_comparable", lambda technology: None)
        found = compare(workers=1)
        assert len(asked) == len(set(asked))
        assert (found.pdk, found.clock_ps) == (name, clock_ps)
        assert {row.built[0].clock_ps / clock_ps for row in found.rows} == {1, figures.SLOW}
        absolute = [row for row in found.rows if row.figure.over is None]
        assert len(absolute) == (2 if name == "asap7" else 0)
        narrow = {row.figure.name: row.ours for row in found.rows}
        assert narrow["unsigned 8 x 2 over 8 x 8: area"] == 0.25
        assert json.loads(json.dumps(found.as_dict()))["rows"][0]["ours_over_theirs"] > 0
        lines = found.lines()
        assert sum(line.count(" | ") == 5 for line in lines) == len(found.rows) + 1
        for row in found.rows:
            assert any(row.figure.source in line for line in lines)


@needs_osu018
def test_the_smallest_style_that_meets_the_clock(monkeypatch):
    monkeypatch.setattr(published, "STYLES", {"multiplier": ("plain", "booth4")})
    library = pdk.find("osu018")
    made = published._build((A, library, 20_000.0))
    assert (made.met, made.netlist_equal) == (True, True)
    assert made.name == "int2 x int2 multiplier"
    each = [
        measure("multiplier", A.spec, style, technology=library, clock_ps=20_000, adders=adders)
        for style in ("plain", "booth4")
        for adders in ("gates", "cells", "ripple")
    ]
    assert made.area_um2 == min(one.synthesis.area_um2 for one in each)
    assert published._build((A, library, 1.0)).met is False


@needs_osu018
@pytest.mark.slow
def test_energy_of_a_float_mac(monkeypatch):
    part, library = figures.FP16_MAC, pdk.find("osu018")
    monkeypatch.setattr(published, "FLOAT_SUMS", 1)
    made = measure(
        part.unit, part.spec, technology=library, clock_ps=80_000, options={"fmt": "fp16"}
    )
    assert made.energy is None
    spent, equal = published._float_energy(made)
    assert equal
    assert spent.dynamic_pj > 0
    assert spent.products == 64 * 256
    monkeypatch.setattr(published, "multiply_add", lambda *_: 0)
    assert published._float_energy(made)[1] is False


def test_bad_input_is_refused_before_the_work(monkeypatch):
    monkeypatch.setattr(published, "_build", lambda work: pytest.fail("it worked"))
    with pytest.raises(ValueError, match=r"^figures are compared in a library's um2 and pJ: give"):
        compare("none")
    with pytest.raises(ValueError, match=r"^no PDK 'asap77'"):
        compare("asap77")
    monkeypatch.setattr(published, "choose_library", lambda *_: Pdk("asap7", ()))
    with pytest.raises(ValueError, match=r"^workers must be a positive number, not 0"):
        compare(workers=0)


def test_a_library_without_what_is_compared_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "_build", lambda work: pytest.fail("it worked"))
    path = tmp_path / "x.lib"
    path.write_text("\n".join(line for line in TINY.splitlines() if "area" not in line))
    with pytest.raises(ValueError, match=r"library x does not say areas"):
        compare(liberty=[path])
    path.write_text(TINY.replace("nom_voltage : 2.0;", ""))
    with pytest.raises(ValueError, match=r"library x does not say .*a supply voltage$"):
        compare(liberty=[path])


def test_the_command(monkeypatch):
    monkeypatch.setattr(published, "_build", build_by_width)
    monkeypatch.setattr(published, "choose_library", lambda *_: Pdk("asap7", ()))
    monkeypatch.setattr(published, "_require_comparable", lambda technology: None)
    shown = CliRunner().invoke(app, ["published", "--workers", "1", "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.output)["library"] == "asap7"
    shown = CliRunner().invoke(app, ["published", "--workers", "1"])
    assert shown.output.startswith("published figures and asap7")


def test_a_refusal_is_one_line_and_status_2(monkeypatch, capsys):
    status, out, err = run(monkeypatch, capsys, "published", "--pdk", "none")
    assert (status, out) == (2, "")
    assert err.startswith("macsmith: figures are compared in")
    assert err.count("\n") == 1
