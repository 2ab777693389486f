"""Agents of units with valid/ready streams: what is sent, what must come out, and at what pace.

Order, loss and doubling show because every beat that comes out is compared with the next one due,
also while it waits: so a payload that changes before it is taken is wrong too. After a reset, until
something enters, nothing may come out, and each source must be ready for just what it should. The
rhythm, latency and throughput in every cycle, is compared with the one that the unit promises.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.paces import Pace
from macsmith.experiments.verify.rhythm import Rhythm

__all__ = ["PATIENCE", "PAUSE", "SPARE", "Ready", "Run", "StreamAgent", "ready_bins"]

#: By source, whether it is ready while nothing has entered since a reset: for payloads with bit 0
#: low, and for those with it high.
Ready = Mapping[str, tuple[bool, bool]]

PATIENCE = 400  # cycles without a beat anywhere, after which a unit is stuck
#: Cycles after the last run in which nothing more may come, and after the others, where a beat too
#: many would be taken for the next run's first.
SPARE, PAUSE = 40, 8
REST = 4  # cycles after a reset in which nothing is offered, at most


@dataclass(frozen=True)
class Run:
    """Beats from an idle unit to an idle unit.

    Attributes
    ----------
    sources, sinks : mapping of str to sequence of int
        Payloads by port: to be sent, and due.
    pace : Pace
    reset_after : int or None
        Cycles after which a reset drops what is under way, and the run ends; else it goes on until
        all is through.
    """

    sources: Mapping[str, Sequence[int]]
    sinks: Mapping[str, Sequence[int]]
    pace: Pace = field(default_factory=Pace)
    reset_after: int | None = None


def ready_bins(ready: Ready) -> dict[str, tuple[str, str]]:
    """By source, the bins that are hit where it was seen to be as it should: see `Ready`."""
    return {
        port: tuple(f"{port} is {'' if up else 'not '}ready after a reset" for up in both)
        for port, both in ready.items()
    }


class StreamAgent:
    """Drives every stream of a unit through some runs; see `agent.Agent`.

    Parameters
    ----------
    instance : Instance
        Its streams are the ports with ``__valid``.
    runs : iterable of Run
    cover : Cover
        Of what is sent; the bins of the handshakes are added here.
    ready : Ready
        Of all sources.
    per_beat : mapping of str to int
        Results in a beat, by sink.
    rhythm : callable or None
        Makes the unit's rhythm from a reset on; None if it promises none.
    never : iterable of str
        Bins of the handshakes that this unit cannot hit.
    """

    def __init__(
        self,
        instance: Instance,
        runs: Iterable[Run],
        cover: Cover,
        ready: Ready,
        per_beat: Mapping[str, int],
        rhythm: Callable[[], Rhythm] | None,
        never: Iterable[str] = (),
    ) -> None:
        self.instance, self.cover, self.per_beat = instance, cover, per_beat
        self.runs = list(runs)
        self.sources = [p.name[:-7] for p in instance.inputs if p.name.endswith("__valid")]
        self.sinks = [p.name[:-7] for p in instance.outputs if p.name.endswith("__valid")]
        if set(ready) != set(self.sources):
            raise AssertionError(f"sources are {self.sources}, not {list(ready)}")
        self.ready, self.ready_bins = ready, ready_bins(ready)
        self.new_rhythm = rhythm
        self._rhythm = rhythm and rhythm()
        self.results = self.wrong = 0
        self.first = ""
        self._rng = random.Random(f"{instance.unit} {instance.spec}")
        for name in (name for name in self.bins() if name not in set(never)):
            cover.bins.setdefault(name, 0)
        self._index = -1
        self._reset = True  # before the first run
        self._next_run()

    def bins(self) -> list[str]:
        """What every stream must have gone through."""
        of_sources = ("waits", "pauses", "beats in a row")
        of_sinks = ("waits", "is awaited", "beats in a row")
        return [
            *(f"{port} {what}" for port in self.sources for what in of_sources),
            *(f"{port} {what}" for port in self.sinks for what in of_sinks),
            *(name for names in self.ready_bins.values() for name in names),
            *(run.pace.name for run in self.runs if run.pace.name),
            *(self.at_reset() if any(run.reset_after is not None for run in self.runs) else ()),
        ]

    def at_reset(self) -> list[str]:
        """What a reset must have met."""
        ports = (*self.sources, *self.sinks)
        return ["reset under way", *(f"reset while {port} waits" for port in ports)]

    @property
    def done(self) -> bool:
        return self._index >= len(self.runs)

    def _next_run(self) -> None:
        self._index += 1
        self._cycle = self._quiet = self._idle = 0
        self._sent = dict.fromkeys((*self.sources, *self.sinks), 0)
        self._offered = dict.fromkeys(self.sources, False)
        self._ready = dict.fromkeys(self.sinks, False)
        self._waited = dict.fromkeys(self.sinks, 0)  # cycles of the beat that is there
        self._moved = dict.fromkeys((*self.sources, *self.sinks), False)
        self._held_up: set[str] = set()  # ports that had a beat, but no cycle to move it in
        self._payload = dict.fromkeys(self.sources, 0)
        self._fresh = self._reset  # nothing has entered since then
        self._rest = self._rng.randrange(REST + 1) if self._fresh else 0
        self._reset = False

    def _end_run(self, run: Run) -> None:
        if run.pace.name and (not run.pace.needs or run.pace.needs in self._held_up):
            self.cover.hit(run.pace.name)
        self._next_run()

    def _held(self, run: Run, port: str) -> bool:
        return self._cycle in run.pace.holds.get(port, ()) or (
            self._rng.random() >= run.pace.speed.get(port, 1)
        )

    def stim(self) -> int:
        """The unit's part of the operand bus; garbage where nothing is offered."""
        if self.done:
            return 0
        run, rng, widths = self.runs[self._index], self._rng, self.instance.widths
        after = run.reset_after
        self._reset = after is not None and not self._rest and self._cycle >= after
        values = {"rst": int(self._reset)}
        for port in self.sources:
            queue, at = run.sources[port], self._sent[port]
            more = at < len(queue) and not self._rest
            if more and not self._offered[port]:
                self._offered[port] = not self._held(run, port)
                self._held_up |= set() if self._offered[port] else {port}
            values[f"{port}__valid"] = int(self._offered[port])
            values[f"{port}__payload"] = self._payload[port] = (
                queue[at] if self._offered[port] else rng.getrandbits(widths[f"{port}__payload"])
            )
        for port in self.sinks:
            least = run.pace.patient.get(port, 0)
            patient = self._waited[port] < (min(1, least) if self._sent[port] else least)
            self._ready[port] = not (patient or self._held(run, port))
            values[f"{port}__ready"] = int(self._ready[port])
        return self.instance.pack(**values)

    def see(self, bits: str) -> None:
        if self.done:
            return
        run, seen = self.runs[self._index], self.instance.split_results(bits)
        if self._reset:
            self.cover.hit("reset under way")
            waiting = [k for k in self.sources if self._offered[k] and seen[f"{k}__ready"] == "0"]
            waiting += [k for k in self.sinks if seen[f"{k}__valid"] == "1" and not self._ready[k]]
            self.cover.mark(f"reset while {port} waits" for port in waiting)
            self._rhythm = self.new_rhythm and self.new_rhythm()
            self._end_run(run)
            return
        if self._fresh:
            self._see_fresh(seen)
        promised = self._promised()
        moved = [self._source(run, port, seen) for port in self.sources]
        moved += [self._sink(run, port, seen) for port in self.sinks]
        self._see_rhythm(promised, seen)
        if self._index >= len(self.runs):  # given up
            return
        self._fresh &= not any(moved)
        if self._rest:
            self._rest -= 1
            return
        self._cycle += 1
        self._quiet = 0 if any(moved) else self._quiet + 1
        through = all(self._sent[port] == len(q) for port, q in run.sources.items())
        if through and all(self._sent[port] == len(q) for port, q in run.sinks.items()):
            self._idle += 1  # where a reset is to come, it comes, however late
            spare = SPARE if run is self.runs[-1] else PAUSE
            if self._idle > spare and run.reset_after is None:
                self._end_run(run)
        elif self._quiet > PATIENCE:
            state = ", ".join(
                f"{port} {self._sent[port]} of {len(queue)}"
                for port, queue in {**run.sources, **run.sinks}.items()
            )
            self._fail(f"stuck for {PATIENCE} cycles: {state}")
            self._index = len(self.runs)  # what follows would show the same

    def _see_fresh(self, seen: Mapping[str, str]) -> None:
        """As long as nothing has entered since a reset."""
        for port in self.sources:
            place = self._payload[port] & 1
            if seen[f"{port}__ready"] == "01"[self.ready[port][place]]:
                self.cover.hit(self.ready_bins[port][place])
            else:
                self._fail(f"{port}.ready is {seen[f'{port}__ready']} after a reset")
        for port in self.sinks:
            if seen[f"{port}__valid"] == "1":
                self._fail(f"{port} has a beat before one entered")

    def _promised(self) -> dict[str, bool]:
        """By port whether it is ready (a source that offers a beat), or has a beat (a sink)."""
        if not self._rhythm:
            return {}
        offered = {k: self._payload[k] if self._offered[k] else None for k in self.sources}
        due = self._rhythm.step(offered, self._ready)
        return {k: up for k, up in due.items() if k in self.sinks or self._offered[k]}

    def _see_rhythm(self, promised: Mapping[str, bool], seen: Mapping[str, str]) -> None:
        for port, up in promised.items():
            what = f"{port}__{'ready' if port in self.sources else 'valid'}"
            if seen[what] != "01"[up]:
                self._fail(f"{what.replace('__', '.')} is {seen[what]}, out of its rhythm")
                self._rhythm = None  # what follows would show the same

    def _source(self, run: Run, port: str, seen: Mapping[str, str]) -> bool:
        ready, hit = seen[f"{port}__ready"], self.cover.hit
        if ready not in "01":
            self._fail(f"{port}.ready is {ready}")
        moved = self._offered[port] and ready == "1"
        if moved:
            self._sent[port] += 1
            self._offered[port] = False
            if self._moved[port]:
                hit(f"{port} beats in a row")
        elif self._offered[port]:
            hit(f"{port} waits")
        elif 0 < self._sent[port] < len(run.sources[port]):
            hit(f"{port} pauses")
        self._moved[port] = moved
        return moved

    def _sink(self, run: Run, port: str, seen: Mapping[str, str]) -> bool:
        valid, payload, due = seen[f"{port}__valid"], seen[f"{port}__payload"], run.sinks[port]
        at, hit = self._sent[port], self.cover.hit
        if valid != "1":
            if valid != "0":
                self._fail(f"{port}.valid is {valid}")
            elif self._waited[port]:
                self._fail(f"{port}.valid went away before beat {at} was taken")
            elif self._ready[port] and 0 < at < len(due):
                hit(f"{port} is awaited")
            self._waited[port], self._moved[port] = 0, False
            return False
        if at >= len(due):
            self._fail(f"{port} has a beat more than the {len(due)} that are due: {payload}")
            return False
        want = f"{due[at]:0{len(payload)}b}"
        if payload != want:
            self._fail(f"{port} beat {at}: {_hex(payload)} != {_hex(want)}")
        moved = self._ready[port]
        if moved:
            self._sent[port] += 1
            self.results += self.per_beat[port]
            if self._moved[port]:
                hit(f"{port} beats in a row")
        else:
            hit(f"{port} waits")
            self._held_up.add(port)
        self._waited[port], self._moved[port] = 0 if moved else self._waited[port] + 1, moved
        return moved

    def _fail(self, what: str) -> None:
        self.wrong += 1
        self.first = self.first or (
            f"{self.instance.module} run {self._index} cycle {self._cycle}: {what}"
        )


def _hex(bits: str) -> str:
    """The payload as a number, or the bits themselves where some are undefined."""
    return f"{int(bits, 2):#x}" if set(bits) <= {"0", "1"} else bits
