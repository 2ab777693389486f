# amaranth: UnusedElaboratable=no
"""Adders as library cells: found by what they compute, with the netlist equal to golden."""

import re
from itertools import product

import pytest
from technology import TINY, library

from macsmith.experiments.measure import measure
from macsmith.hw import adder_cells
from macsmith.sim.spec import MacSpec

#: By library its adders and whether their outputs are inverted, from the vendors' documentation.
KNOWN = {
    "osu018": ("FAX1", "HAX1", False),
    "asap7": ("FAx1_ASAP7_75t_R", "HAxp5_ASAP7_75t_R", True),
    "sky130hd": ("sky130_fd_sc_hd__fa_1", "sky130_fd_sc_hd__ha_1", False),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_smallest_adders_are_found(name):
    full, half, inverting = KNOWN[name]
    found = adder_cells.find(library(name))
    assert (found.full.cell, found.half.cell) == (full, half)
    assert found.full.inverting == inverting


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("adders", ["cells", "ripple"])
@pytest.mark.parametrize("style", ["fused-dadda", "plain"])
def test_a_mac_of_adder_cells_computes_what_golden_says(name, adders, style):
    full = KNOWN[name][0]
    library(name)
    row = measure("mac", MacSpec("int4", "int4", 12), style, pdk=name, adders=adders,
                  operands="uniform")  # fmt: skip
    assert row.netlist_equal
    assert row.compared >= 2**16
    assert row.synthesis.adders == adders
    assert row.synthesis.cell_counts[full] >= (4 if adders == "cells" else 8)


ADDERS = """cell ({cell}) {{ area : 7; cell_leakage_power : 0.01;
    pin ({a}) {{ direction : input; capacitance : 1; }}
    pin ({b}) {{ direction : input; capacitance : 1; }}
    pin (CI) {{ direction : input; capacitance : 1; }}
    pin ({c}) {{ direction : output; function : "({a} & {b}) | (CI & ({a} ^ {b}))";
      timing () {{ related_pin : "{a} {b} CI"; {delays} }} }}
    pin (S) {{ direction : output; function : "{a} ^ {b} ^ CI";
      timing () {{ related_pin : "{a} {b} CI"; {delays} }} }}
  }}
"""
DELAYS = " ".join(
    f"{kind} (scalar) {{ values (1); }}"
    for kind in ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
)


@pytest.mark.parametrize(
    "names",
    [("FA.1-x", "A[0]", "A[1]", "CO"), ("wire", "input", "reg", "output")],
)
def test_pins_whose_names_verilog_takes_only_escaped(tmp_path, names):
    adder = ADDERS.format(**dict(zip(("cell", "a", "b", "c"), names, strict=True)), delays=DELAYS)
    (tmp_path / "x.lib").write_text(TINY.replace("  cell (DFF)", f"{adder}  cell (DFF)", 1))
    row = measure("mac", MacSpec("int2", "int2", 8), "plain", liberty=[tmp_path / "x.lib"],
                  adders="ripple", operands="uniform")  # fmt: skip
    assert row.netlist_equal
    assert row.synthesis.cell_counts[names[0]] > 2


def document(*boxes):
    """Yosys's JSON of a module with these boxes; pins are nets or constants."""
    directions = dict.fromkeys("ABC", "input") | dict.fromkeys("XY", "output")
    cells = {
        f"b{k}": {
            "type": adder_cells.BOX,
            "port_directions": directions,
            "connections": {pin: [bit] for pin, bit in zip("ABCXY", pins, strict=True)},
        }
        for k, pins in enumerate(boxes)
    }
    read = {"direction": "output", "bits": [bit for pins in boxes for bit in pins[3:]]}
    return {"modules": {"top": {"cells": cells, "ports": {"o": read}}}}


def kinds(doc):
    return [
        cell["type"].removeprefix(adder_cells.BOX)
        for cell in doc["modules"]["top"]["cells"].values()
    ]


@pytest.fixture
def inverting():
    out = adder_cells.Output
    full = adder_cells.Adder("FA", ("A", "B", "CI"), out("CON", True), out("SN", True))
    half = adder_cells.Adder("HA", ("A", "B"), out("CON", True), out("SN", True))
    return adder_cells.AdderCells(full, half)


def test_forms_alternate_along_a_chain(inverting):
    # Each carry is the next one's operand, as in a row of full adders.
    doc = document(*((10 * k, 10 * k + 1, 10 * k - 7 if k else 3, 10 * k + 3, 10 * k + 4)
                     for k in range(1, 7)))  # fmt: skip
    adder_cells.choose(doc, "top", inverting)
    found = kinds(doc)
    assert found in (["", "_dual"] * 3, ["_dual", ""] * 3)


def test_constants_make_half_adders_and_logic(inverting):
    doc = document((2, 3, "0", 4, 5), (2, "1", 3, 6, 7), ("1", "0", 3, 8, 9), (2, 2, 3, 10, 11))
    adder_cells.choose(doc, "top", inverting)
    assert kinds(doc) == ["_half", "_half_one", "_logic", "_logic"]
    assert doc["modules"]["top"]["cells"]["b1"]["connections"]["C"] == ["1"]


def test_an_adder_whose_carry_nobody_reads_is_logic(inverting):
    doc = document((2, 3, 4, 5, 6))
    doc["modules"]["top"]["ports"]["o"]["bits"] = [6]
    adder_cells.choose(doc, "top", inverting)
    assert kinds(doc) == ["_logic"]


@pytest.mark.parametrize("inverted", [False, True])
def test_every_form_computes_an_adder(inverted):
    """The text for techmap, evaluated: each form of a box for all operands."""
    out = adder_cells.Output
    full = adder_cells.Adder("FA", ("A", "B", "CI"), out("CO", inverted), out("S", inverted))
    half = adder_cells.Adder("HA", ("A", "B"), out("CO", inverted), out("S", inverted))
    _, text = adder_cells.forms(adder_cells.AdderCells(full, half))
    checked = 0
    for form, third in (("", (0, 1)), ("_dual", (0, 1)), ("_half", (0,)), ("_half_one", (1,))):
        body = text.partition(f"module {adder_cells.BOX}{form}(")[2].partition("endmodule")[0]
        for a, b, c in product((0, 1), (0, 1), third):
            assert evaluate(body, a, b, c, inverted) == ((a + b + c) >> 1, (a + b + c) & 1)
            checked += 1
    assert checked == 24


def evaluate(body, a, b, c, inverted):
    """(X, Y) of a form's module: one cell instance and two assignments."""
    pins = {"A": a, "B": b, "C": c}
    instance = body[body.index("cell(") :].partition(";")[0]
    given = dict(re.findall(r"\.(\w+)\((~?\w)\)", instance))
    operands = [
        1 - pins[net[1:]] if net.startswith("~") else pins[net]
        for pin, net in given.items()
        if pin not in ("CO", "S")
    ]
    total = sum(operands)
    wires = {"c": (total >> 1) ^ inverted, "s": (total & 1) ^ inverted}
    results = []
    for port in "XY":
        source = body.partition(f"assign {port} = ")[2].partition(";")[0]
        results.append(1 - wires[source[1:]] if source.startswith("~") else wires[source])
    return tuple(results)
