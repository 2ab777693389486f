"""Yosys (pyosys) in a fresh process: passes and input files in, output files out.

A fresh process for each run, because Yosys numbers its objects with a counter that never goes back:
the same module synthesised twice in one process can differ by 1.5 % in area.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

__all__ = ["BINARY_PARAMETERS", "VERSION", "AbcError", "YosysError", "YosysKilled", "run"]

#: Version of the pyosys package, which contains both Yosys and ABC.
VERSION = version("pyosys")

#: Declared by a techmap module in place of a cell of two operands.
BINARY_PARAMETERS = """\
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;"""

# Standard output and error are files of the run's folder: what ABC prints never reaches ours.
_WORKER = """
import json, sys
from pyosys import libyosys as ys
design = ys.Design()
# Yosys would keep ABC's form of the libraries in a cache that it finds again by a 32-bit hash of
# their paths, not of their content.
ys.run_pass("libcache -scl -disable", design)
for command in json.load(open("passes.json")):
    ys.run_pass(command, design)
"""


#: What Yosys says of an ABC that a signal ended: the shell's 128 and the signal's number.
_ABC_ENDED = re.compile(r"ABC: execution of \w+ .* failed: return code (\d+)")
_SHELL = 128


class YosysError(ValueError):
    """Yosys refused the design; the message is its own first line of complaint."""


class AbcError(YosysError):
    """ABC could not map with this library and script; another script may do."""


class YosysKilled(RuntimeError):
    """Yosys or its ABC was ended from outside, which says nothing about the design."""


def run(
    passes: Sequence[str],
    files: Mapping[str, str | bytes],
    outputs: Sequence[str],
    *,
    timeout_s: float | None = None,
) -> dict[str, str]:
    """Run Yosys `passes` in an empty folder that holds `files`; return the text of `outputs`.

    Passes name files relative to the folder, so nothing in a result depends on the machine.
    YosysError: a pass failed, or did not write an output. YosysKilled: it was not let finish.
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
                env={**os.environ, "TMPDIR": name},  # ABC's files go with the folder
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
        text = (folder / "log.txt").read_text(errors="replace")
        missing = [output for output in outputs if not (folder / output).is_file()]
        if done.returncode or missing:
            raise _failure(text.replace(str(folder), "."), done.returncode)
        return {output: (folder / output).read_text() for output in outputs}


def _failure(log: str, status: int) -> YosysError | YosysKilled:
    """The error that `log` reports: its first line that says so (used in messages only)."""
    lines = [line.strip() for line in log.splitlines()]
    killed = -status if status < 0 else max(map(int, _ABC_ENDED.findall(log)), default=0) - _SHELL
    if killed in (signal.SIGKILL, signal.SIGTERM):
        return YosysKilled(
            f"Yosys was ended by {signal.Signals(killed).name}: no result, run again"
        )
    for kind, prefix, mark in (
        (AbcError, "ABC: ", "ABC: Error:"),
        (YosysError, "Yosys: ", "ERROR:"),
        (YosysError, "Yosys: ", "Error:"),
    ):
        for line in lines:
            if line.startswith(mark) or (kind is YosysError and mark in line):
                message = line.split(mark, 1)[1].strip()
                is_abc = kind is AbcError or "ABC" in message
                return (AbcError if is_abc else YosysError)(prefix + message)
    return YosysError(f"Yosys ended with status {status}: {lines[-1] if lines else 'no output'}")
