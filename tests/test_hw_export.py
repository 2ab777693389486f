# amaranth: UnusedElaboratable=no
"""Verilog export: one module, exact ports, the same bytes, three tools without a word."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tools import needs

from macsmith.experiments.verify.lint import lint, lint_many
from macsmith.experiments.verify.simulators import SIMULATORS
from macsmith.hw import yosys
from macsmith.hw.array import SystolicArray
from macsmith.hw.decoder import DECODERS, Decoder
from macsmith.hw.export import (
    to_verilog,
    to_verilog_many,
    write_atomically,
    write_files,
    write_verilog,
)
from macsmith.hw.handoff import WAIVERS
from macsmith.hw.mac import Mac
from macsmith.hw.multiplier import MULTIPLIERS, Multiplier
from macsmith.sim.catalog import FORMATS
from macsmith.sim.formats import Format, dint_format
from macsmith.sim.spec import MacSpec

DINT4Z = MacSpec("dint4z", "int8", 24, "saturate", lanes=3)


def test_ports_are_the_signature_with_signs():
    text = to_verilog(Mac(DINT4Z), name="mac")
    head = re.search(r"^module mac\((.*)\);$", text, re.MULTILINE)[1]
    assert head == "clk, rst, en, clear, w, a, z, acc"
    assert "output signed [23:0] acc;" in text
    assert "input [3:0] z;" in text
    assert len(re.findall(r"^module ", text, re.MULTILINE)) == 1
    combinational = to_verilog(Decoder(FORMATS["dint4"]), name="dec")
    assert "module dec(code, level);" in combinational


def test_header_tells_what_it_is():
    first = to_verilog(Mac(DINT4Z), name="mac").splitlines()[0]
    assert first == (
        "// Mac: dint4z x int8, acc_width 24, saturate, lanes 3, style plain, pipeline 0, latency 1"
    )


def test_nothing_of_the_machine_is_in_the_text():
    text = to_verilog(Mac(DINT4Z), name="mac")
    assert not re.search(r"/(work|tmp|home|usr|opt|root)\b|\.py|Yosys|src =", text)


def test_same_bytes_whatever_came_before():
    alone = to_verilog(Mac(DINT4Z), name="mac")
    others = {f"other_{k}": Decoder(fmt) for k, fmt in enumerate(FORMATS.values())}
    assert to_verilog_many({**others, "mac": Mac(DINT4Z)})["mac"] == alone
    code = (
        "from macsmith.hw.export import to_verilog; from macsmith.hw.mac import Mac;"
        "from macsmith.sim.spec import MacSpec;"
        "print(end=to_verilog(Mac(MacSpec('dint4z', 'int8', 24, 'saturate', 3)), name='mac'))"
    )
    fresh = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert fresh.stdout == alone


def test_module_is_named_after_the_stem_or_by_name(tmp_path):
    path = write_verilog(Decoder(FORMATS["dint3"]), tmp_path / "my_dec.v")
    assert "module my_dec(" in path.read_text()
    write_verilog(Decoder(FORMATS["dint3"]), tmp_path / "a-b.v", name="other")
    assert "module other(" in (tmp_path / "a-b.v").read_text()


@pytest.mark.parametrize("stem", ["a-b", "4bit", "x.y", "mac é", ""])
def test_a_stem_that_is_no_identifier(tmp_path, stem):
    with pytest.raises(ValueError, match=r"cannot name a Verilog module: it needs letters, digi"):
        write_verilog(Decoder(FORMATS["dint3"]), tmp_path / f"{stem}.v", name=stem)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["module", "reg", "logic", "signed"])
def test_a_stem_that_is_a_keyword(tmp_path, word):
    with pytest.raises(ValueError, match=f"^'{word}' cannot name a Verilog module: it is a keyw"):
        write_verilog(Decoder(FORMATS["dint3"]), tmp_path / f"{word}.v")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["acc", "w", "clk", "product"])
def test_a_module_that_is_called_like_one_of_its_signals(tmp_path, name):
    with pytest.raises(ValueError, match=f"^'{name}' cannot name this module: one of its signals"):
        write_verilog(Mac(DINT4Z), tmp_path / f"{name}.v")
    assert list(tmp_path.iterdir()) == []
    write_verilog(Mac(DINT4Z), tmp_path / f"{name}.v", name=f"{name}_unit")


def test_no_register_of_an_array_is_wider_than_its_sums():
    text = to_verilog(SystolicArray(MacSpec("dint4", "int8", 24), 2, 3), name="unit")
    found = re.findall(r"reg \[(\d+):0\] \\core\.o_\d_\d ", text)
    assert found == ["23"] * 3


def test_unwritable_output_names_the_path_and_leaves_nothing(tmp_path):
    decoder = Decoder(FORMATS["dint3"])
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: .*/absent/a\.v'$"):
        write_verilog(decoder, tmp_path / "absent" / "a.v")
    (tmp_path / "file").write_text("kept")
    with pytest.raises(NotADirectoryError, match=r"Not a directory: .*/file/a\.v'$"):
        write_verilog(decoder, tmp_path / "file" / "a.v")
    (tmp_path / "folder.v").mkdir()
    with pytest.raises(IsADirectoryError, match=r"Is a directory: .*/folder\.v'$"):
        write_verilog(decoder, tmp_path / "folder.v")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.v"]


def test_a_failed_export_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "dec.v"
    path.write_text("old")
    monkeypatch.setattr(
        "pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
    )
    with pytest.raises(OSError, match=r"full: .*dec\.v"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["dec.v"]


def test_files_of_which_one_cannot_be_written_are_not_begun(tmp_path, monkeypatch):
    write = Path.write_bytes

    def full(path, data):
        if data == b"two":
            write(path, data[:1])
            raise OSError(28, "full")
        return write(path, data)

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match=r"full: .*/2'$"):
        write_files({tmp_path / name: text for name, text in (("1", "one"), ("2", "two"))})
    assert list(tmp_path.iterdir()) == []


def test_links_and_devices_are_written_through(tmp_path):
    (tmp_path / "link.v").symlink_to(tmp_path / "target.v")
    write_atomically(tmp_path / "link.v", "text")
    assert (tmp_path / "link.v").is_symlink()
    assert (tmp_path / "target.v").read_text() == "text"
    os.mkfifo(tmp_path / "pipe.v")
    reader = os.open(tmp_path / "pipe.v", os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(tmp_path / "pipe.v", "text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)


def everything():
    """Every format in every kind of unit, by module name."""
    components = {}
    for name, fmt in FORMATS.items():
        if "shaped" in DECODERS.names(fmt):
            components[f"decoder_{name}_shaped"] = Decoder(fmt, "shaped")
        width = MacSpec(fmt, "int8", 48).product_width + 1
        for overflow, lanes in (("wrap", 1), ("saturate", 3)):
            spec = MacSpec(fmt, "int8", width, overflow, lanes)
            components[f"mac_{name}_{overflow}{lanes}"] = Mac(spec)
    wide = MacSpec(dint_format(6, zero_pointed=True, special=0.125), "fp8_e4m3", 40, "saturate")
    return components | {"mac_wide": Mac(wide), "multiplier_wide": Multiplier(wide)}


@pytest.fixture(scope="module")
def exported():
    return to_verilog_many(everything())


@pytest.mark.parametrize("tool", SIMULATORS)
def test_tools_have_nothing_to_say(exported, tmp_path, tool):
    needs(tool)
    for name, text in exported.items():
        path = tmp_path / f"{name}.v"
        path.write_text(text)
        assert lint(path, tool) == "", name


def test_linters_have_nothing_to_say_of_any_style(tmp_path):
    """Rows of partial products are made of long chains of gates, of which some bits are unused;
    levels of one sign have bits that are constant."""
    needs("verilator")
    of_one_sign = [Format("pos", 2, (1, 2, 3, 9)), Format("neg", 2, (-1, -2, -3, -9))]
    components = {
        f"{style}_{spec.weights.name}": Multiplier(spec, style)
        for weights in ("int8", "dint4", "dint4z", "dint4_sm", "nf4", *of_one_sign)
        for spec in [MacSpec(weights, "int8", 24)]
        for style in MULTIPLIERS.names(spec)
    }
    paths = []
    for name, text in to_verilog_many(components).items():
        paths.append(tmp_path / f"{name}.v")
        paths[-1].write_text(text)
    assert len(paths) > 40
    assert set(lint_many(paths, "verilator").values()) == {""}


def test_lint_bites(tmp_path):
    path = tmp_path / "bad.v"
    path.write_text("module bad(input a, output [1:0] b); assign b = a; assign c = a; endmodule\n")
    for tool in SIMULATORS:
        needs(tool)
        assert lint(path, tool) != ""


def test_waivers_are_few_and_have_reasons():
    assert len(WAIVERS) <= 3
    assert all(len(reason) > 30 for reason in WAIVERS.values())


def test_yosys_reads_it(exported):
    names = ["decoder_dint4_sm_shaped", "mac_fp8_e5m2_wrap1", "mac_dint4z_saturate3"]
    for name in names:
        passes = ["read_verilog in.v", f"hierarchy -check -top {name}", "proc", "check -assert",
                  "tee -o stat.json stat -json"]  # fmt: skip
        assert yosys.run(passes, {"in.v": exported[name]}, ["stat.json"])


@pytest.mark.parametrize("style", ["plain", "fused-booth4", "gated-booth4"])
def test_wires_have_the_names_of_signals(style):
    text = to_verilog(Mac(MacSpec("dint4", "int4", 10), style), name="mac")
    assert "level" in text
    assert "port$" not in text
    clocked = re.findall(r"^  always @\(posedge", text, re.MULTILINE)
    assert 0 < len(clocked) < 10  # registers stay whole, and are not one for each bit
