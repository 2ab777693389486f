"""`hw.netlist`: from Yosys's JSON, order, Verilog."""

import json
import re
from dataclasses import replace

import pytest
from technology import netlist, tiny

from macsmith.hw import yosys
from macsmith.hw.netlist import CONST0, CONST1, Port, from_yosys, to_verilog

DOCUMENT = {
    "modules": {
        "top": {
            "attributes": {"top": "1"},
            "ports": {
                "a": {"direction": "input", "bits": [2, 3]},
                "y": {"direction": "output", "bits": [4, "1", "x", 4], "signed": 1},
            },
            "cells": {
                "$abc$7$g2": {"type": "INV", "connections": {"A": [5], "Y": [4]}},
                "$abc$7$g1": {"type": "NAND2", "connections": {"A": [2], "B": [3], "Y": [5]}},
            },
            "netnames": {
                "a": {"bits": [2, 3], "hide_name": 0},
                "inner.name": {"bits": [5], "hide_name": 0},
                "n": {"bits": [5], "hide_name": 0},
                "$abc": {"bits": [4], "hide_name": 1},
                "y": {"bits": [4, "1", "x", 4], "hide_name": 0},
            },
        }
    }
}


def test_from_yosys(tmp_path):
    found = from_yosys(DOCUMENT, "top")
    assert [(i.name, i.type) for i in found.instances] == [("u0", "INV"), ("u1", "NAND2")]
    assert found.cell_counts == {"INV": 1, "NAND2": 1}
    y = found.outputs["y"]
    assert y.signed
    assert y.bits[1:3] == (CONST1, CONST0)
    assert y.bits[0] == y.bits[3]
    assert sorted(found.net_names) == ["0", "1", "a[0]", "a[1]", "n", "y[0]"]
    assert found.combinational_order(tiny(tmp_path)) == [1, 0]


def test_verilog_has_every_cell_once_and_no_signed():
    text = to_verilog(from_yosys(DOCUMENT, "top"))
    assert "signed" not in text
    assert "output [3:0] y;" in text
    assert "assign y[1] = 1'b1;" in text
    assert "assign y[2] = 1'b0;" in text
    assert "assign y[3] = y[0];" in text
    assert len(re.findall(r"INV u0 \(\.A\(n\d+\), \.Y\(y\[0\]\)\);", text)) == 1
    assert len(re.findall(r"NAND2 u1 \(\.A\(a\[0\]\), \.B\(a\[1\]\), \.Y\(n\d+\)\);", text)) == 1


def test_an_input_wired_to_an_output_drives_it():
    """Also where the output is the first port."""
    chain = netlist("a", "z", "INV A=a Y=z")
    wired = Port("output", (CONST1, *chain.ports["a"].bits))
    text = to_verilog(replace(chain, ports={"y": wired, **chain.ports}))
    assert "INV u0 (.A(a), .Y(z));" in text
    assert "assign y[0] = 1'b1;" in text
    assert "assign y[1] = a;" in text


def test_a_loop_is_refused(tmp_path):
    loop = netlist("a", "y", "NAND2 A=a B=y Y=n", "INV A=n Y=y")
    with pytest.raises(ValueError, match=r"^hand: combinational loop through net "):
        loop.combinational_order(tiny(tmp_path))
    latched = netlist("a clk", "y", "NAND2 A=a B=y Y=n", "DFF CK=clk D=n QN=y")
    assert latched.combinational_order(tiny(tmp_path)) == [0]


def test_names_that_verilog_takes_only_escaped():
    odd = netlist("input a[0]", "reg", "wire.x A[0]=input B=a[0] reg=reg")
    text = to_verilog(replace(odd, name="module"))
    assert "module \\module  (\\input , \\a[0] , \\reg );" in text
    assert "  input \\input ;" in text
    assert "  \\wire.x  u0 (.\\A[0] (\\input ), .B(\\a[0] ), .\\reg (\\reg ));" in text
    wide = {"output": Port("output", (CONST1, CONST0))}
    assert "assign \\output [0] = 1'b1;" in to_verilog(replace(odd, ports=wide, instances=()))


def test_yosys_reads_what_is_escaped():
    odd = netlist("input a[0]", "reg", "wire.x A[0]=input B=a[0] reg=reg")
    cell = "module \\wire.x (input \\A[0] , B, output \\reg ); endmodule\n"
    files = {"n.v": cell + to_verilog(replace(odd, name="top"))}
    passes = ["read_verilog n.v", "hierarchy -check -top top", "write_json n.json"]
    document = json.loads(yosys.run(passes, files, ["n.json"])["n.json"])
    read = from_yosys(document, "top")
    assert sorted(read.ports) == ["a[0]", "input", "reg"]
    assert read.instances[0].pins.keys() == {"A[0]", "B", "reg"}
