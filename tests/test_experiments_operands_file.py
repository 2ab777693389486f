"""Operands from a file: what they are, and what is said of files that have none."""

import re

import numpy as np
import pytest

from macsmith.experiments import operands
from macsmith.experiments.measure import measure
from macsmith.sim.spec import MacSpec

INT4 = MacSpec("int4", "int8", 20)
DINT4Z = MacSpec("dint4z", "int8", 20)


def test_a_table_and_an_archive_are_the_same(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("w, a, clear\n1,255,0\n15, 0x80,0\n\n3,7,1\n")
    archive = tmp_path / "t.npz"
    np.savez(archive, w=[1, 15, 3], a=[255, 128, 7], clear=[0, 0, 1])
    for path in (table, archive):
        found = operands.get(str(path), INT4)
        assert found.w.tolist() == [[1, 15, 3]]
        assert found.a.tolist() == [[255, 128, 7]]
        assert found.clear.tolist() == [[True, False, True]]  # the first always begins a sum
        # -1; -1 + -1 x -128; 3 x 7
        assert found.expected(INT4).tolist() == [[-1, 127, 21]]
        assert found.source == f"{path.name}, 3 products"


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    table = tmp_path / "t.csv"
    table.write_bytes("\ufeffw,a\r\n1,3\r\n".encode())
    assert operands.get(str(table), INT4).a.tolist() == [[3]]


def test_a_unit_is_measured_on_them(tmp_path):
    rng = np.random.default_rng(0)
    archive = tmp_path / "codes.npz"
    z = np.repeat(rng.integers(0, 16, (8, 10)), 8, axis=1)
    clear = np.tile(np.arange(80) % 8 == 0, (8, 1))
    np.savez(
        archive, w=rng.integers(0, 16, (8, 80)), a=rng.integers(0, 256, (8, 80)), z=z, clear=clear
    )
    found = measure("mac", DINT4Z, pdk="osu018", operands=str(archive), glitches=True)
    assert found.netlist_equal
    assert found.compared == 640
    assert found.energy.glitch_pj > 0
    assert "codes.npz, 640 products" in "\n".join(found.lines())
    dot = MacSpec("dint4z", "int8", 20, lanes=4)
    assert measure("dot", dot, pdk="osu018", operands=str(archive)).netlist_equal
    ragged = clear.copy()
    ragged[1, 1] = True
    np.savez(archive, w=z, a=z, z=z, clear=ragged)
    with pytest.raises(ValueError, match=r"^the sums of all streams must begin in the same cycles"):
        measure("dot", dot, pdk="osu018", operands=str(archive))


@pytest.mark.parametrize(
    ("spec", "arrays", "why"),
    [
        (INT4, {"w": [1]}, "wanted w, a (and clear, if sums begin), got w"),
        (INT4, {"w": [1], "a": [1], "b": [1]}, "wanted w, a (and clear, if sums begin), got"),
        (DINT4Z, {"w": [1], "a": [1]}, "wanted w, a, z (and clear, if sums begin), got w, a"),
        (INT4, {"w": [1], "a": [1, 2]}, "wanted arrays of one shape, [products] or [streams, "),
        (INT4, {"w": [], "a": []}, "wanted arrays of one shape"),
        (INT4, {"w": [16], "a": [1]}, "w has 16, which is no code of int4"),
        (INT4, {"w": [1], "a": [-1]}, "a has -1, which is no code of int8"),
        (INT4, {"w": [1.5], "a": [1]}, "w must be integers, not float64"),
        (INT4, {"w": [1], "a": [1], "clear": [2]}, "clear must be 0 or 1"),
        (DINT4Z, {"w": [1, 1], "a": [1, 1], "z": [1, 2]}, "a zero point changes within a sum"),
    ],
)
def test_bad_arrays_are_said(tmp_path, spec, arrays, why):
    path = tmp_path / "bad.npz"
    np.savez(path, **{name: np.array(x, None if x else int) for name, x in arrays.items()})
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: ") as error:
        operands.get(str(path), spec)
    assert why in str(error.value)
    assert "\n" not in str(error.value)


NONE = "no table of integer codes: "


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("gone.csv", None, "cannot read operands: No such file or directory"),
        ("codes.txt", "w,a\n1,1\n", "operands are read from .npz or .csv files"),
        ("empty.csv", "", f"{NONE}wanted a line of names and lines of codes, got 0 line(s)"),
        ("head.csv", "w,a\n\n", f"{NONE}wanted a line of names and lines of codes, got 1 line(s)"),
        ("words.csv", "w,a\n1,one\n", f"{NONE}line 2: a: wanted an integer, got 'one'"),
        ("blank.csv", "w,a\n1,1\n\n,\n", f"{NONE}line 4: w: wanted an integer, got ''"),
        ("short.csv", "w,a\n1,1\n1\n", f"{NONE}line 3: wanted w, a, got 1 value(s)"),
        ("long.csv", "w,a\n1,1,1\n", f"{NONE}line 2: wanted w, a, got 3 value(s)"),
        ("twice.csv", "w,a, w\n1,1,1\n", f"{NONE}wanted columns of different names, got w, a, w"),
        ("not.npz", "w,a\n1,1\n", "no table of integer codes: "),
    ],
)
def test_bad_files_are_said(tmp_path, name, content, why):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {re.escape(why)}"):
        operands.get(str(path), INT4)


def test_a_name_that_is_none():
    with pytest.raises(ValueError, match=r"^operands must be one of layer, uniform, or a \.npz or"):
        operands.get("layers", INT4)
