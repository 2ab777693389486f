# amaranth: UnusedElaboratable=no
"""Datasheets: every port and style of every unit is in them, from docstring and component."""

import re

import pytest

from macsmith.experiments.datasheet import datasheet, ports_of, sections
from macsmith.experiments.units import UNITS, get_unit, spec_for
from macsmith.hw.array import SystolicArray
from macsmith.hw.export import to_verilog
from macsmith.hw.mac import Mac
from macsmith.sim.spec import MacSpec


def spec_of(unit, weights="dint4z"):
    return spec_for(unit, weights, "int8", 32, "wrap", 2 if unit == "dot" else 1)


@pytest.mark.parametrize("unit", UNITS)
def test_every_port_and_style_is_in_it(unit):
    kind, spec = get_unit(unit), spec_of(unit)
    names = kind.style_names(spec)
    assert names
    sheet = datasheet(unit, spec)
    text = sheet.markdown()
    assert [row.name for row in sheet.styles] == names
    assert all(row.structure for row in sheet.styles)
    assert not re.findall(r"^\| [\w /,]+ \| *\|$", text, re.MULTILINE)  # no name without a meaning
    verilog = to_verilog(kind.make(spec), name="unit")
    head = re.search(r"^module unit\((.*)\);$", verilog, re.MULTILINE)[1].split(", ")
    ports = {row.name: row for row in sheet.ports}
    assert set(ports) >= set(head)
    for direction, name in re.findall(r"^  (input|output)\b.*?(\w+);$", verilog, re.MULTILINE):
        assert ports[name].direction == {"input": "in", "output": "out"}[direction]
        assert f"| {name} |" in text
    for name in kind.make(spec).signature.members:
        assert any(port == name or port.startswith(f"{name}__") for port in ports)


def test_widths_signs_and_latency_are_the_components():
    sheet = datasheet("mac", MacSpec("dint4", "int8", 24), "plain", pipeline=2)
    ports = {row.name: row for row in sheet.ports}
    assert (ports["acc"].width, ports["acc"].signed, ports["w"].width) == (24, True, 4)
    assert "z" not in ports
    assert sheet.latency == 3
    assert min(row.latency for row in sheet.styles) == 3


@pytest.mark.parametrize(("unit", "options"), [("array", {"dataflow": "weight"}), ("array", {})])
def test_latency_of_handshakes_is_from_one_to_another(unit, options):
    """That it is so many edges from the one to the other is in the tests of the arrays."""
    sheet = datasheet(unit, spec_of(unit), rows=3, cols=2, **options)
    ours = f"latency {5 if options else 4}: rising edges, if nothing stalls, from the one at which "
    assert ours in sheet.markdown()
    first, last = sheet.latency_meaning.split(" to the one at which ")
    assert "``i`` takes a beat (``i.valid`` and ``i.ready``" in first
    assert last.startswith("``o`` gives its row (``o.valid`` and ``o.ready``")


def test_latency_of_other_units_is_from_operands_to_result():
    text = datasheet("mac", MacSpec("dint4", "int8", 24), pipeline=1).markdown()
    assert "Style plain, latency 2: rising edges from the operands to their result.\n" in text


def test_a_latency_without_a_meaning_is_refused(monkeypatch):
    assert "    latency : int\n" in SystolicArray.__doc__
    without = SystolicArray.__doc__.replace("    latency : int\n", "    delay : int\n")
    monkeypatch.setattr(SystolicArray, "__doc__", without)
    with pytest.raises(ValueError, match=r"^array: no meaning of latency under 'Attributes' in it"):
        datasheet("array", spec_of("array"))


SHAPES = [("array", {"dataflow": "weight"}), ("gemm", {"zero_points": False, "sums": True}),
          ("requantizer", {"pipeline": 2})]  # fmt: skip


@pytest.mark.parametrize(("unit", "options"), [*((unit, {}) for unit in UNITS), *SHAPES])
def test_every_port_of_every_style_has_a_meaning(unit, options):
    kind, spec = get_unit(unit), spec_of(unit)
    for style in kind.style_names(spec, **options):
        component = kind.make(spec, style=style, **options)
        rows = {row.name: row.meaning for row in ports_of(component)}
        members = {"__".join(map(str, p)) for p, *_ in component.signature.flatten(component)}
        assert members <= set(rows)
        assert all(meaning.endswith(".") for meaning in rows.values()), rows


def test_structures_are_one_line_of_plain_words():
    for unit in UNITS:
        for row in datasheet(unit, spec_of(unit)).styles:
            assert row.structure
            assert not row.structure.endswith((":", ".", "``"))
            assert "**" not in row.structure


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("    clear : In(1)\n        With", "    other : In(1)\n        With"),
        ("        Code of the weight.\n", ""),
    ],
)
def test_a_port_without_a_meaning_is_refused(monkeypatch, there, instead):
    assert there in Mac.__doc__
    monkeypatch.setattr(Mac, "__doc__", Mac.__doc__.replace(there, instead))
    with pytest.raises(ValueError, match=r"^Mac: no meaning of port (clear|w) under 'Members'"):
        datasheet("mac", spec_of("mac"))


def test_sections_are_numpydocs():
    found = sections("Title.\n\nText\nmore.\n\nMembers\n-------\na : In(1)\n    One.\n")
    assert found == {"": "Title.\n\nText\nmore.", "Members": "a : In(1)\n    One."}
