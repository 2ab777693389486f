"""`hw.liberty` and what it is made of: text, Boolean expressions, tables."""

import codecs
import gzip
import re
import time

import pytest
from technology import TINY, library, tiny

from macsmith.hw.boolean import parse
from macsmith.hw.liberty import load
from macsmith.hw.liberty_text import match_braces
from macsmith.hw.liberty_text import read as read_text
from macsmith.hw.liberty_trim import trim
from macsmith.hw.nldm import Table
from macsmith.hw.recipes import _trimmed


def test_table_interpolates_and_extrapolates():
    table = Table((1.0, 3.0), (2.0, 10.0), ((1.0, 3.0), (2.0, 6.0)))
    assert table.at(1, 2) == 1
    assert table.at(2, 6) == 3  # the mean of all four
    assert table.at(3, 14) == 8  # the last row goes on: 2, 6 at 2, 10
    assert table.at(-1, 2) == 0  # and so does the first column: 1, 2 at 1, 3
    assert Table((0.0,), (2.0, 10.0), ((1.0, 3.0),)).at(99, 4) == 1.5
    with pytest.raises(ValueError, match=r"^a 2 x 1 table has 1 x 1 values"):
        Table((1.0, 2.0), (0.0,), ((1.0,),))


def test_units_and_pins(tmp_path):
    lib = tiny(tmp_path)
    assert lib.voltage == 2.0
    inv = lib.cell("INV")
    assert (inv.pins["A"].rise_cap, inv.pins["A"].fall_cap) == pytest.approx((2.2, 1.8))  # fF
    assert inv.pins["A"].cap == pytest.approx(2.0)
    assert inv.leakage == pytest.approx(3.0)  # nW
    (arc,) = inv.pins["Y"].timing
    assert (arc.related, arc.sense) == ("A", "negative_unate")
    assert arc.rise.at(10, 2) == 10  # ps, of slew in ps and load in fF
    assert arc.rise.at(30, 10) == 60
    (power,) = inv.pins["Y"].power
    assert power.rise.at(20, 6) == pytest.approx(0.4 * 2)  # fJ: 2 fF (1 V)^2 is the unit
    assert inv.combinational
    assert not lib.cell("DFF").combinational


def test_order_of_the_axes_and_unateness_of_the_function(tmp_path):
    nand = tiny(tmp_path).cell("NAND2")
    assert [arc.related for arc in nand.pins["Y"].timing] == ["A", "B"]
    for arc in nand.pins["Y"].timing:
        assert arc.sense == "negative_unate"  # the file leaves it to the function
        assert arc.rise.at(30, 2) == 20  # values are listed with the slew fastest
        assert arc.rise.at(10, 10) == 50
    setup = tiny(tmp_path).cell("DFF").pins["D"].timing[0]
    assert setup.rise.at(30, 10) == 20  # (data slew, clock slew); listed the other way round


def test_ground_rails_are_left_out_and_states_are_averaged(tmp_path):
    nand = tiny(tmp_path).cell("NAND2")
    (entry,) = nand.pins["A"].power
    assert entry.rise.at(10) == pytest.approx(0.02)
    assert nand.leakage == pytest.approx((2 + 3 * 4) / 4)


def test_flip_flops_and_special_cells(tmp_path):
    lib = tiny(tmp_path)
    assert lib.flip_flop.name == "DFF"
    assert lib.flip_flop.ff.next_state == parse("!D")
    assert lib.inverter.name == "INV"  # the smaller one is dont_use
    assert lib.nand2.name == "NAND2"
    assert lib.cell("LATCH").sequential
    assert lib.cell("LATCH").ff is None
    assert lib.without(["IN*"]).unusable("INV")
    with pytest.raises(ValueError, match=r"^library tiny has no cell 'NOR3'"):
        lib.cell("NOR3")


def test_a_cell_in_two_files_is_one(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.lib").write_text(TINY)
    lib = load([tmp_path / "one.lib", tmp_path / "two.lib"])
    assert lib.functions["INV"] == ["!A"]
    assert lib.inverter.name == "INV"
    assert lib.nand2.name == "NAND2"
    first, second = _trimmed(lib)
    assert "cell (INV)" in first
    assert "cell (" not in second


def test_of_a_cell_twice_in_a_file_the_first_counts(tmp_path):
    again = TINY[TINY.index("  cell (INV)") : TINY.index("  cell (NAND2)")].replace("!A", "A")
    (tmp_path / "x.lib").write_text(TINY.replace("  cell (DFF)", f"{again}  cell (DFF)"))
    lib = load([tmp_path / "x.lib"])
    assert lib.functions["INV"] == ["!A"]
    assert lib.functions["NOR2"] == ["!(A + B)"]


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for folder, volts in (("one", "2.0"), ("two", "2.0"), ("three", "1.8")):
        (tmp_path / folder).mkdir()
        text = TINY.replace("nom_voltage : 2.0", f"nom_voltage : {volts}")
        (tmp_path / folder / "x.lib").write_text(f"{text}/* {folder} */")
    files = {folder: tmp_path / folder / "x.lib" for folder in ("one", "two", "three")}
    lib = load([files["one"], files["two"]])
    assert list(lib.sha256) == ["one/x.lib", "two/x.lib"]
    assert len(set(lib.sha256.values())) == 2
    assert list(load([files["one"]]).sha256) == ["x.lib"]
    with pytest.raises(
        ValueError, match=r"differ in voltage: \{'one/x.lib': 2.0, 'three/x.lib': 1"
    ):
        load([files["one"], files["three"]])


def test_gzip_is_the_same_library(tmp_path):
    (tmp_path / "tiny.lib.gz").write_bytes(gzip.compress(TINY.encode()))
    packed, plain = load([tmp_path / "tiny.lib.gz"]), tiny(tmp_path)
    assert packed.name == plain.name == "tiny"
    assert list(packed.sha256.values()) == list(plain.sha256.values())
    assert packed.cell("INV") == plain.cell("INV")


def test_a_byte_order_mark_is_no_part_of_it(tmp_path):
    marked = tmp_path / "marked.lib"
    marked.write_bytes(codecs.BOM_UTF8 + TINY.encode())
    assert load([marked]).cell("INV") == tiny(tmp_path).cell("INV")


def test_a_changed_file_is_read_again(tmp_path):
    assert load([tiny(tmp_path).texts[0].path]) is load([tmp_path / "tiny.lib"])
    (tmp_path / "tiny.lib").write_text(TINY.replace("area : 2;", "area : 22;"))
    assert load([tmp_path / "tiny.lib"]).cell("INV").area == 22


def test_files_that_are_no_library(tmp_path):
    path = tmp_path / "x.lib"
    with pytest.raises(ValueError, match=r"x\.lib: cannot read the Liberty file: No such file"):
        load([path])
    path.write_text("module top; endmodule")
    with pytest.raises(ValueError, match=r"x\.lib: not a Liberty file: wanted 'library .*'module"):
        load([path])
    for fraction in (0.3, 0.6, 0.95):
        path.write_text(TINY[: int(len(TINY) * fraction)])
        with pytest.raises(ValueError, match=r"x\.lib: the Liberty file is cut off"):
            load([path])
    packed = gzip.compress(TINY.encode())
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match=r"x\.lib: the Liberty file is cut off"):
        load([path])
    path.write_text(TINY.replace('"1, 3", "2, 6"', '"1, 3", "2"'))
    with pytest.raises(ValueError, match=r"x\.lib: cell INV: pin Y: a 2 x 2 table has 3 values"):
        load([path]).cell("INV")
    with pytest.raises(ValueError, match=r"^wanted at least one Liberty file, got none"):
        load([])


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("area : 2;", "area : nan;", "cell INV: area: wanted a finite number, got 'nan'"),
        ("area : 2;", "area : two;", "cell INV: area: wanted a finite number, got 'two'"),
        ("_power : 0.003", "_power : inf", "cell INV: cell_leakage_power: wanted a finite number"),
        ("ce : 1.1", "ce : nan", "cell INV: pin A: rise_capacitance: wanted a finite number, got"),
        ('"1, 3", "2, 6"', '"1, -inf", "2, 6"', "cell INV: pin Y: cell_rise: wanted a finite nu"),
        ('"1, 3", "2, 6"', '"1, abc", "2, 6"', "INV: pin Y: cell_rise: wanted a finite number, "),
        ('index_2 ("1, 5")', 'index_2 ("1, 1e999")', "cell_rise index_2: wanted a finite number"),
        ("nom_voltage : 2.0", "nom_voltage : nan", "nom_voltage: wanted a finite number, got 'n"),
        ("_unit (2, ff)", "_unit (x, ff)", "capacitive_load_unit: wanted a finite number, got 'x'"),
    ],
)
def test_numbers_that_are_none(tmp_path, old, new, why):
    path = tmp_path / "x.lib"
    assert old in TINY
    path.write_text(TINY.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: ") as error:
        load([path]).cell("INV")
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_a_library_without_flip_flop(tmp_path):
    path = tmp_path / "x.lib"
    path.write_text(TINY.replace("ff (", "nothing ("))
    with pytest.raises(ValueError, match=r"x\.lib: wanted a library with a D flip-flop, got 7 "):
        load([path]).require_flip_flop()


def test_trimming_drops_energies_and_nothing_else(tmp_path):
    tiny(tmp_path)
    text = read_text(tmp_path / "tiny.lib")
    short = trim(text, frozenset({"LATCH"}))
    assert "internal_power" not in short
    assert "leakage_power (" not in short
    assert "LATCH" not in short
    opens, closes = match_braces(short)
    assert len(opens) == len(closes) == short.count("{")
    (tmp_path / "short.lib").write_text(short)
    lib, full = load([tmp_path / "short.lib"]), load([tmp_path / "tiny.lib"])
    assert [name for name in full.names if name != "LATCH"] == lib.names
    for name in lib.names:
        assert lib.cell(name).area == full.cell(name).area
        for pin in lib.cell(name).pins:
            assert lib.cell(name).pins[pin].timing == full.cell(name).pins[pin].timing


@pytest.mark.parametrize(
    ("name", "cells", "flip_flop", "nand2"),
    [
        ("osu018", 32, "DFFPOSX1", "NAND2X1"),
        ("sky130hd", 428, "sky130_fd_sc_hd__dfxtp_1", "sky130_fd_sc_hd__nand2_1"),
        ("asap7", 202, "DFFHQNx1_ASAP7_75t_R", "NAND2xp33_ASAP7_75t_R"),
    ],
)
def test_real_libraries(name, cells, flip_flop, nand2):
    lib = library(name)
    assert len(lib.names) == cells
    assert lib.flip_flop.name == flip_flop
    assert lib.nand2.name == nand2
    assert lib.has_delays
    every = lib.names if name != "asap7" else lib.names[::9]  # all of ASAP7 take 10 s
    for cell in every:
        assert lib.cell(cell).area >= 0
    inverter = lib.inverter
    assert inverter.leakage > 0
    assert inverter.pins[inverter.inputs[0]].cap > 0


def test_asap7_is_read_in_seconds():
    start = time.perf_counter()
    lib = library("asap7")
    assert lib.voltage == 0.7
    assert lib.cell("FAx1_ASAP7_75t_R").outputs == ("CON", "SN")
    assert time.perf_counter() - start < 10  # 1 s on an idle machine


def test_asap7_energy_is_that_of_the_supply_rail():
    pin = library("asap7").cell("DFFHQNx1_ASAP7_75t_R").pins["CLK"]
    assert len(pin.power) == 4  # the file has eight: VDD and VSS
    quiet = next(arc for arc in pin.power if arc.when == parse("D * !QN"))
    assert quiet.rise.at(40) + quiet.fall.at(40) == pytest.approx(0.23767 + 0.345094)
