"""`hw.liberty_build`: what a Liberty file says in more than one way."""

import pytest
from technology import TINY

from macsmith.hw.liberty import load


def changed(tmp_path, *pairs):
    """The tiny library with some of its text replaced."""
    text = TINY
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "changed.lib"
    path.write_text(text)
    return load([path])


@pytest.mark.parametrize("load_first", [False, True])
def test_an_axis_that_falls_is_put_in_order_with_its_values(tmp_path, load_first):
    falling = ('index_1 ("1, 3"); index_2 ("1, 5");', 'index_1 ("3, 1"); index_2 ("1, 5");')
    if load_first:
        falling = ('index_1 ("1, 5"); index_2 ("1, 3");', 'index_1 ("1, 5"); index_2 ("3, 1");')
    lib = changed(tmp_path, falling)
    (arc, *_) = lib.cell("NAND2" if load_first else "INV").pins["Y"].timing
    assert (arc.rise.xs, arc.rise.ys) == ((10, 30), (2, 10))
    # as listed: "1, 2", "5, 6" over (load, slew); "1, 3", "2, 6" over (slew, load)
    assert arc.rise.rows == (((20, 60), (10, 50)) if load_first else ((20, 60), (10, 30)))


CONDITIONS = "operating_conditions ({}) {{ process : 1; voltage : {}; }}"
ONE, OTHER = CONDITIONS.format('"typ"', 1.5), CONDITIONS.format('"fast"', 1.65)


@pytest.mark.parametrize(
    ("said", "volts"),
    [
        ("", None),
        ("nom_voltage : 2.0;", 2.0),
        (ONE, 1.5),
        (f"{ONE} {OTHER}", None),
        (f"{ONE} {OTHER} default_operating_conditions : fast;", 1.65),
        (f"{ONE} nom_voltage : 2.0;", 2.0),
        ("voltage_map (VDD, 1.8); voltage_map (VSS, 0.0);", 1.8),
        ("voltage_map (VDD, 1.8); voltage_map (VPB, 1.8);", 1.8),
        ("voltage_map (VDD, 1.8); voltage_map (VDDIO, 3.3);", None),
        (f"{ONE} voltage_map (VDD, 1.8);", 1.5),
    ],
)
def test_the_supply_voltage(tmp_path, said, volts):
    assert changed(tmp_path, ("nom_voltage : 2.0;", said)).voltage == volts
