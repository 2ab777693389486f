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
        if checker.all_failed:
            break

    answer = checker.result()
    answer["seconds"] = {
        "golden": prepared - started,
        "simulation": time.perf_counter() - prepared,
    }
    (folder / "result.json").write_text(json.dumps(answer))


class Checker:
    """Buses of many streams per cycle; the first wrong result of each unit."""

    def __init__(self, streams: list[Stream]):
        self.streams = streams
        self.cycles = max(map(len, streams))
        self.failures: dict[int, tuple[int, str]] = {}  # by stream: cycle, message
        self._stim = [_Rows(s.stim, s.unit.stim_bytes) for s in streams]
        self._want = [_Rows(s.want, s.unit.seen_bytes, s.unit.output.width) for s in streams]
        self._offsets = [0]
        for s in streams:
            self._offsets.append(self._offsets[-1] + s.unit.seen_bytes)

    @property
    def all_failed(self) -> bool:
        return len(self.failures) == len(self.streams)

    def stimulus(self, cycle: int) -> int:
        return int.from_bytes(b"".join([rows.at(cycle) for rows in self._stim]), "little")

    def check(self, cycle: int, bits: str) -> None:
        """Compare the result bus, given as the simulator prints it: most significant bit first."""
        want = b"".join([rows.at(cycle) for rows in self._want])
        try:
            seen = int(bits, 2).to_bytes(len(want), "little")
        except ValueError:  # an X or Z somewhere
            seen = None
        if seen == want:
            return
        for k, stream in enumerate(self.streams):
            start, end = self._offsets[k], self._offsets[k + 1]
            if k in self.failures:
                continue
            mine = bits[len(bits) - 8 * end : len(bits) - 8 * start]
            try:
                got = int(mine, 2)
            except ValueError:
                message = f"{stream.describe(cycle, 0)} (undefined bits: {mine})"
            else:
                if got == int.from_bytes(want[start:end], "little"):
                    continue
                message = stream.describe(cycle, got)
            self.failures[k] = cycle, message

    def result(self) -> dict:
        """Counts over all units; products that a unit was given after it failed do not count."""
        products, cover = 0, {}
        for k, stream in enumerate(self.streams):
            end = self.failures[k][0] if k in self.failures else len(stream)
            products += sum(stream.entered[:end])
            for name, count in stream.cover.items():
                cover[name] = cover.get(name, 0) + count
        return {
            "products": products,
            "cycles": self.cycles,
            "failures": {
                self.streams[k].unit.module: message
                for k, (_, message) in sorted(self.failures.items())
            },
            "cover": cover,
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
