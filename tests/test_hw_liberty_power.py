"""`hw.liberty_power`: leakage over states and rails; energies of several rails."""

import numpy as np
import pytest
from test_hw_liberty_build import changed

from macsmith.hw.power_entries import shares

RAILS = """pg_pin (VDD) { pg_type : primary_power; } pg_pin (VNW) { pg_type : nwell; }
  pg_pin (VSS) { pg_type : primary_ground; }"""
NOR2 = "area : 4; cell_leakage_power : 0.004;"
DFFR = "area : 9; cell_leakage_power : 0.01;"


def entry(nw, when="", rail=""):
    when, rail = (
        f'{key} : "{v}";' if v else "" for key, v in (("when", when), ("related_pg_pin", rail))
    )
    return f"leakage_power () {{ value : {nw / 1000}; {when} {rail} }}"  # the file's unit is 1 uW


def leaks(tmp_path, old, cell, *said, density=""):
    """nW of a cell whose leakage is given so."""
    said = old.partition("cell_leakage_power")[0] + " ".join(said)
    return (
        changed(tmp_path, (old, said), ("nom_voltage", f"{density} nom_voltage")).cell(cell).leakage
    )


@pytest.mark.parametrize(
    ("said", "nw"),
    [
        ([entry(4, "A"), entry(2, "!A & B"), entry(8, "!A & !B")], (4 + 4 + 2 + 8) / 4),
        ([entry(4, "A"), entry(2)], 3),
        ([entry(4, "A"), "cell_leakage_power : 0.010;"], 7),
        ([entry(4, "A"), entry(2), "cell_leakage_power : 0.010;"], 3),
        ([entry(4, "A & B")], 4),  # of the other states nothing is known
        ([entry(4, "Y"), entry(8, "!Y")], (4 + 3 * 8) / 4),  # Y is high in one state of four
        ([entry(4, "A"), entry(6, "A & B"), entry(2)], (4 + 5 + 2 + 2) / 4),  # both hold in one
        (["cell_leakage_power : 0.010;"], 10),
        ([entry(4), entry(6)], 5),
        ([], 0),
    ],
)
def test_states_weigh_as_often_as_they_are(tmp_path, said, nw):
    assert leaks(tmp_path, NOR2, "NOR2", *said) == pytest.approx(nw)


def test_rails_are_summed_and_grounds_left_out(tmp_path):
    said = [entry(4, "A", "VDD"), entry(6, "!A", "VDD"), entry(1, "", "VNW"), entry(9, "", "VSS")]
    assert leaks(tmp_path, NOR2, "NOR2", RAILS, *said) == pytest.approx(5 + 1)


@pytest.mark.parametrize(
    ("rail", "header", "counts"),
    [
        ("VSS", "", False),
        ("VGND", "", False),
        ("VPW", "", False),
        ("VDDX", "", True),
        ("BIAS", "", True),
        ("BIAS", "voltage_map (BIAS, 0.0);", False),
        ("VSSX", "voltage_map (VSSX, 1.2);", True),
    ],
)
def test_a_rail_without_pg_type_goes_by_its_voltage_or_name(tmp_path, rail, header, counts):
    said = [entry(4), entry(3, "", rail)]
    got = leaks(tmp_path, NOR2, "NOR2", *said, density=header)
    assert got == pytest.approx((4 + 3) / 2 if counts else 4)  # of one rail: their mean


def test_a_cell_that_says_nothing_leaks_by_its_area(tmp_path):
    density = "default_leakage_power_density : 0.002;"
    assert leaks(tmp_path, NOR2, "NOR2", density=density) == pytest.approx(8)
    default = f"{density} default_cell_leakage_power : 0.5;"
    assert leaks(tmp_path, NOR2, "NOR2", density=default) == pytest.approx(500)


@pytest.mark.parametrize(
    "rails",
    [
        "pg_pin (VDD) { } pg_pin (VSS) { }",
        "pg_pin (VDD) { } pg_pin (VNW) { pg_type : nwell; } pg_pin (GROUND) { }",
        RAILS,
        "",
    ],
)
def test_what_names_no_rail_is_of_the_only_one(tmp_path, rails):
    said = [entry(4, "A", "VDD"), entry(2)]
    assert leaks(tmp_path, NOR2, "NOR2", rails, *said) == pytest.approx(3)


def test_a_condition_may_name_a_supply(tmp_path):
    old = 'pin (Y) { direction : output; function : "!(A + B)";'
    for name in ("VDD", "VSS", "inner"):
        more = " ".join(
            f'internal_power () {{ when : "{when}"; rise_power (scalar) {{ values ("{k}"); }} }}'
            for k, when in ((1, name), (2, f"!{name}"))
        )
        cell = changed(tmp_path, (old, f"{old} {more}")).cell("NOR2")
        found = shares(cell, ("A", "B"), np.array([0b10_00]))  # A falls, and Y rises
        assert any(pin == "Y" and weights.any() for pin, *_, weights in found)


def test_what_a_clear_forces_is_no_state(tmp_path):
    """RN low: Q low alone. Three states of RN and Q, of which one has Q high."""
    said = [entry(4, "Q"), entry(1, "!Q")]
    assert leaks(tmp_path, DFFR, "DFFR", *said) == pytest.approx((4 + 1 + 1) / 3)


def test_more_names_than_can_be_listed_are_averaged(tmp_path):
    wide = " & ".join(f"N{i}" for i in range(40))
    assert leaks(tmp_path, NOR2, "NOR2", entry(4, wide), entry(2, "A"), entry(9)) == pytest.approx(
        3
    )


def test_energies_keep_their_rail(tmp_path):
    old = 'internal_power () { related_pin : "A";\n        rise_power (scalar) { values ("0.6"); }'
    new = old.replace("{ related", "{ related_pg_pin : VNW; related", 1)
    arcs = changed(tmp_path, (old, new)).cell("NAND2").pins["Y"].power
    assert [(arc.related, arc.rail, arc.when) for arc in arcs] == [
        ("A", "VNW", None),
        ("B", "VDD", None),
    ]
