"""`hw.pdk`: where libraries are found."""

import pytest

from macsmith.experiments import libraries
from macsmith.hw import pdk


@pytest.fixture
def empty(tmp_path, monkeypatch):
    for variable in ("MACSMITH_PDK_PATH", "FLOW_HOME", "PDK_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pdk, "QFLOW", tmp_path / "qflow")
    return tmp_path


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("library (x) {}")


def test_nothing_found(empty):
    assert pdk.available() == ()
    with pytest.raises(
        ValueError, match=r"^no PDK 'asap7'; searched \$MACSMITH_PDK_PATH \(not set"
    ):
        pdk.find("asap7")


def test_own_path(empty, monkeypatch):
    make(empty, "one/asap7/a.lib.gz", "one/asap7/b.lib", "one/asap7/LICENSE", "two/mine/c.lib")
    monkeypatch.setenv("MACSMITH_PDK_PATH", f"{empty / 'one'}:{empty / 'two'}:{empty / 'none'}")
    assert [p.name for p in pdk.find("asap7").files] == ["a.lib.gz", "b.lib"]
    assert [p.name for p in pdk.available()] == ["asap7", "mine"]
    with pytest.raises(ValueError, match=r"^no PDK 'asap8'; did you mean 'asap7'\? \(available: "):
        pdk.find("asap8")


def test_own_folder_of_several_corners(empty, monkeypatch):
    make(
        empty, "x/x_comb_tt.lib", "x/x_seq_tt.lib", "x/x_comb_ff.lib", "x/x_seq_ff.lib", "x/x_tt.v"
    )
    monkeypatch.setenv("MACSMITH_PDK_PATH", str(empty))
    found = pdk.find("x")
    assert [p.name for p in found.files] == ["x_comb_tt.lib", "x_seq_tt.lib"]
    assert [p.name for p in found.others] == ["x_comb_ff.lib", "x_seq_ff.lib"]
    assert [p.name for p in pdk.find("x/ff").files] == ["x_seq_ff.lib", "x_comb_ff.lib"]


def test_openroad_platforms_keep_the_typical_corner(empty, monkeypatch):
    lib = "platforms/asap7/lib/NLDM/asap7sc7p5t"
    make(
        empty,
        f"{lib}_AO_RVT_TT_nldm.lib.gz",
        f"{lib}_SEQ_RVT_TT_nldm.lib",
        f"{lib}_AO_LVT_TT_nldm.lib.gz",
        f"{lib}_AO_RVT_FF_nldm.lib.gz",
        "platforms/asap7/lib/NLDM/fakeram7_64x21.lib",
        "platforms/nangate45/lib/NangateOpenCellLibrary_typical.lib",
        "platforms/nangate45/lib/NangateOpenCellLibrary_fast.lib",
    )
    monkeypatch.setenv("FLOW_HOME", str(empty))
    names = [path.name for path in pdk.find("asap7").files]
    assert names == ["asap7sc7p5t_SEQ_RVT_TT_nldm.lib", "asap7sc7p5t_AO_RVT_TT_nldm.lib.gz"]
    assert [path.name for path in pdk.find("nangate45").files] == [
        "NangateOpenCellLibrary_typical.lib"
    ]


def test_open_pdks_give_one_file(empty, monkeypatch):
    lib = "sky130A/libs.ref/sky130_fd_sc_hd/lib/sky130_fd_sc_hd_"
    make(empty, *(f"{lib}_{c}.lib" for c in ("ff_n40C_1v95", "tt_025C_1v80", "tt_100C_1v80")))
    monkeypatch.setenv("PDK_ROOT", str(empty))
    found = pdk.find("sky130_fd_sc_hd")
    assert [path.name for path in found.files] == ["sky130_fd_sc_hd__tt_025C_1v80.lib"]
    assert "sky130_fd_sc_hd__lpflow_*" in found.dont_use


def test_a_variant_is_named_by_a_part_of_its_files_names(empty, monkeypatch):
    lib = "platforms/gf180/lib/gf180mcu_fd_sc_mcu"
    make(empty, *(f"{lib}{t}t5v0__tt_025C_{v}.lib" for t in (7, 9) for v in ("1v80", "5v00")))
    monkeypatch.setenv("FLOW_HOME", str(empty))
    found = pdk.find("gf180")
    assert [path.name for path in found.files] == ["gf180mcu_fd_sc_mcu7t5v0__tt_025C_5v00.lib"]
    assert len(found.others) == 3
    other = pdk.find("gf180/mcu9t")
    assert other.name == "gf180/mcu9t"
    assert [path.name for path in other.files] == ["gf180mcu_fd_sc_mcu9t5v0__tt_025C_5v00.lib"]
    with pytest.raises(ValueError, match=r"^PDK 'gf180' has no files named like '11t', but gf180m"):
        pdk.find("gf180/11t")
    (listed,) = libraries.examine()
    assert listed.file_names == ("gf180mcu_fd_sc_mcu7t5v0__tt_025C_5v00.lib",)
    assert listed.others == 3


def test_debian_and_explicit_files(empty):
    make(empty, "qflow/osu018/osu018_stdcells.lib")
    assert [path.name for path in pdk.find("osu018").files] == ["osu018_stdcells.lib"]
    assert pdk.from_files([empty / "x.lib.gz"]).name == "x"
    with pytest.raises(ValueError, match=r"^wanted at least one Liberty file, got none"):
        pdk.from_files([])
