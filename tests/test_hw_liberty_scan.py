"""`hw.liberty_scan`: which cells synthesis may use, and what their functions are."""

import pytest
from technology import TINY
from test_hw_liberty_build import changed

from macsmith.hw.liberty import load
from macsmith.hw.recipes import _trimmed

NOR2 = "area : 4; cell_leakage_power : 0.004;"


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("is_level_shifter : true;", True),
        ('is_isolation_cell : "true";', True),
        ("pad_cell : TRUE;", True),
        ("always_on : true;", True),
        ("switch_cell_type : coarse_grain;", True),
        ('retention_cell : "RET";', True),
        ("dont_use : true;", True),
        ("is_pad : true;", True),
        ("clock_gating_integrated_cell : latch_posedge;", True),
        ("is_level_shifter : false; always_on\t: false; pad_cell : false;", False),
        ("is_level_shifter : false; always_on : false; always_on : true;", True),
        ("my_always_on : true; pad_cell_like : true;", False),
    ],
)
def test_cells_that_are_no_logic(tmp_path, said, refused):
    lib = changed(tmp_path, (NOR2, NOR2 + said))
    assert lib.unusable("NOR2") is refused
    assert ("NOR2" in lib.functions) is not refused
    (text,) = _trimmed(lib)
    assert ("cell (NOR2)" in text) is not refused


def test_a_pin_s_own_supply_is_seen_too(tmp_path):
    old = 'pin (Y) { direction : output; function : "!(A + B)";'
    assert changed(tmp_path, (old, f'{old} always_on : "true";')).unusable("NOR2")


@pytest.mark.parametrize("function", ["!(A + B", "A $ B", "(" * 300 + "A", "!" * 300 + "A"])
def test_a_function_that_makes_no_sense_is_of_a_file_and_a_cell(tmp_path, function):
    lib = changed(tmp_path, ("!(A + B)", function))
    for read in (lambda: lib.cell("NOR2"), lambda: _trimmed(lib)):
        with pytest.raises(ValueError, match=r"changed\.lib: cell NOR2: .*Boolean expression .*: "):
            read()


def test_a_short_one_as_well_where_an_inverter_is_looked_for(tmp_path):
    lib = changed(tmp_path, ('"!(A + B)"', '"A +"'))
    with pytest.raises(ValueError, match=r"^\S*changed\.lib: cell NOR2: Boolean expression 'A \+'"):
        _ = lib.inverter


def test_files_that_differ_in_a_cell_are_refused(tmp_path):
    one, two = tmp_path / "one.lib", tmp_path / "two.lib"
    one.write_text(TINY)
    two.write_text(TINY.replace("area : 4;", "area : 4.5;"))
    with pytest.raises(ValueError, match=r"^cell NOR2 is not the same in \S*one.lib and in \S*two"):
        load([one, two])
    two.write_text(TINY.replace("area : 4;", "area  :\t4;"))
    assert load([one, two]).cell("NOR2").area == 4
