"""One build and one run of a bench in a simulator: ``python -m ... FOLDER SIMULATOR``.

FOLDER has the units' Verilog (``*.v``), of which ``bench.TOP`` is the top. Started by `simulators`.
"""

import os
import signal
import sys
import time
from pathlib import Path

from cocotb_tools.runner import get_runner

from macsmith.experiments.verify import verilated
from macsmith.experiments.verify.bench import TOP
from macsmith.hw.handoff import WAIVERS

VERILATOR_ARGS = [
    "-Wall",
    "-Wno-fatal",
    *(f"-Wno-{name}" for name in WAIVERS),
    # cocotb makes every signal public, which forbids nearly every optimisation; `bench` says which
    # ones it needs.
    "--no-public-flat-rw",
    # One file: the compiler reads the headers once.
    "--output-split",
    "0",
]


def main(folder: Path, simulator: str) -> None:
    started = time.perf_counter()
    runner = get_runner(simulator)
    if simulator == "verilator":
        archive = verilated.archive_path()
        variables = verilated.make_variables(archive)
        os.environ["MAKEFLAGS"] = " ".join(f"{k}={v}" for k, v in variables.items())
    runner.build(
        sources=sorted(folder.glob("*.v")),
        hdl_toplevel=TOP,
        build_dir=folder / "build",
        build_args=VERILATOR_ARGS if simulator == "verilator" else [],
        timescale=("1ns", "1ns"),
    )
    if simulator == "verilator":
        verilated.keep_library(folder / "build", archive)
    (folder / "seconds_build").write_text(f"{time.perf_counter() - started:.3f}")
    runner.test(
        hdl_toplevel=TOP,
        test_module="macsmith.experiments.verify.unit_tb",
        build_dir=folder / "build",
        test_dir=folder,
    )


if __name__ == "__main__":
    # An exception, and not an end: on the way out cocotb's runner ends the simulator.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    main(Path(sys.argv[1]), sys.argv[2])
