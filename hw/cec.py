"""ABC on a literal of a graph: can it be 1, at all or from a first state on?

Runs the ``yosys-abc`` that the pyosys wheel ships, in a fresh process and an empty folder.
"""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from macsmith.hw.aig import Graph

__all__ = ["Undecided", "reach", "satisfy"]


class Undecided(RuntimeError):
    """ABC did not finish in the time that it was given."""


def satisfy(graph: Graph, lit: int, timeout_s: float) -> list[int] | None:
    """Values of the graph's free variables for which ``lit`` is 1; None where there are none.

    `Undecided` after ``timeout_s`` seconds, or where ABC gives up; RuntimeError where it fails.
    """
    status, model = _run(graph.binary([lit]), "iprove; print_status", timeout_s)
    if "Status = 1" in status:
        return None
    if not model:
        raise RuntimeError(f"ABC writes no counterexample: {status.strip()[-500:]}")
    return [int(bit) for bit in model.partition("#")[0].strip()]


def reach(graph: Graph, lit: int, next_lits: Sequence[int], timeout_s: float) -> int | None:
    """The clock, from 0 on, in which ``lit`` can be 1; None where it never can.

    The graph's last free variables are registers that begin with 0, ``next_lits`` what they take.
    Signals that are equal in all states are found by induction, the rest is left to property-
    directed reachability, or where no register is left, to what `satisfy` has. Errors as there.
    """
    # iprove stops the line where there are registers: they have had their status by then.
    prove = "scorr; pdr; print_status; iprove; print_status"
    status, _ = _run(graph.binary([lit], next_lits), prove, timeout_s)
    if "Status = 1" in status:
        return None
    frame = re.search(r"Frame = *(\d+)", status)
    if not frame:
        raise RuntimeError(f"ABC says no clock: {status.strip()[-500:]}")
    return int(frame[1])


def _run(miter: bytes, prove: str, timeout_s: float) -> tuple[str, str]:
    """What ABC says to ``prove``, its status being 1, proven, or 0; and its counterexample."""
    with tempfile.TemporaryDirectory(prefix="macsmith-") as name:
        folder = Path(name)
        (folder / "miter.aig").write_bytes(miter)
        try:
            done = subprocess.run(
                [str(_program()), "-q", f"read miter.aig; {prove}; write_cex model.txt"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=max(timeout_s, 0.1),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Undecided(f"ABC did not finish within {timeout_s:.0f} s") from None
        said, model = done.stdout + done.stderr, folder / "model.txt"
        if "Status = 1" in said or "Status = 0" in said:
            return said, model.read_text() if model.exists() else ""
        if "Status = -1" in said:
            raise Undecided("ABC gave up")
        raise RuntimeError(f"ABC failed: {said.strip()[-500:] or done.returncode}")


def _program() -> Path:
    package = find_spec("pyosys")
    return Path(package.submodule_search_locations[0]) / "yosys-abc"
