"""cocotb testbench of a bench of units. Runs inside the simulator; `runner` starts it.

Operands change at the falling edge, where the results of the last rising edge are read: half a
period from every change in the units, so that no simulator's order of events matters.
"""

import json
import os
import pickle
import time
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from macsmith.experiments.verify.bench import RESET_CYCLES
from macsmith.experiments.verify.checker import Checker


@cocotb.test()
async def drive_and_compare(dut):
    folder = Path(os.environ["MACSMITH_BENCH"])
    started = time.perf_counter()
    checker = Checker(pickle.loads((folder / "instances.pickle").read_bytes()))
    prepared = time.perf_counter()

    Clock(dut.clk, 10, "ns", impl="gpi").start()
    dut.stim.value = checker.first_stimulus()  # a reset, which gets registers out of any state
    for _ in range(RESET_CYCLES):
        await FallingEdge(dut.clk)
    cycle = 0
    while not checker.done(cycle):
        dut.stim.value = checker.stimulus(cycle)
        await FallingEdge(dut.clk)
        checker.check(cycle, str(dut.seen.value))
        cycle += 1

    answer = checker.result(cycle)
    answer["seconds"] = {
        "golden": prepared - started,
        "simulation": time.perf_counter() - prepared,
    }
    (folder / "result.json").write_text(json.dumps(answer))
