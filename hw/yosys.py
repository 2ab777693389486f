"""Yosys (pyosys) in a fresh process: passes and input files in, output files out.

A fresh process for each run, because Yosys numbers its objects with a counter that never goes back:
the same module synthesised twice in one process can differ by 1.5 % in area.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

__all__ = ["VERSION", "YosysError", "run"]

#: Version of the pyosys package, which contains both Yosys and ABC.
VERSION = version("pyosys")

# Standard output and error are files of the run's folder: what ABC prints never reaches ours.
_WORKER = """
import json, sys
from pyosys import libyosys as ys
design = ys.Design()
for command in json.load(open("passes.json")):
    ys.run_pass(command, design)
"""


class YosysError(ValueError):
    """Yosys refused the design; the message is its own first line of complaint."""


def run(
    passes: Sequence[str],
    files: Mapping[str, str | bytes],
    outputs: Sequence[str],
    *,
    timeout_s: float | None = None,
) -> dict[str, str]:
    """Run Yosys `passes` in an empty folder that holds `files`; return the text of `outputs`.

    Passes name files relative to the folder, so nothing in a result depends on the machine.
    YosysError: a pass failed, or did not write an output.
    """
    with tempfile.TemporaryDirectory(prefix="macsmith-") as name:
        folder = Path(name)
        for file, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (folder / file).write_bytes(data)
        (folder / "passes.json").write_text(json.dumps(list(passes)))
        with (folder / "log.txt").open("w") as log:
            done = subprocess.run(
                # -P: a file of the folder must not shadow a module
                [sys.executable, "-P", "-c", _WORKER],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
        text = (folder / "log.txt").read_text(errors="replace")
        missing = [output for output in outputs if not (folder / output).is_file()]
        if done.returncode or missing:
            raise YosysError(_complaint(text) or f"Yosys ended with status {done.returncode}")
        return {output: (folder / output).read_text() for output in outputs}


def _complaint(log: str) -> str:
    """The first line of `log` that reports an error (only for messages, never for results)."""
    lines = [line.strip() for line in log.splitlines()]
    for mark in ("ERROR:", "Error:", "error:"):
        for line in lines:
            if mark in line:
                return "Yosys: " + line.split(mark, 1)[1].strip()
    return "Yosys: " + lines[-1] if lines else ""
