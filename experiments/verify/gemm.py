"""Bench of the GEMM tile: layers in, requantized results out, a part of a real layer among them."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.gemm_cases import Layers
from macsmith.experiments.verify.gemm_clamps import clamps, possible_outcomes, surely_clamped
from macsmith.experiments.verify.gemm_layers import played, real_layer
from macsmith.experiments.verify.handshake import Run, StreamAgent
from macsmith.experiments.verify.paces import Pace, before_reset, long_holds, paces, places
from macsmith.experiments.verify.rhythm import make_rhythm
from macsmith.experiments.verify.sums import SIGNS, join
from macsmith.sim.gemm_schedule import Schedule

__all__ = ["READY", "beats_out", "drive_gemm", "packed_beat"]

#: By dataflow. No tile is taken before its first sums are there.
READY = {
    "output": {"i": (True, True), "tile": (False, False)},
    "weight": {"load": (True, True), "i": (True, False), "tile": (False, False)},
}
SHAPES = ("one product", "fewer products than rows", "more products than rows",
          "tokens end within a tile", "channels end within a tile")  # fmt: skip
ENDS = ("least", "greatest")  # corrections


def packed_beat(component: Any, port: str, fields: Mapping[str, Any]) -> int:
    """A payload's bits, as the port's own layout says; a field is an integer or a list of them."""
    word = 0
    for name, field in getattr(component, port).payload.shape():
        parts = fields[name] if isinstance(fields[name], list) else [fields[name]]
        word |= join(parts, field.width // len(parts)) << field.offset
    return word


def beats_out(component: Any, found: Sequence[tuple[int, int]]) -> list[int]:
    """What leaves at ``o``, of `Played.found`."""
    exits = component.exits
    beats, per_tile = [], component.exit.rows * component.cols // exits
    for k in range(0, len(found), exits):
        part = found[k : k + exits]
        beat = {"last": int(k // exits % per_tile == per_tile - 1), "y": [y for _, y in part]}
        if "sum" in component.o.payload.shape().members:
            beat["sum"] = [total for total, _ in part]
        beats.append(packed_beat(component, "o", beat))
    return beats


class _Bench:
    """Layers as runs, and what they cover."""

    def __init__(self, layers: Layers) -> None:
        self.of, self.component, self.spec = layers, layers.component, layers.spec
        self.numbers, self.rows, self.cols = layers.numbers, layers.rows, layers.cols
        self.events: set[str] = set()
        self.runs: list[Run] = []

    def run(self, schedule: Schedule, pace: Pace, reset_after: int | None = None) -> None:
        layer = played(schedule, self.numbers)
        sources = {port: self.packed(port, beats) for port, beats in layer.sources.items()}
        sinks = {"o": beats_out(self.component, layer.found)}
        if "load" in sources:
            sinks["partial"] = self.packed("partial", layer.partial)
        elif self.runs and self.runs[-1].reset_after:
            sources["i"][0] &= ~1  # no ``first``: after a reset sums are 0 without it
        self.runs.append(Run(sources, sinks, pace, reset_after))
        if reset_after is None:
            self._cover(schedule, layer.found)
            self._cover_partial(layer.partial)

    def packed(self, port: str, beats: Sequence[Mapping[str, Any]]) -> list[int]:
        return [packed_beat(self.component, port, beat) for beat in beats]

    def _cover(self, schedule: Schedule, found: list[tuple[int, int]]) -> None:
        low, high = self.numbers.out_range
        totals, results = (schedule.collect(x) for x in zip(*found, strict=True))
        for row in zip(totals, results, strict=True):
            for channel, total, y in zip(schedule.channels, *row, strict=True):
                self.events.add(surely_clamped(total, channel, (low, high)))
                if low < y < high and 2 * abs(y - channel.zero) > high:
                    self.events.add(_in_range(channel.shift))
        if self.of.corrects:
            self.events |= set(self._ends_in_range(schedule, found))
        depth, rows = schedule.depth, self.rows
        self.events |= {SHAPES[0]} if depth == 1 else set()
        self.events |= {SHAPES[1]} if depth < rows else set()
        self.events |= {SHAPES[2]} if depth > rows else set()
        self.events |= {SHAPES[3]} if len(schedule.tokens) % schedule.height else set()
        self.events |= {SHAPES[4]} if len(schedule.channels) % self.cols else set()

    def overflows(self) -> None:
        """Each sum to both ends of its range, as far as that is within reach."""
        wanted = set(self._overflow_bins())
        for turn in range(4):
            if not wanted <= self.events:
                layer, left = self.of.overflowing(turn)
                self.run(layer, Pace())
                self.events |= {_overflow(place, sign) for place, sign in left.items()}

    def _overflow_bins(self) -> list[str]:
        places = list(itertools.product(range(self.rows), range(self.cols)))
        return list(itertools.starmap(_overflow, itertools.product(places, self.of.overflows)))

    def _cover_partial(self, rows: Sequence[Mapping[str, Any]]) -> None:
        low, high = self.spec.acc_range
        for row in rows:
            for c, acc in enumerate(row["acc"]):
                for end, near in zip(ENDS, (acc < low // 2, acc > high // 2), strict=True):
                    self.events |= {_near_end(c, end)} if near else set()

    def _ends_in_range(self, schedule: Schedule, found: Sequence[tuple[int, int]]) -> Iterator[str]:
        """Bins of `corrections`, by exit, that results show and do not only clamp."""
        low, high = self.numbers.out_range
        left = iter(found)
        for tile in schedule.tiles():
            for za, (c, total) in itertools.product(tile["za"], enumerate(tile["weight_sum"])):
                _, y = next(left)
                for end, correction in zip(ENDS, self.of.corrections, strict=True):
                    if za * total == correction and low < y < high:
                        yield _at_end(c % self.of.exits, end)

    def bins(self) -> list[str]:
        """What this shape allows."""
        possible = [
            (SHAPES[0], True),
            (SHAPES[1], self.rows > 1),
            (SHAPES[2], self.of.deepest > self.rows),
            (SHAPES[3], self.component.exit.rows > 1),
            (SHAPES[4], self.cols > 1),
        ]
        shifts = (s for s in range(self.numbers.max_shift + 1) if self.of.scale(s))
        exits = range(self.of.exits if self.of.corrects else 0)
        ends = itertools.starmap(_at_end, itertools.product(exits, ENDS))
        names = (name for name, can in possible if can)
        passes = (
            self.cols if self.component.dataflow == "weight" and self.of.deepest > self.rows else 0
        )
        near = itertools.starmap(_near_end, itertools.product(range(passes), ENDS))
        far = self._overflow_bins()
        outcomes = possible_outcomes(self.of)
        return [*outcomes, *names, *map(_in_range, shifts), *ends, *near, *far]


def _in_range(shift: int) -> str:
    """A bin: a result so far from its zero point that the product's upper bits are in it."""
    return f"shift {shift} into the range"


def _overflow(place: tuple[int, int], sign: int) -> str:
    """A bin: a sum that left its range."""
    return f"sum {place[0]},{place[1]}: {SIGNS[sign]}"


def _near_end(c: int, end: str) -> str:
    """A bin: a partial sum in the outer quarter of its range."""
    return f"column {c}: a partial sum near the {end}"


def _at_end(k: int, end: str) -> str:
    """A bin: the correction of an exit, at an end of its range."""
    return f"exit {k}: the {end} correction"


def drive_gemm(instance: Instance) -> StreamAgent:
    """Layers of many sizes at many paces, every shift, corrections at their ends, resets, stalls at
    every place and long ones, and a real layer, or some of its channels."""
    rng = random.Random(f"{instance.unit} {instance.spec} {instance.inputs}")
    layers = Layers(instance, rng)
    bench, rows, cols, deepest = _Bench(layers), layers.rows, layers.cols, layers.deepest
    ready = READY[instance.options["dataflow"]]
    # Where no sum needs a second pass, nothing is partial.
    sinks = ("o", "partial") if "load" in ready and deepest > rows else ("o",)
    ports = (*ready, *sinks)
    depths = [1, min(deepest, max(1, rows - 1)), min(deepest, rows + 1), deepest]
    for k, pace in enumerate(paces(rng, tuple(ready), sinks, instance.effort.runs)):
        for depth in (depths[k % 4], depths[(k + 1) % 4]):
            size = rows + 1 + k % rows, cols + 1 + k % cols
            bench.run(layers.layer(*size, depth), pace)
        if "partial" in sinks:
            bench.run(layers.layer(rows + 1, cols, deepest), pace)
    for pace in (Pace(), Pace({"o": 0.4})):  # what waits with a result must stay whole, too
        bench.run(layers.shifts(), pace)
        bench.run(clamps(layers), pace)
        if layers.corrects:
            bench.run(layers.corrected(), pace)
    if "load" in ready:
        bench.run(layers.any_sums(), Pace())
    bench.overflows()
    if instance.effort.long and layers.longest > rows:
        bench.run(layers.layer(1, 1, layers.longest), Pace(name="a long sum"))
    cycles = 2 * (rows + cols) + rows * cols // layers.exits
    tokens, depth = 4 * rows, min(rows + 1, deepest)
    # Results come once all tokens have passed with all but the last of the weights.
    late = (-(-depth // rows) - 1) * tokens if "load" in ready else 0
    late += bench.component.exit.latency
    # What is under way, wherever it is, must be dropped.
    last = 2 * cycles + late
    for k in instance.in_turn(range(1, last)):
        layer = layers.layer(tokens, 2 * cols, depth)
        for pace in (before_reset(sinks, k), Pace()):
            bench.run(layer, pace, reset_after=k)
    for held in dict.fromkeys([tuple(sinks), ("o",)]):  # nothing reaches o while partial waits
        pace = Pace(holds=dict.fromkeys(held, range(last + 1)))  # until every port waits
        bench.run(layers.layer(tokens, 3 * cols, depth), pace, reset_after=last)
    for pace in long_holds(tuple(ready), sinks):
        if pace.patient:  # right after a reset
            bench.run(layers.layer(rows, cols, 1), Pace(), reset_after=2)
        bench.run(layers.layer(2 * rows, 2 * cols, min(rows + 1, deepest)), pace)
    for pace in instance.in_turn(places(ports, cycles)):
        bench.run(layers.layer(2 * rows, cols, min(rows + 1, deepest)), pace)
    cover = Cover(bench.bins())
    cover.mark(bench.events)
    schedule, what = real_layer(bench.component, instance.effort.whole_layer)
    if schedule is None:
        cover.hit(what)
    else:
        bench.run(schedule, Pace(name=what))
    # A tile's results take more than a cycle to leave, and only then is the next one taken; the
    # weights of a single row are one beat, and the next waits until they are in use.
    never = ["tile beats in a row", *(["load beats in a row"] if rows == 1 else [])]
    if deepest == 1:  # rows leave for longer than a product takes
        never += ["i beats in a row"]
    if "partial" not in sinks:
        never += [f"partial {what}" for what in ("waits", "is awaited", "beats in a row")]
        never += ["reset while partial waits"]
    per_beat = {"o": layers.exits, "partial": cols}
    rhythm = partial(make_rhythm, bench.component)
    return StreamAgent(instance, bench.runs, cover, ready, per_beat, rhythm, never)
