# amaranth: UnusedElaboratable=no
"""What a testbench says about itself."""

import re
import subprocess

import pytest
from tools import needs

from macsmith.experiments.handoff import write_unit
from macsmith.sim.spec import MacSpec


@pytest.mark.parametrize(("unit", "options"), [("mac", {}), ("array", {"rows": 1, "cols": 1})])
def test_its_head_says_how_to_run_it(unit, options, tmp_path):
    """Whatever its files are called, and wherever the Verilog is."""
    needs("icarus")
    (tmp_path / "rtl 1").mkdir()
    write_unit(
        unit, MacSpec("dint3", "int4", 9), options, tmp_path / "rtl 1" / "rtl.v",
        name="words", testbench=tmp_path / "check.v",
    )  # fmt: skip
    (command,) = re.findall(r"^// (iverilog .*)$", (tmp_path / "check.v").read_text(), re.MULTILINE)
    assert command == "iverilog -g2001 -o sim check.v 'rtl 1/rtl.v' && vvp -n sim"
    run = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout.startswith("PASS: ")
