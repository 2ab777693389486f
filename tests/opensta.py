"""OpenSTA as a referee: the worst slack of the same netlist under the same constraints."""

import re
import shutil
import subprocess

import pytest

from macsmith.hw.liberty_trim import trim
from macsmith.hw.netlist import to_verilog
from macsmith.hw.synth import Synthesis


def worst_slack_ps(synthesis: Synthesis, folder) -> float:
    """Slack of the worst path by OpenSTA; skips the test, saying so, where `sta` is missing.

    The boundary conditions of `synthesis` are set in OpenSTA's words. Energies and the default wire
    load are cut out of the libraries: wires have no capacitance on either side.
    """
    if shutil.which("sta") is None:
        pytest.skip("OpenSTA (sta) is not installed")
    boundary, library = synthesis.boundary, synthesis.technology
    commands = []
    for index, text in enumerate(library.texts):
        (folder / f"{index}.lib").write_text(trim(text))
        commands.append(f"read_liberty {index}.lib")
    (folder / "netlist.v").write_text(to_verilog(synthesis.netlist))
    inputs = " ".join(name for name in synthesis.netlist.inputs if name != "clk")
    commands += [
        "read_verilog netlist.v",
        f"link_design {synthesis.netlist.name}",
        "set_cmd_units -time ps -capacitance fF",
        f"create_clock -name clk -period {synthesis.clock_ps} [get_ports clk]",
        f"set_clock_transition {boundary.clock_slew_ps} [get_clocks clk]",
    ]
    for name in inputs.split():
        bits = len(synthesis.netlist.inputs[name].bits)
        ports = f"[get_ports {{{name}{'[*]' if bits > 1 else ''}}}]"
        commands += [
            f"set_input_delay {boundary.input_arrival_ps} -clock clk {ports}",
            f"set_input_transition {boundary.input_slew_ps} {ports}",
        ]
    commands += [
        "set_output_delay 0 -clock clk [all_outputs]",
        f"set_load {boundary.output_load_ff} [all_outputs]",
        "report_checks -path_delay max -digits 4",
    ]
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
    slack = re.search(r"(-?[\d.]+)\s+slack", done.stdout)
    assert slack, done.stdout + done.stderr
    return float(slack.group(1))
