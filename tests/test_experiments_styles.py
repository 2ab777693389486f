"""The table of what styles cost."""

import pytest

from macsmith.experiments.styles import price
from macsmith.hw.multiplier import MULTIPLIERS
from macsmith.hw.synth import synthesize
from macsmith.sim.spec import MacSpec


def test_every_style_that_serves_a_format_has_a_row():
    table = price(["decoder", "multiplier"], ["int5", "dint3"], "int4", pdk="none", workers=1)
    found = {(row.unit, row.style, row.weights) for row in table.rows}
    for name in ("int5", "dint3"):
        for style in MULTIPLIERS.names(MacSpec(name, "int4")):
            assert ("multiplier", style, name) in found
    assert ("multiplier", "nibble", "dint3") not in found  # its levels fit one nibble
    assert all(row.area_nand2 > 0 for row in table.rows if row.unit == "multiplier")
    lines = table.lines()
    assert "| multiplier style | int5 | dint3 | structure |" in lines
    nibble = next(line for line in lines if line.startswith("| `nibble` |"))
    assert nibble.split("|")[3].strip() == "-"
    assert table.as_dict()["library"] is None


def test_the_best_of_the_ways_to_make_adders_is_kept():
    from macsmith.hw.mac import Mac

    spec = MacSpec("int3", "int4", 10)
    table = price(["mac"], ["int3"], "int4", 10, styles=["fused-dadda"], pdk="osu018", workers=1)
    (row,) = table.rows
    each = {
        kind: synthesize(Mac(spec, "fused-dadda"), "osu018", clock_ps=10_000, adders=kind)
        for kind in ("gates", "cells", "ripple")
    }
    assert row.area_um2 == min(made.area_um2 for made in each.values() if made.met)
    assert row.area_um2 == each[row.adders].area_um2
    assert (row.met, row.latency) == (True, 1)


def test_no_such_style():
    with pytest.raises(ValueError, match=r"^no format of int4 has a mac of style 'fused-no'$"):
        price(["mac"], ["int4"], styles=["fused-booth4", "fused-no"], pdk="none")


def test_options_of_units_and_units_without_weights():
    table = price(
        ["shared", "float_mac"], ["int3", "dint3"], "int4", 10, pdk="none", workers=1,
        styles=["plain"], options={"outputs": 2, "fmt": "bf16"},
    )  # fmt: skip
    assert [(row.unit, row.weights) for row in table.rows] == [
        ("shared", "int3"), ("shared", "dint3"), ("float_mac", "any weights")]  # fmt: skip
    lines = table.lines()
    head = "shared, generic gates, activations int4, 10 bits wrap, outputs 2: NAND2, ps"
    assert lines[0] == head
    assert "float_mac, generic gates, fmt bf16: NAND2, ps" in lines
    with pytest.raises(ValueError, match=r"^no unit of mac, dot has an option 'rows'$"):
        price(["mac", "dot"], ["int4"], pdk="none", options={"rows": 2})
