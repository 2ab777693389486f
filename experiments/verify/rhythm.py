"""When streams may move: the latency and throughput that `SystolicArray` and `Gemm` promise.

A `Rhythm` follows a unit from its handshakes alone and says in every cycle which sinks have a beat
and which sources are ready, so that a cycle lost anywhere, or one too early, is seen.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from macsmith.hw.array import SystolicArray
from macsmith.hw.gemm import Gemm

__all__ = ["Rhythm", "make_rhythm", "moments_at_full_speed"]


class Rhythm(Protocol):
    """A unit's handshakes, cycle by cycle from a reset on."""

    def step(self, offered: Mapping[str, int | None], taken: Mapping[str, bool]) -> dict[str, bool]:
        """What must be seen in a cycle, whose rising edge then passes.

        ``offered`` has by source the payload at ``valid``, or None; ``taken`` by sink ``ready``.
        Returned are by source ``ready``, where a beat is offered, and by sink ``valid``.
        """
        ...


class _Array:
    """The array alone. Time stands still where it does: ``now`` counts the cycles in which it
    moves, and ``rows`` has, of each row under way, when it is at the exit and its ``last``."""

    def __init__(self, array: SystolicArray) -> None:
        self.keeps = array.dataflow == "output"
        self.height, self.latency = array.rows, array.latency
        self.passing = array.rows + array.cols - 1  # of a switch of weights
        self.now = self.free = self.loaded = 0  # free: when a last, or a load, is taken again
        self.rows: deque[tuple[int, bool]] = deque()

    @property
    def row(self) -> bool | None:
        """``last`` of the row that is at the exit; None if none is."""
        return self.rows[0][1] if self.rows and self.rows[0][0] == self.now else None

    def step(self, offered: Mapping[str, int | None], leaves: bool) -> dict[str, bool]:
        """Which sources are ready, if the row that is at the exit ``leaves`` in this cycle."""
        moves = self.row is None or leaves
        beat = offered["i"]
        first, last = (bool((beat or 0) >> k & 1) for k in range(2))
        if self.keeps:
            ready = {"i": moves and not (last and self.now < self.free)}
        else:
            full = self.loaded == self.height
            ready = {"i": moves and (full or not first)}
            ready["load"] = not full and self.now >= self.free
            if ready["load"] and offered["load"] is not None:
                self.loaded += 1
        entered = beat is not None and ready["i"]
        if entered and self.keeps and last:
            self.free = self.now + self.height
            due = self.now + self.latency
            self.rows += [(due + r, r == self.height - 1) for r in range(self.height)]
        elif entered and not self.keeps:
            self.rows.append((self.now + self.latency, last))
            if first:
                self.free, self.loaded = self.now + self.passing, 0
        if moves:
            if self.row is not None:
                self.rows.popleft()
            self.now += 1
        return ready


class _ArrayRhythm:
    def __init__(self, array: SystolicArray) -> None:
        self.array = _Array(array)

    def step(self, offered: Mapping[str, int | None], taken: Mapping[str, bool]) -> dict[str, bool]:
        there = self.array.row is not None
        return {"o": there, **self.array.step(offered, taken["o"])}


class _GemmRhythm:
    """The array, and an exit that stands still on its own while ``o`` waits."""

    def __init__(self, gemm: Gemm) -> None:
        self.array = _Array(gemm.array)
        self.steps, self.latency = gemm.cols // gemm.exits, gemm.exit.latency
        self.now = self.at = 0  # at: the step of the row that is at the exit
        self.results: deque[int] = deque()  # when they are at o

    def step(self, offered: Mapping[str, int | None], taken: Mapping[str, bool]) -> dict[str, bool]:
        row, keeps = self.array.row, self.array.keeps
        there = bool(self.results) and self.results[0] == self.now
        moves = not there or taken["o"]
        enters = row is not None and (keeps or row) and offered["tile"] is not None
        done = moves and enters and self.at == self.steps - 1
        seen = {"o": there, "tile": done and bool(row)}
        leaves = done
        if not keeps:
            seen["partial"] = row is False
            leaves = taken["partial"] if row is False else done
        if moves:
            if there:
                self.results.popleft()
            if enters:
                self.results.append(self.now + self.latency)
                self.at = (self.at + 1) % self.steps
            self.now += 1
        return {**seen, **self.array.step(offered, leaves)}


def make_rhythm(component: Any) -> Rhythm:
    """That of a unit with streams, which a reset has just left."""
    return {SystolicArray: _ArrayRhythm, Gemm: _GemmRhythm}[type(component)](component)


def moments_at_full_speed(
    rhythm: Rhythm, sources: Mapping[str, Sequence[int]], sinks: Mapping[str, int]
) -> int:
    """The cycles in which beats move, added up, if each is offered and taken as soon as may be.

    The first cycle is 1. ``sources`` are payloads by port, ``sinks`` the number of beats due.
    AssertionError if the unit stops before all is through.
    """
    left = {port: deque(queue) for port, queue in sources.items()}
    due, total, cycle, moved_last = dict(sinks), 0, 0, 0
    while any(left.values()) or any(due.values()):
        offered = {port: queue[0] if queue else None for port, queue in left.items()}
        seen = rhythm.step(offered, dict.fromkeys(due, True))
        cycle += 1
        for port, queue in left.items():
            if queue and seen[port]:
                queue.popleft()
                total, moved_last = total + cycle, cycle
        for port in due:
            if seen[port]:
                due[port] -= 1
                total, moved_last = total + cycle, cycle
        if cycle - moved_last > 10_000 or min(due.values()) < 0:
            raise AssertionError(f"at full speed the unit stops in cycle {cycle}")
    return total
