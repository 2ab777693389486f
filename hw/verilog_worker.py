"""Yosys in a process of its own: RTLIL in, flattened plain Verilog out.

Yosys numbers its objects with counters of the whole process, and the numbers reach the text. A
fresh fork per module makes the text depend on the module alone. Started by `macsmith.hw.export`:

    stdin    JSON: list of {"name": module, "rtlil": text, "ports": names in order}
    stdout   JSON: list of Verilog texts
    stderr   Yosys' log
"""

import json
import os
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from pyosys import libyosys

PASSES = (
    "proc -norom",  # a ROM would be an array with an `initial` block, which ASIC tools ignore
    "flatten",
    "hide",
    "opt_expr",
    "wreduce",
    "opt_clean -purge",
    "wreduce",  # wires, now that the cells on them are narrower
    "opt_clean -purge",
    "techmap -map {folder}/is_zero.v",
    "opt_clean -purge",
)

MOST_ROUNDS = 32  # of which each gets one level of gates further towards the inputs

#: `! vector` is right but reads as a truncation (Verilator's WIDTHTRUNC); `~ (| vector)` does not.
IS_ZERO = r"""
module \$logic_not (A, Y);
  parameter A_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter Y_WIDTH = 1;
  input [A_WIDTH-1:0] A;
  output [Y_WIDTH-1:0] Y;
  wire any = |A;
  assign Y = ~any;
endmodule
"""


def worse_names(netlist: dict) -> list[str]:
    """Wires of which every bit has a better name as well: from further up, and written by hand.

    Amaranth calls bits between modules ``port$12$0``, and numbers signals that share a name.
    """
    (module,) = netlist["modules"].values()
    names: dict[str, tuple] = {}
    for name, net in module["netnames"].items():
        if name in module["ports"]:
            names[name] = (0,)
        elif not net["hide_name"]:
            names[name] = (1, "port$" in name, name.count("."), "$" in name, len(name), name)
    best: dict[int, str] = {}
    for name in sorted(names, key=names.get):
        for bit in module["netnames"][name]["bits"]:
            best.setdefault(bit, name)
    return [
        name
        for name in names
        if name not in module["ports"]
        and not any(best[bit] == name for bit in module["netnames"][name]["bits"])
    ]


def hide(design: libyosys.Design, folder: Path) -> None:
    """Take the names from the wires that have better ones."""
    design.run_pass(f"write_json {folder}/names.json")
    names = worse_names(json.loads((folder / "names.json").read_text()))
    for name, wire in zip(names, wires_called(design, names), strict=True):
        design.top_module().rename(wire, libyosys.IdString(f"${name}"))


def wires_called(design: libyosys.Design, names: list[str]) -> list[libyosys.Wire]:
    """Wires by their names in JSON, which has no backslash before names that are written by hand,
    unless a "$" follows it."""
    wires = {str(wire.name): wire for wire in design.top_module().wires_.values()}
    return [wires[name if name.startswith(("$", "\\")) else f"\\{name}"] for name in names]


def partly_used(netlist: dict) -> list[str]:
    """Wires of which some bits are read under this name and others not: linters complain.

    Of bits that are one and the same, one is read; a constant one is not, as what reads it has the
    constant instead.
    """
    (module,) = netlist["modules"].values()
    read = {bit for port in module["ports"].values() for bit in port["bits"]}
    for cell in module["cells"].values():
        for pin, bits in cell["connections"].items():
            if cell["port_directions"][pin] == "input":
                read.update(bits)
    names = Counter(bit for net in module["netnames"].values() for bit in set(net["bits"]))
    read.difference_update("01xz")
    return [
        name
        for name, net in module["netnames"].items()
        if name not in module["ports"]
        and (len({bit in read and names[bit] == 1 for bit in net["bits"]}) == 2 or _repeated(net))
    ]


def _repeated(net: dict) -> bool:
    driven = [bit for bit in net["bits"] if isinstance(bit, int)]  # others are constants
    return len(set(driven)) < len(driven)


def convert(job: dict, folder: Path) -> str:
    """Verilog of one module, without Yosys' own header, which names the machine it was built on."""
    source, target = folder / "in.il", folder / "out.v"
    source.write_text(job["rtlil"])
    (folder / "is_zero.v").write_text(IS_ZERO)
    design = libyosys.Design()
    design.run_pass(f"read_rtlil {source}")
    for command in PASSES:
        if command == "hide":
            hide(design, folder)
        else:
            design.run_pass(command.format(folder=folder))
    for _ in range(MOST_ROUNDS):  # narrower cells leave bits of what drives them unused
        design.run_pass(f"write_json {folder}/netlist.json")
        wires = partly_used(json.loads((folder / "netlist.json").read_text()))
        if not wires:
            break
        # An attribute, because to match many names with many wires takes minutes.
        for wire in wires_called(design, wires):
            wire.set_bool_attribute(libyosys.IdString("\\partly_used"))
        # the cells that drive them, and no others: what is whole stays one vector
        design.run_pass("select -set drivers a:partly_used %ci1 w:* %d")
        for command in (
            "splitnets -format _ a:partly_used",
            "setattr -unset partly_used w:*",  # opt_clean looks at attributes
            "opt_clean -purge",
            "splitcells @drivers",
            "wreduce",
            "opt_clean -purge",
        ):
            design.run_pass(command)
    module = design.top_module()
    order = {"\\" + port: k for k, port in enumerate(job["ports"], 1)}
    for port in (wire for wire in module.wires_.values() if wire.port_id):
        port.port_id = order[str(port.name)]
    module.fixup_ports()
    design.run_pass(f"write_verilog -noattr {target}")
    header, _, text = target.read_text().partition("\n\n")
    assert header.startswith("/* Generated by Yosys"), header
    return text


def main() -> None:
    jobs = json.load(sys.stdin)
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Yosys logs to stdout
    texts = []
    for job in jobs:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    (folder / "text.v").write_text(convert(job, folder))
                    status = 0
                except Exception:
                    traceback.print_exc()
                finally:
                    sys.stdout.flush()
                    sys.stderr.flush()
                    os._exit(status)
            if os.waitpid(child, 0)[1]:
                sys.exit(f"Yosys failed on module {job['name']!r}")
            texts.append((folder / "text.v").read_text())
    json.dump(texts, answer)
    answer.close()


if __name__ == "__main__":
    main()
