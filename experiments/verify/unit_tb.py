"""cocotb testbench of a bench of units. Runs inside the simulator; `runner` starts it.

Operands change at the falling edge, where the results of the last rising edge are read: half a
period from every change in the units, so that no simulator's order of events matters.
"""

import json
import os
import pickle
import time
from collections import Counter
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from macsmith.experiments.verify.stimulus import Stream, make_stream

RESET_CYCLES = 16  # more than any unit has stages


@cocotb.test()
async def drive_and_compare(dut):
    folder = Path(os.environ["MACSMITH_BENCH"])
    started = time.perf_counter()
    streams = [make_stream(unit) for unit in pickle.loads((folder / "units.pickle").read_bytes())]
    prepared = time.perf_counter()
    checker = Checker(streams)

    Clock(dut.clk, 10, "ns", impl="gpi").start()
    dut.stim.value = checker.stimulus(0)  # a reset, which gets registers out of any state
    for _ in range(RESET_CYCLES):
        await FallingEdge(dut.clk)
    for cycle in range(checker.cycles):
        dut.stim.value = checker.stimulus(cycle)
        await FallingEdge(dut.clk)
        checker.check(cycle, str(dut.seen.value))

    answer = checker.result()
    answer["seconds"] = {
        "golden": prepared - started,
        "simulation": time.perf_counter() - prepared,
    }
    (folder / "result.json").write_text(json.dumps(answer))


class Checker:
    """Buses of many streams, cycle by cycle; wrong results are counted, the first one described."""

    def __init__(self, streams: list[Stream]):
        self.streams = streams
        self.cycles = max(map(len, streams))
        self.wrong = [0] * len(streams)
        self.first = [""] * len(streams)
        self._stim = [_Rows(s.stim, s.unit.stim_bytes) for s in streams]
        self._want = [_Rows(s.want, s.unit.seen_bytes, s.unit.output.width) for s in streams]

    def stimulus(self, cycle: int) -> int:
        """The operand bus."""
        return int.from_bytes(b"".join([rows.at(cycle) for rows in self._stim]), "little")

    def check(self, cycle: int, bits: str) -> None:
        """Compare the result bus, given as the simulator prints it: most significant bit first."""
        want = int.from_bytes(b"".join([rows.at(cycle) for rows in self._want]), "little")
        if f"{want:0{len(bits)}b}" == bits:
            return
        end = len(bits)
        for k, stream in enumerate(self.streams):
            mine = bits[end - 8 * stream.unit.seen_bytes : end]
            end -= len(mine)
            due = int.from_bytes(self._want[k].at(cycle), "little")
            if mine == f"{due:0{len(mine)}b}" or cycle >= len(stream):
                continue
            self.wrong[k] += 1
            if not self.first[k]:
                undefined = not set(mine) <= {"0", "1"}
                self.first[k] = stream.describe(cycle, mine if undefined else int(mine, 2))

    def result(self) -> dict:
        """What was found, by unit, and the counts of what was covered over all of them."""
        cover = Counter()
        for stream in self.streams:
            cover.update(stream.cover)
        return {
            "cycles": self.cycles,
            "cover": dict(cover),
            "units": [
                {"products": sum(stream.entered), "wrong": wrong, "first": first}
                for stream, wrong, first in zip(self.streams, self.wrong, self.first, strict=True)
            ],
        }


class _Rows:
    """Integers as rows of ``size`` bytes; the last one again after the end."""

    def __init__(self, words: list[int], size: int, width: int = 0):
        mask = 2 ** (width or 8 * size) - 1  # results are signed
        self._size, self._last = size, size * (len(words) - 1)
        self._data = b"".join([(word & mask).to_bytes(size, "little") for word in words])

    def at(self, k: int) -> bytes:
        start = min(self._size * k, self._last)
        return self._data[start : start + self._size]
