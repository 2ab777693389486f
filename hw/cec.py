"""ABC's equivalence checker on a literal of a graph: can it be 1?

Runs the ``yosys-abc`` that the pyosys wheel ships, in a fresh process and an empty folder.
"""

import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from macsmith.hw.aig import Graph

__all__ = ["Undecided", "satisfy"]


class Undecided(RuntimeError):
    """ABC did not finish in the time that it was given."""


def satisfy(graph: Graph, lit: int, timeout_s: float) -> list[int] | None:
    """Values of the graph's free variables for which ``lit`` is 1; None where there are none.

    `Undecided` after ``timeout_s`` seconds, or where ABC gives up; RuntimeError where it fails.
    """
    with tempfile.TemporaryDirectory(prefix="macsmith-") as name:
        folder = Path(name)
        (folder / "miter.aig").write_bytes(graph.binary([lit]))
        command = "read miter.aig; iprove; print_status; write_cex model.txt"
        try:
            done = subprocess.run(
                [str(_program()), "-q", command],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=max(timeout_s, 0.1),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Undecided(f"ABC did not finish within {timeout_s:.0f} s") from None
        said = done.stdout + done.stderr
        if "Status = 1" in said:
            return None
        if "Status = 0" in said and (folder / "model.txt").exists():
            bits = (folder / "model.txt").read_text().partition("#")[0]
            return [int(bit) for bit in bits.strip()]
        if "Status = -1" in said:
            raise Undecided("ABC gave up")
        raise RuntimeError(f"ABC failed: {said.strip()[-500:] or done.returncode}")


def _program() -> Path:
    package = find_spec("pyosys")
    return Path(package.submodule_search_locations[0]) / "yosys-abc"
