"""What three tools say about exported Verilog, and what of it is waived."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from macsmith.experiments.verify.simulators import environment
from macsmith.hw.handoff import WAIVERS

__all__ = ["LINTERS", "lint", "lint_many", "warns"]

LINTERS = {
    "icarus": ["iverilog", "-Wall", "-g2001", "-o", "/dev/null"],
    "verilator": ["verilator", "--lint-only", "-Wall", *(f"-Wno-{name}" for name in WAIVERS)],
}


def warns(log: str, besides: str) -> bool:
    """Whether a build by Verilator, with -Wall, complains of a module other than ``besides``."""
    said = re.findall(r"^%(?:Warning|Error)[^:\n]*: ([^:\n]*)", log, re.MULTILINE)
    return any(Path(place).stem != besides for place in said)


def lint(path: Path, tool: str) -> str:
    """What ``tool`` ("icarus" or "verilator") has to say about a file: "" if nothing.

    `simulators.SimulatorMissing` if the tool is not here.
    """
    done = subprocess.run(
        [*LINTERS[tool], str(path)],
        env=environment(tool),
        capture_output=True,
        text=True,
        check=False,
    )
    said = (done.stdout + done.stderr).strip()
    # Verilator ends with a report of its own speed.
    said = re.sub(r"^- (Verilator|V e r i l a t i o n).*\n?", "", said, flags=re.MULTILINE).strip()
    return said or (f"exit status {done.returncode}" if done.returncode else "")


def lint_many(paths: Sequence[Path], tool: str) -> dict[Path, str]:
    """`lint` of each file; quickly where there is nothing to say.

    A file is looked at alone only where the tool has something to say about all of them together.
    """
    together = [*LINTERS[tool], *({"verilator": ["-Wno-MULTITOP"]}.get(tool, [])), *map(str, paths)]
    done = subprocess.run(
        together, env=environment(tool), capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    if done.returncode == 0 and "arning" not in said:
        return dict.fromkeys(paths, "")
    return {path: lint(path, tool) for path in paths}
