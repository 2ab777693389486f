"""`hw.power_entries`: which entries of a cell's internal energy an event counts."""

from dataclasses import replace

import numpy as np

from macsmith.hw.boolean import parse
from macsmith.hw.cell import Cell, Pin, PowerArc
from macsmith.hw.nldm import Table
from macsmith.hw.power_entries import shares


def test_conditions_hold_after_the_event():
    """Y follows A; its entries for A are of B high and of B low. Both inputs rise."""
    high, low = (
        PowerArc("A", parse(when), Table((0,), (0,), ((fj,),)), None)
        for when, fj in (("B", 1.0), ("!B", 2.0))
    )
    pins = [Pin(name, "input", 1, 1, False, None, (), ()) for name in "AB"]
    pins.append(Pin("Y", "output", 0, 0, False, parse("A"), (), (low, high)))
    cell = Cell("BUF", 1, 0, False, False, None, {pin.name: pin for pin in pins})
    ((_, _, _, table, _),) = shares(cell, ("A", "B"), np.array([0b0011]))
    assert table is high.rise


def _entry(related, when, rise, fall):
    rise, fall = (None if fj is None else Table((0,), (0,), ((fj,),)) for fj in (rise, fall))
    return PowerArc(related, parse(when) if when else None, rise, fall)


def _nand(of_a, of_y):
    """Energies of the entries that count in each event, one event a time: code -> fJ."""
    pins = [Pin("A", "input", 1, 1, False, None, (), of_a)]
    pins.append(Pin("B", "input", 1, 1, False, None, (), ()))
    pins.append(Pin("Y", "output", 0, 0, False, parse("!(A B)"), (), of_y))
    cell = Cell("NAND", 1, 0, False, False, None, {pin.name: pin for pin in pins})

    def spent(event):
        found = shares(cell, ("A", "B"), np.array([event]))
        return sum(table.at(0) * weights[0] for *_, table, weights in found)

    return spent


def test_an_entry_without_a_condition_is_the_default_of_an_input():
    """A falls while B is low, which has an entry of its own, and while B is high, which has not."""
    with_own = _nand((_entry("", "!B", 10, 10), _entry("", "", 50, 50)), ())
    assert with_own(0b1000) == 10
    assert with_own(0b1101) == 50
    # A rises and so does B: high after, low before, and Y moved: neither the one nor the other
    assert with_own(0b0011) == 0
    only_rising = _nand((_entry("", "!B", 10, None), _entry("", "", 50, 50)), ())
    assert only_rising(0b0010) == 10
    assert only_rising(0b1000) == 50


def test_an_entry_without_a_condition_is_the_default_of_an_output():
    """Y falls because A rises, B high: the entry of that state alone counts; Y has one of B, too,
    which shares with A's default where both rise."""
    with_own = _nand((), (_entry("A", "B", 10, None), _entry("A", "", 50, 50)))
    assert with_own(0b1101) == 10  # Y rises
    assert with_own(0b0111) == 50  # Y falls: no condition has a table of that edge
    both = _nand((), (_entry("A", "!B", 7, 7), _entry("A", "", 50, 50), _entry("B", "", 20, 20)))
    assert both(0b0011) == (50 + 20) / 2
    assert both(0b1100) == (7 + 20) / 2


def test_entries_of_one_edge_each_are_not_halved():
    apart = _nand((), (_entry("A", "", 10, None), _entry("A", "", None, 30)))
    assert apart(0b1101) == 10
    assert apart(0b0111) == 30


def test_rails_are_summed_and_rivals_of_each_share():
    """Y moves by A and B together: each rail's entries of A and B are halved, the rails are not."""
    rails = _nand(
        (),
        tuple(
            replace(_entry(pin, "", fj, fj), rail=rail)
            for rail, of_pins in (("VDD", (10, 30)), ("VNW", (1, 5)))
            for pin, fj in zip("AB", of_pins, strict=True)
        ),
    )
    assert rails(0b0011) == (10 + 30) / 2 + (1 + 5) / 2
    assert rails(0b1101) == 10 + 1


def test_a_rail_s_default_is_no_matter_of_the_other_s():
    own = (replace(_entry("", "!B", 10, 10), rail="VDD"), replace(_entry("", "", 3, 3), rail="VNW"))
    rails = _nand(own, ())
    assert rails(0b1000) == 10 + 3
    assert rails(0b1101) == 3


def test_an_output_s_own_entry_is_of_the_inputs_that_moved():
    """Half of it where both did, at the slew of each; the sum is one entry."""
    own = _nand((), (_entry("", "", 10, 30),))
    assert own(0b1101) == 10
    assert own(0b0011) == 30
    beside = _nand((), (_entry("", "", 10, 30), _entry("A", "", 1, 1)))
    assert beside(0b1101) == 11
