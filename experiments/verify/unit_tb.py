"""cocotb testbench of a bench of units. Runs inside the simulator; `runner` starts it.

Operands change between the clock's rising edge and its falling one, where the results of the rising
edge are read: away from every change in the units, so that no simulator's order of events matters.
"""

import json
import os
import pickle
import time
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from macsmith.experiments.verify.bench import RESET_CYCLES
from macsmith.experiments.verify.checker import Checker


@cocotb.test()
async def drive_and_compare(dut):
    folder = Path(os.environ["MACSMITH_BENCH"])
    started = time.perf_counter()
    checker = Checker(pickle.loads((folder / "instances.pickle").read_bytes()))
    prepared = time.perf_counter()

    Clock(dut.tick, 10, "ns", impl="gpi").start()
    dut.stim.value = checker.first_stimulus()  # a reset, which gets registers out of any state
    for _ in range(RESET_CYCLES):
        await RisingEdge(dut.wake)
    cycle = 0
    while not checker.done(cycle):
        dut.stim.value = checker.stimulus(cycle)
        await RisingEdge(dut.wake)
        checker.check(cycle, str(dut.seen.value))
        cycle += 1

    answer = checker.result(cycle)
    answer["seconds"] = {
        "golden": prepared - started,
        "simulation": time.perf_counter() - prepared,
    }
    (folder / "result.json").write_text(json.dumps(answer))
