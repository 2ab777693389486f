"""`hw.corners`: from the names of many Liberty files those that are one library."""

from itertools import product
from pathlib import Path

import pytest

from macsmith.hw.corners import Corner, choose, several

GF180 = [
    f"gf180mcu_fd_sc_mcu{tracks}t5v0__{corner}_{volts}"
    for tracks, corner, volts in product(
        (9, 7), ("ff_n40C", "ss_125C", "tt_025C"), ("1v98", "3v30", "5v00", "1v80")
    )
]
ASAP7 = [
    f"asap7sc7p5t_{kind}_{vt}_{corner}_{tables}_211120"
    for kind, vt, corner, tables in product(
        ("AO", "SEQ"), ("RVT", "LVT"), ("TT", "FF"), ("nldm", "ccs")
    )
]
IHP = [
    f"sg13g2_stdcell_{corner}"
    for corner in ("fast_1p32V_m40C", "slow_1p08V_125C", "typ_1p20V_125C", "typ_1p20V_25C",
                   "typ_1p50V_25C")
] + ["sg13g2_io_typ_1p2V_3p3V_25C"]  # fmt: skip
HS = [
    f"sky130_fd_sc_hs__{corner}"
    for corner in ("tt_025C_1v20", "tt_025C_1v35", "tt_025C_1v80", "tt_100C_1v80", "ff_025C_1v20")
]
HVL = [f"sky130_fd_sc_hvl__tt_025C_{volts}" for volts in ("2v64_lv1v80", "3v30", "3v30_lv1v80")]


@pytest.mark.parametrize(
    ("names", "variant", "wanted"),
    [
        (GF180, "", ["gf180mcu_fd_sc_mcu7t5v0__tt_025C_5v00"]),
        (GF180, "9t", ["gf180mcu_fd_sc_mcu9t5v0__tt_025C_5v00"]),
        (GF180, "mcu9t5v0__ff", ["gf180mcu_fd_sc_mcu9t5v0__ff_n40C_5v00"]),
        (GF180, "1v80", ["gf180mcu_fd_sc_mcu7t5v0__tt_025C_1v80"]),
        (GF180, "11t", []),
        (GF180, "25C", ["gf180mcu_fd_sc_mcu7t5v0__tt_025C_5v00"]),
        (GF180, "1v8", ["gf180mcu_fd_sc_mcu7t5v0__tt_025C_1v80"]),
        (["NangateOpenCellLibrary_typical", "NangateOpenCellLibrary_fast"], "typ",
         ["NangateOpenCellLibrary_typical"]),
        (["MyCellLibrary_typical", "other"], "library", ["MyCellLibrary_typical"]),
        (ASAP7, "", [f"asap7sc7p5t_{k}_RVT_TT_nldm_211120" for k in ("AO", "SEQ")]),
        (ASAP7, "lvt", [f"asap7sc7p5t_{k}_LVT_TT_nldm_211120" for k in ("AO", "SEQ")]),
        (IHP, "", ["sg13g2_stdcell_typ_1p20V_25C"]),
        (IHP, "1p50V", ["sg13g2_stdcell_typ_1p50V_25C"]),
        (HS, "", ["sky130_fd_sc_hs__tt_025C_1v80"]),
        (HVL, "", ["sky130_fd_sc_hvl__tt_025C_3v30"]),
        (["sky130_fd_sc_hd__tt_025C_1v80", "sky130_fd_sc_hs__tt_025C_1v80"], "",
         ["sky130_fd_sc_hd__tt_025C_1v80"]),
        (["one", "two", "fakeram7"], "", ["one", "two"]),
        ([], "", []),
    ],
)  # fmt: skip
def test_what_belongs_together(names, variant, wanted):
    for order in (names, names[::-1]):
        found = choose([Path("lib") / f"{name}.lib.gz" for name in order], variant)
        assert [path.name.partition(".")[0] for path in found] == wanted


def test_a_file_and_its_compressed_copy_are_one():
    assert choose([Path("a_tt.lib"), Path("a_tt.lib.gz")]) == [Path("a_tt.lib")]


def test_tables_of_one_kind_are_taken():
    files = [Path(f"lib/{kind}/x_RVT_TT_{kind.lower()}.lib") for kind in ("CCS", "NLDM")]
    assert choose(files) == files[1:]


def test_what_a_name_says():
    corner = Corner.of(Path("lib/gf180mcu_fd_sc_mcu7t5v0__ss_n40C_4v50.lib.gz"))
    assert corner == Corner("lib", "gf180mcu_fd_sc_mcu7t5v0", 7.0, 5.0, "ss", -40, (4.5,), "", "")
    corner = Corner.of(Path("asap7sc7p5t_AO_SLVT_TT_nldm_211120.lib.gz"))
    assert corner == Corner(".", "asap7sc7p5t", 7.5, 0.0, "tt", None, (), "nldm", "slvt")


@pytest.mark.parametrize(
    ("variant", "flavour"),
    [("LVT", "LVT"), ("slvt", "SLVT"), ("_LVT_TT", "LVT"), ("SL", "SLVT"), ("SRAM", "SRAM"),
     ("", "RVT"), ("TT", "RVT"), ("VT", None)],
)  # fmt: skip
@pytest.mark.parametrize("usual", [True, False])
def test_thresholds_are_not_mixed(variant, flavour, usual):
    """Without the usual one as well; a variant is of whole words, or else begins one."""
    kinds, tables = ("AO", "SEQ"), "TT_nldm_211120"
    flavours = ("SLVT", "LVT", "SRAM", *(["RVT"] * usual))
    files = [Path(f"asap7sc7p5t_{k}_{f}_{tables}.lib") for k in kinds for f in flavours]
    if flavour == "RVT" and not usual:
        flavour = "LVT"
    wanted = [f"asap7sc7p5t_{kind}_{flavour}_{tables}.lib" for kind in kinds if flavour]
    assert [path.name for path in choose(files, variant)] == wanted


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a_tt", "a_ff"], True),
        (["mine_comb", "mine_ff", "mine_latch"], False),
        (["a_tt_025C", "a_tt_000C"], True),
        (["a_AO_RVT_TT", "a_SEQ_RVT_TT", "more"], False),
        (["a_AO_RVT_TT", "a_AO_LVT_TT"], True),
        (["x_7t5v0__tt", "x_9t5v0__tt"], True),
        (["one", "two"], False),
    ],
)
def test_whether_names_tell_corners_apart(names, told):
    assert several([Path(f"lib/{name}.lib") for name in names]) == told
