"""OpenSTA as a referee: slacks and energies of the same netlist under the same constraints.

Wires have no capacitance on either side: default wire loads are cut out of the libraries. Of
energies Debian's OpenSTA (2019) is asked only what it does soundly: the energy of one edge of a
net, and that of one edge of a pin by one entry of a library's tables. Its sums are not used: it
adds the tables of both edges where each edge has one of them, its weights of a cell's entries do
not add up to one, and it overwrites given activities by propagated ones.
"""

import re
import shutil
import subprocess
from itertools import product

import pytest

from macsmith.hw.liberty_text import LibertyText
from macsmith.hw.netlist import to_verilog
from macsmith.hw.synth import Synthesis

#: The path group of enables of clock gates; all other paths are in the one named after the clock.
GATING = "**clock_gating_default**"
_WIRE_LOAD = re.compile(r"default_wire_load\w*\s*:[^;\n]*;?")
_INTERNAL_POWER = re.compile(r"internal_power\s*\(\s*\)\s*\{(?:[^{}]|\{[^{}]*\})*\}")
_GROUND = re.compile(r'related_pg_pin\s*:\s*"?VSS')
_TABLE = re.compile(r"\b(rise|fall)_power\s*\([^()]*\)\s*\{[^{}]*\}")
_WHEN = re.compile(r'when\s*:\s*"[^"]*"\s*;')
_PIN_OR_FUNCTION = re.compile(r'\bpin\s*\(\s*"?(\w+)"?\s*\)|\bfunction\s*:\s*"[^"]*"')
_SLACK = re.compile(r"Path Group: (\S+)\n.*?(-?[\d.]+)\s+slack", re.DOTALL)
_POWER = re.compile(r"^ *(\S+) +(\S+) +\S+ +\S+ (u\d+)$", re.MULTILINE)
_ENTRIES = re.compile(r"internal (u\d+)/(\w+) .*\n.*\n.*\n((?:power:  \w+ -> .*\n)*)")
_ENTRY = re.compile(r"-> \w+ +\S+ (\d\.\d\d) +(\S+)")


def slacks_ps(synthesis: Synthesis, folder, clock_ps: float) -> dict[str, float]:
    """Slack of the worst path of each path group; skips the test where `sta` is missing."""
    commands = _constrained(synthesis, folder, clock_ps)
    found = run_sta([*commands, "report_checks -path_delay max -digits 4"], folder)
    slacks = {group: float(slack) for group, slack in _SLACK.findall(found)}
    assert slacks, found
    return slacks


def edge_energies_fj(synthesis: Synthesis, folder) -> tuple[dict, dict]:
    """Energy of one edge: of the nets that an instance drives, together, by instance; and, by
    instance and pin, a list of the pin's entries in the library's order, each a dictionary by the
    pin's edge and that of the input that caused it ("rise" or "fall"; three digits). Skips the test
    where `sta` is missing.

    Every pin has one edge per clock period. Conditions are cut out of the library, and every
    output is a function of itself: so each entry weighs one half, and what does not depend on the
    other pins is reported. OpenSTA looks tables up at the slew of the input's edge of the same
    name; so each edge's tables are asked for alone, under the name of either edge.
    """
    nets, entries = {}, {}
    for edge, cause in product(("rise", "fall"), repeat=2):
        commands = _constrained(synthesis, folder, synthesis.clock_ps, (edge, cause))
        commands += ["sta::set_debug power 2", "set_power_activity -global -activity 1"]
        for instance in synthesis.netlist.instances:
            commands.append(f"report_power -instances [get_cells {instance.name}] -digits 6")
        found = run_sta(commands, folder)
        for _, watts, instance in _POWER.findall(found):
            nets[instance] = float(watts) * synthesis.clock_ps * 1e3  # W ps = 1000 fJ
        for instance, pin, lines in _ENTRIES.findall(found):
            listed = _ENTRY.findall(lines)
            known = entries.setdefault((instance, pin), [{} for _ in listed])
            for entry, (weight, joule) in zip(known, listed, strict=True):
                entry[edge, cause] = float(joule) / float(weight) * 1e15
    return nets, entries


def _constrained(synthesis: Synthesis, folder, clock_ps: float, edges: tuple = ()) -> list[str]:
    """Commands that read the netlist and set the boundary conditions in OpenSTA's words.

    Without a port `clk` the clock is virtual: only the ports' delays refer to it.
    """
    netlist, boundary = synthesis.netlist, synthesis.boundary
    commands = []
    for index, text in enumerate(synthesis.technology.texts):
        (folder / f"{index}.lib").write_text(_library(text, set(netlist.cell_counts), edges))
        commands.append(f"read_liberty {index}.lib")
    (folder / "netlist.v").write_text(to_verilog(netlist))
    clocked = "clk" in netlist.inputs
    commands += [
        "read_verilog netlist.v",
        f"link_design {netlist.name}",
        "set_cmd_units -time ps -capacitance fF",
        f"create_clock -name clk -period {clock_ps} {'[get_ports clk]' if clocked else ''}",
    ]
    if clocked:
        commands += [
            f"set_clock_transition {boundary.clock_slew_ps} [get_clocks clk]",
            f"set_input_transition {boundary.clock_slew_ps} [get_ports clk]",  # for energies
        ]
    for name, port in netlist.inputs.items():
        if name != "clk":
            ports = f"[get_ports {{{name}{'[*]' if len(port.bits) > 1 else ''}}}]"
            commands += [
                f"set_input_delay {boundary.input_arrival_ps} -clock clk {ports}",
                f"set_input_transition {boundary.input_slew_ps} {ports}",
            ]
    return [
        *commands,
        "set_output_delay 0 -clock clk [all_outputs]",
        f"set_load {boundary.output_load_ff} [all_outputs]",
    ]


def _library(liberty: LibertyText, cells: set[str], edges: tuple) -> str:
    """The text of `liberty` with no cells but these; with energies of one edge, under the name of
    another, or with none."""
    kept, done = [], 0
    for name, (start, end) in sorted(liberty.cells.items(), key=lambda cell: cell[1]):
        kept.append(liberty.text[done : end if name in cells else start])
        done = end
    text = _WIRE_LOAD.sub("", "".join([*kept, liberty.text[done:]]))
    if not edges:
        return _INTERNAL_POWER.sub("", text)
    edge, cause = edges

    def one_edge(entry: re.Match) -> str:
        if _GROUND.search(entry[0]):
            return ""
        kept = _TABLE.sub(lambda table: table[0] if table[1] == edge else "", entry[0])
        return _WHEN.sub("", kept.replace(f"{edge}_power", f"{cause}_power"))

    pin = ""

    def itself(found: re.Match) -> str:
        nonlocal pin
        pin = found[1] or pin
        return found[0] if found[1] else f'function : "{pin}"'

    return _PIN_OR_FUNCTION.sub(itself, _INTERNAL_POWER.sub(one_edge, text))


def run_sta(commands: list[str], folder) -> str:
    """What OpenSTA says to these commands, run in `folder`; skips the test where it is missing."""
    if shutil.which("sta") is None:
        pytest.skip("OpenSTA (sta) is not installed")
    (folder / "run.tcl").write_text("\n".join(commands) + "\n")
    done = subprocess.run(
        ["sta", "-no_splash", "-exit", "run.tcl"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Error" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout + done.stderr
