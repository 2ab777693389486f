"""What goes with a unit's Verilog to those who build with it: FuseSoC core file and SDC."""

import json
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from amaranth.hdl import Value
from amaranth.lib import wiring

from macsmith.hw.timing import Boundary

__all__ = ["WAIVERS", "Constraints", "core_file", "sdc"]

#: Warnings of `verilator --lint-only -Wall` about which nothing is done, and why.
WAIVERS = {
    "WIDTHEXPAND": "a narrow operand is extended by Verilog's own rules, which are meant here",
    "PROCASSINIT": "a register has its reset value as initial value too, for use without a reset",
}

_CELL = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
#: Paths that YAML reads as text, wherever they stand: with a dot or slash after a letter, they are
#: no number, and no "true" or "null".
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_+-]*[./][A-Za-z0-9_./+-]*")


@dataclass(frozen=True)
class Constraints:
    """Conditions at a unit's ports, in ps and fF; None: not constrained.

    Attributes
    ----------
    clock_ps : float
        Period.
    input_delay_ps, output_delay_ps : float
        Part of the period that is used up outside, before the inputs and after the outputs.
    driving_cell : str or None
        Library cell before every input but the clock.
    load_ff : float or None
        Capacitance of every output.
    input_slew_ps, clock_slew_ps : float or None
        Of every input's edges, where no cell drives it, and of the clock's, between the library's
        own thresholds.
    time_unit_ps, cap_unit_ff : float
        In what an SDC has them: the library's units.
    """

    clock_ps: float = 1000.0
    input_delay_ps: float = 0.0
    output_delay_ps: float = 0.0
    driving_cell: str | None = None
    load_ff: float | None = None
    input_slew_ps: float | None = None
    clock_slew_ps: float | None = None
    time_unit_ps: float = 1000.0
    cap_unit_ff: float = 1000.0

    @classmethod
    def of(cls, boundary: Boundary, **others: Any) -> "Constraints":
        """The conditions under which `timing` analyses a netlist; ``others`` take precedence."""
        return cls(**{
            "input_delay_ps": boundary.input_arrival_ps,
            "load_ff": boundary.output_load_ff,
            "input_slew_ps": boundary.input_slew_ps,
            "clock_slew_ps": boundary.clock_slew_ps,
            **others,
        })

    def __post_init__(self) -> None:
        if not 0 < self.clock_ps < float("inf"):
            raise ValueError(f"clock_ps must be a positive number, not {self.clock_ps!r}")
        for name in ("input_delay_ps", "output_delay_ps"):
            value = getattr(self, name)
            if not 0 <= value < self.clock_ps:
                raise ValueError(f"{name} must be 0 up to the period, not {value!r}")
        if self.driving_cell is not None and not _CELL.fullmatch(self.driving_cell):
            raise ValueError(
                f"driving_cell must be a cell's name (letters, digits, _ and $), "
                f"not {self.driving_cell!r}"
            )
        for name in ("load_ff", "input_slew_ps", "clock_slew_ps"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be 0 or more, not {value!r}")


def sdc(component: wiring.Component, constraints: Constraints) -> str:
    """SDC of a unit; a combinational one gets a virtual clock of that name.

    Its numbers are in the units of the constraints, which its first lines name: a tool reads them
    in those of the library it has loaded, and complains where these are others.
    """
    clocked = getattr(component, "latency", 1) != 0
    ports = {"input": ["rst"] if clocked else [], "output": []}
    for path, member, value in component.signature.flatten(component):
        if len(Value.cast(value)):
            kind = "input" if member.flow is wiring.In else "output"
            ports[kind].append("__".join(map(str, path)))

    def time(ps: float) -> str:
        return _number(ps / constraints.time_unit_ps)

    time_unit = _unit(constraints.time_unit_ps, ("fs", "ps", "ns"))
    cap_unit = _unit(constraints.cap_unit_ff, ("aF", "fF", "pF"))
    lines = [
        f"# in {time_unit} and {cap_unit}, which must be the units of the library",
        f"set_units -time {time_unit} -capacitance {cap_unit}",
        f"create_clock -name clk -period {time(constraints.clock_ps)}"
        f"{' [get_ports clk]' if clocked else ''}",
    ]
    delays = {"input": constraints.input_delay_ps, "output": constraints.output_delay_ps}
    for kind, names in ports.items():
        delay = time(delays[kind])
        lines += [f"set_{kind}_delay {delay} -clock clk [get_ports {{{n}}}]" for n in names]
    if constraints.driving_cell:
        lines += [
            f"set_driving_cell -lib_cell {constraints.driving_cell} [get_ports {{{name}}}]"
            for name in ports["input"]
        ]
    elif constraints.input_slew_ps is not None:
        slew = time(constraints.input_slew_ps)
        lines += [f"set_input_transition {slew} [get_ports {{{n}}}]" for n in ports["input"]]
    if constraints.clock_slew_ps is not None and clocked:
        slew = time(constraints.clock_slew_ps)
        lines.append(f"set_clock_transition {slew} [get_clocks clk]")
    if constraints.load_ff is not None:
        load = _number(constraints.load_ff / constraints.cap_unit_ff)
        lines += [f"set_load {load} [get_ports {{{name}}}]" for name in ports["output"]]
    return "\n".join([*lines, ""])


def core_file(
    module: str, verilog: str, *, testbench: tuple[str, str, str] | None, sdc: str | None
) -> str:
    """FuseSoC core file (CAPI2) of a module; file names are relative to it.

    ``testbench`` is its module, its file and its vectors. Targets are ``default``, ``lint``
    (Verilator), ``synth`` (Yosys, for an FPGA: that it can be synthesised) and, with a testbench,
    ``sim`` (Icarus).
    """
    constraints = ["constraints"] if sdc else []
    lines = [
        "CAPI=2:",
        f"name: ::{module}:0",
        "filesets:",
        *_fileset("rtl", [(verilog, "")], "verilogSource"),
    ]
    if sdc:
        lines += _fileset("constraints", [(sdc, "")], "SDC")
    if testbench:
        _, file, vectors = testbench
        # The testbench opens its vectors by their bare name, in the folder where it runs.
        copied = f"{{file_type: user, copyto: {_yaml(PurePath(vectors).name)}}}"
        lines += _fileset("tb", [(file, ""), (vectors, copied)], "verilogSource")
    lines += ["targets:", *_target("default", ["rtl"], module, "")]
    waived = ", ".join(f"-Wno-{name}" for name in WAIVERS)
    lines += _target("lint", ["rtl"], module, "verilator", "mode: lint-only",
                     f"verilator_options: [-Wall, {waived}]")  # fmt: skip
    lines += _target("synth", ["rtl", *constraints], module, "yosys", "arch: ice40")
    if testbench:
        lines += _target("sim", ["rtl", "tb"], testbench[0], "icarus",
                         "iverilog_options: [-Wall, -g2001]")  # fmt: skip
    return "\n".join([*lines, ""])


def _fileset(name: str, files: list[tuple[str, str]], kind: str) -> list[str]:
    rows = [
        f"      - {_yaml(file)}" + (f": {options}" if options else "") for file, options in files
    ]
    return [f"  {name}:", "    files:", *rows, f"    file_type: {kind}"]


def _yaml(text: str) -> str:
    """A scalar: as it is, or quoted (a JSON string is one of YAML too)."""
    return text if _PATH.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _target(name: str, sets: list[str], top: str, tool: str, *options: str) -> list[str]:
    lines = [f"  {name}:", f"    filesets: [{', '.join(sets)}]", f"    toplevel: {top}"]
    if tool:
        lines += [f"    default_tool: {tool}", "    tools:", f"      {tool}:"]
        lines += [f"        {option}" for option in options]
    return lines


def _number(x: float) -> str:
    return f"{x:.6g}"


def _unit(x: float, names: tuple[str, str, str]) -> str:
    """``x`` of the second name, in one of the names, which are a thousand apart: ns, 10ps."""
    small, usual, large = names
    scaled = (x / 1000, large) if x >= 1000 else (x, usual) if x >= 1 else (x * 1000, small)
    return "".join((_number(scaled[0]) if scaled[0] != 1 else "", scaled[1]))
