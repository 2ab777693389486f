"""What goes with a unit's Verilog to those who build with it: FuseSoC core file and SDC."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from amaranth.hdl import Value
from amaranth.lib import wiring

from macsmith.hw.timing import Boundary

__all__ = ["Constraints", "core_file", "sdc"]


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
    """

    clock_ps: float = 1000.0
    input_delay_ps: float = 0.0
    output_delay_ps: float = 0.0
    driving_cell: str | None = None
    load_ff: float | None = None
    input_slew_ps: float | None = None
    clock_slew_ps: float | None = None

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
        for name in ("load_ff", "input_slew_ps", "clock_slew_ps"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be 0 or more, not {value!r}")


def sdc(component: wiring.Component, constraints: Constraints) -> str:
    """SDC of a unit; a combinational one gets a virtual clock of that name.

    Times are in ns and capacitances in pF, which is what most libraries' readers take.
    """
    clocked = getattr(component, "latency", 1) != 0
    period = _number(constraints.clock_ps / 1000)
    ports = {"input": ["rst"] if clocked else [], "output": []}
    for path, member, value in component.signature.flatten(component):
        if len(Value.cast(value)):
            kind = "input" if member.flow is wiring.In else "output"
            ports[kind].append("__".join(map(str, path)))
    lines = [f"create_clock -name clk -period {period}{' [get_ports clk]' if clocked else ''}"]
    delays = {"input": constraints.input_delay_ps, "output": constraints.output_delay_ps}
    for kind, names in ports.items():
        delay = _number(delays[kind] / 1000)
        lines += [f"set_{kind}_delay {delay} -clock clk [get_ports {{{n}}}]" for n in names]
    if constraints.driving_cell:
        lines += [
            f"set_driving_cell -lib_cell {constraints.driving_cell} [get_ports {{{name}}}]"
            for name in ports["input"]
        ]
    elif constraints.input_slew_ps is not None:
        slew = _number(constraints.input_slew_ps / 1000)
        lines += [f"set_input_transition {slew} [get_ports {{{n}}}]" for n in ports["input"]]
    if constraints.clock_slew_ps is not None and clocked:
        slew = _number(constraints.clock_slew_ps / 1000)
        lines.append(f"set_clock_transition {slew} [get_clocks clk]")
    if constraints.load_ff is not None:
        load = _number(constraints.load_ff / 1000)
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
        copied = f"{{file_type: user, copyto: {PurePath(vectors).name}}}"
        lines += _fileset("tb", [(file, ""), (vectors, copied)], "verilogSource")
    lines += ["targets:", *_target("default", ["rtl"], module, "")]
    lines += _target("lint", ["rtl"], module, "verilator", "mode: lint-only")
    lines += _target("synth", ["rtl", *constraints], module, "yosys", "arch: ice40")
    if testbench:
        lines += _target("sim", ["rtl", "tb"], testbench[0], "icarus",
                         "iverilog_options: [-Wall, -g2001]")  # fmt: skip
    return "\n".join([*lines, ""])


def _fileset(name: str, files: list[tuple[str, str]], kind: str) -> list[str]:
    rows = [f"      - {file}" + (f": {options}" if options else "") for file, options in files]
    return [f"  {name}:", "    files:", *rows, f"    file_type: {kind}"]


def _target(name: str, sets: list[str], top: str, tool: str, option: str = "") -> list[str]:
    lines = [f"  {name}:", f"    filesets: [{', '.join(sets)}]", f"    toplevel: {top}"]
    if tool:
        lines += [f"    default_tool: {tool}", "    tools:", f"      {tool}:", f"        {option}"]
    return lines


def _number(x: float) -> str:
    return f"{x:.6g}"
