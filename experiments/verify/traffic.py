"""Beats for many streams at once, played on a netlist that says itself when it takes them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.payloads import word_of
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.handshake import PATIENCE, PAUSE, SPARE, Ready, ready_bins
from macsmith.hw.gatesim_steps import Steps

__all__ = ["Player", "Queue", "Traffic", "play"]

SPAN = 32  # cycles in which a port keeps its speed
SPEEDS = (1.0, 1.0, 1.0, 0.7, 0.3)
PATIENT = 0.15  # share of spans in which a sink is ready only for what is there


@dataclass(frozen=True)
class Queue:
    """Beats of a port: of each segment ``count``, their payload's bits from bit 0 upwards.

    bits   uint8 [segments, the greatest count, bits]
    count  int64 [segments]
    """

    bits: NDArray[np.uint8]
    count: NDArray[np.int64]

    def words(self, segment: int) -> list[int]:
        """Payloads of a segment."""
        return [word_of(row) for row in self.bits[segment, : self.count[segment]]]


@dataclass(frozen=True)
class Traffic:
    """Segments: each begins after a reset, and must come out whole unless a reset ends it.

    Attributes
    ----------
    sources, sinks : mapping of str to Queue
    ready : Ready
        Of the sources.
    products, results : int64 [segments]
        Products that a segment's results are made of, and results.
    cut : int64 [segments]
        Cycles after which a reset drops what is under way; 0 is none.
    golden : callable
        (segment) -> payloads that go in and that are due, by port, by the golden model.
    in_arrays : bool
        What is due is of a model in arrays, and not golden's own.
    """

    sources: Mapping[str, Queue]
    sinks: Mapping[str, Queue]
    ready: Ready
    products: NDArray[np.int64]
    results: NDArray[np.int64]
    cut: NDArray[np.int64]
    golden: Callable[[int], Mapping[str, list[int]]]
    in_arrays: bool = True

    def require_golden(self, segments: Sequence[int]) -> None:
        """AssertionError where a segment is not what golden says, in both directions."""
        for segment in segments:
            here = {port: q.words(segment) for port, q in {**self.sources, **self.sinks}.items()}
            if not all(here.values()) or here != self.golden(segment):
                raise AssertionError("the model in arrays is not golden's")


class _Port:
    """A stream of the unit: where it is in its queue, in every stream of the simulation."""

    def __init__(self, name: str, queue: Queue, slices: Mapping[str, slice]) -> None:
        self.name, self.queue = name, queue
        self.payload = slices[f"{name}__payload"]
        self.valid = slices[f"{name}__valid"].start

    def start(self, streams: int) -> None:
        self.sent = np.zeros(streams, np.int64)
        self.held = np.zeros(streams, bool)  # offered, or waiting, and not taken

    def empty(self, where: NDArray[np.bool_]) -> None:
        self.sent[where], self.held[where] = 0, False

    def due(self, segment: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The next beat, and where there is none the last one."""
        at = np.minimum(self.sent, self.queue.bits.shape[1] - 1)
        return self.queue.bits[segment, at]


class Player:
    """What is offered, taken and compared in every cycle.

    Attributes
    ----------
    finished : bool [segments]
        Segments that came out whole.
    cycles, wrong : int
        Cycles so far; streams that were wrong in the last of them, which ends it.
    first : str
        What was wrong.
    cover : Cover
        Of the handshakes.
    """

    def __init__(self, steps: Steps, traffic: Traffic, seed: int) -> None:
        self.steps, self.traffic, self.rng = steps, traffic, np.random.default_rng(seed)
        self.sources = [_Port(n, q, steps.inputs) for n, q in traffic.sources.items()]
        self.sinks = [_Port(n, q, steps.outputs) for n, q in traffic.sinks.items()]
        for port in (*self.sources, *self.sinks):
            port.start(steps.streams)
        self.ready = {
            port.name: slices[f"{port.name}__ready"].start
            for ports, slices in ((self.sources, steps.outputs), (self.sinks, steps.inputs))
            for port in ports
        }
        self.per_stream = len(traffic.cut) // steps.streams
        self.first_of = np.arange(steps.streams) * self.per_stream
        self.place = np.zeros(steps.streams, np.int64)  # of the segment, in its stream
        self.cycle, self.quiet, self.idle = (np.zeros(steps.streams, np.int64) for _ in range(3))
        self.finished = np.zeros(len(traffic.cut), bool)
        self.cycles, self.wrong, self.first = 0, 0, ""
        names = [f"{port.name} waits" for port in (*self.sources, *self.sinks)]
        names += [f"{port.name} is awaited" for port in self.sinks]
        self.ready_bins = ready_bins(traffic.ready)
        names += [name for both in self.ready_bins.values() for name in both]
        self.fresh = np.ones(steps.streams, bool)  # nothing has entered since a reset
        names += ["reset under way"] if traffic.cut.any() else []
        self.cover = Cover(f"many: {name}" for name in names)

    @property
    def segment(self) -> NDArray[np.int64]:
        return self.first_of + self.place

    def hit(self, what: str, where: NDArray[np.bool_]) -> None:
        if count := int(where.sum()):
            self.cover.hit(f"many: {what}", count)

    def play(self) -> None:
        """Until every segment is over, or something is wrong."""
        while not self.wrong and not ((self.place == self.per_stream - 1) & self.over).all():
            if self.cycles % SPAN == 0:
                self.change_speeds()
            self.step()
            self.cycles += 1

    @property
    def over(self) -> NDArray[np.bool_]:
        """Streams whose segment is through, and stayed so."""
        last = self.place == self.per_stream - 1
        return self.idle > np.where(last, SPARE, PAUSE)

    def change_speeds(self) -> None:
        shape = self.steps.streams
        self.speed = {p.name: self.rng.choice(SPEEDS, shape) for p in (*self.sources, *self.sinks)}
        self.patient = {port.name: self.rng.random(shape) < PATIENT for port in self.sinks}

    def step(self) -> None:
        rng, segment = self.rng, self.segment
        cut, more = self.traffic.cut[segment], self.place < self.per_stream - 1
        dropped = (cut > 0) & (self.cycle >= cut) & more
        reset = dropped | (self.over & more)
        shape = self.steps.streams, max(at.stop for at in self.steps.inputs.values())
        # Garbage where nothing is offered.
        driven = rng.integers(0, 256, shape, np.uint8) & 1
        driven[:, self.steps.inputs["rst"].start] = reset
        for port in self.sources:
            port.held |= (port.sent < port.queue.count[segment]) & self.goes(port)
            driven[:, port.valid] = port.held
            driven[port.held, port.payload] = port.due(segment)[port.held]
        ready = {}
        for port in self.sinks:
            patient = self.patient[port.name] & ~port.held
            ready[port.name] = self.goes(port) & ~patient
            driven[:, self.ready[port.name]] = ready[port.name]
        shown = self.steps.step(driven)
        self.see_fresh(driven, shown, self.fresh & ~reset)
        moved = np.zeros(len(reset), bool)
        for port in self.sources:
            moved |= self.source(port, shown, ~reset)
        for port in self.sinks:
            moved |= self.sink(port, shown, ready[port.name], ~reset)
        self.advance(moved, reset, dropped)

    def see_fresh(self, driven: NDArray, shown: NDArray, where: NDArray[np.bool_]) -> None:
        """Streams in which nothing has entered since a reset."""
        for port in self.sources:
            ready, low = shown[:, self.ready[port.name]], driven[:, port.payload.start]
            for bit, up in enumerate(self.traffic.ready[port.name]):
                here = where & (low == bit)
                self.hit(self.ready_bins[port.name][bit], here & (ready == up))
                self.blame(port, f"ready is {1 - up} after a reset", here & (ready != up))
        for port in self.sinks:
            self.blame(port, "comes before one entered", where & (shown[:, port.valid] == 1))

    def goes(self, port: _Port) -> NDArray[np.bool_]:
        return self.rng.random(self.steps.streams) < self.speed[port.name]

    def source(self, port: _Port, shown: NDArray, live: NDArray) -> NDArray[np.bool_]:
        ready = shown[:, self.ready[port.name]] == 1
        taken = port.held & ready & live
        self.hit(f"{port.name} waits", port.held & ~ready & live)
        port.sent += taken
        port.held &= ~taken
        return taken

    def sink(self, port: _Port, shown: NDArray, ready: NDArray, live: NDArray) -> NDArray[np.bool_]:
        valid, count = shown[:, port.valid] == 1, port.queue.count[self.segment]
        got, want = shown[:, port.payload], port.due(self.segment)
        self.blame(port, "went away before it was taken", port.held & ~valid & live)
        self.blame(port, "is more than is due", valid & live & (port.sent >= count))
        differs = (got != want).any(axis=1) & valid & live
        if differs.any():
            k = int(differs.argmax())
            self.blame(port, f"{word_of(got[k]):#x} != {word_of(want[k]):#x}", differs)
        taken = valid & ready & live
        self.hit(f"{port.name} waits", valid & ~ready & live)
        within = (port.sent > 0) & (port.sent < count)
        self.hit(f"{port.name} is awaited", ready & ~valid & live & within)
        port.sent += taken
        port.held = valid & ~ready
        return taken

    def blame(self, port: _Port | None, what: str, where: NDArray[np.bool_]) -> None:
        """These streams are wrong."""
        if not where.any():
            return
        self.wrong += int(where.sum())
        k = int(where.argmax())
        beat = f"{port.name} beat {port.sent[k]}: " if port else ""
        self.first = self.first or (
            f"stream {k} segment {self.place[k]} cycle {self.cycle[k]}: {beat}{what}"
        )

    def advance(self, moved: NDArray, reset: NDArray, dropped: NDArray) -> None:
        segment = self.segment
        through = np.ones(len(moved), bool)
        for port in (*self.sources, *self.sinks):
            through &= port.sent == port.queue.count[segment]
        self.finished[segment[through & ~reset]] = True
        self.hit("reset under way", dropped & ~through)
        self.cycle += 1
        self.quiet = np.where(moved | through, 0, self.quiet + 1)
        self.idle = np.where(through, self.idle + 1, 0)
        self.blame(None, f"stuck for {PATIENCE} cycles", self.quiet > PATIENCE)
        for port in (*self.sources, *self.sinks):
            port.empty(reset)
        self.fresh = reset | (self.fresh & ~moved)
        self.place += reset & (self.place < self.per_stream - 1)
        for count in (self.cycle, self.quiet, self.idle):
            count[reset] = 0


def play(steps: Steps, traffic: Traffic, seed: int = 0) -> Player:
    """Play every segment at changing paces, as many of them in each stream.

    The last one of a stream is played to its end. ValueError if they do not fill the streams.
    """
    if len(traffic.cut) % steps.streams:
        raise ValueError(f"{len(traffic.cut)} segments do not fill {steps.streams} streams")
    player = Player(steps, traffic, seed)
    player.play()
    return player
