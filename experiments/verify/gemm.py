"""Bench of the GEMM tile: layers in, requantized results out, a part of a real layer among them."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.corners import drawn_zero_points
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.gemm_layers import SCHEDULES, played, real_layer
from macsmith.experiments.verify.handshake import Run, StreamAgent
from macsmith.experiments.verify.paces import Pace, before_reset, long_holds, paces, places
from macsmith.experiments.verify.sums import SIGNS, extreme, join
from macsmith.sim.formats import signed_width
from macsmith.sim.gemm_schedule import Channel, Schedule
from macsmith.sim.requantize import fixed_point

__all__ = ["READY", "beats_out", "deepest", "drive_gemm", "packed_beat"]

#: By dataflow. No tile is taken before its first sums are there.
READY = {
    "output": {"i": (True, True), "tile": (False, False)},
    "weight": {"load": (True, True), "i": (True, False), "tile": (False, False)},
}
OUTCOMES = ("clamped above", "clamped below", "in between")
SHAPES = ("one product", "fewer products than rows", "more products than rows",
          "tokens end within a tile", "channels end within a tile")  # fmt: skip
ENDS = ("least", "greatest")  # corrections


def deepest(instance: Instance) -> int:
    """Products of the longest sums that are driven; each of them fits where it has to be exact."""
    spec, options = instance.spec, instance.options
    depth = min(options["depth"], 2 * options["rows"] + 3)
    if spec.overflow == "exact":
        while spec.depth_width(depth) > spec.acc_width:
            depth -= 1
    return depth


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

    def __init__(self, instance: Instance, rng: random.Random) -> None:
        self.rng, self.spec, options = rng, instance.spec, instance.options
        self.component = get_unit("gemm").make(instance.spec, **options)
        self.numbers = self.component.numbers
        self.rows, self.cols, self.exits = (options[name] for name in ("rows", "cols", "exits"))
        self.schedule = SCHEDULES[options["dataflow"]]
        self.ports = READY[options["dataflow"]]
        self.corrects = bool(self.numbers.correction_width)
        self.deepest = deepest(instance)
        exact = self.spec.overflow == "exact"
        self.longest = self.deepest if exact else min(options["depth"], instance.effort.long)
        #: Sums of weights of the deepest layer, and corrections: least and greatest.
        self.weight_sums = [
            f(0, options["depth"] * level)
            for f, level in zip((min, max), self.spec.weights.level_range, strict=True)
        ]
        products = itertools.product(self.spec.activations.level_range, self.weight_sums)
        corrections = [za * total for za, total in products]
        self.corrections = min(corrections), max(corrections)
        self.events: set[str] = set()
        self.runs: list[Run] = []

    def layer(self, tokens: int, channels: int, depth: int) -> Schedule:
        """Random codes, zero points, multipliers; shifts that bring most results into range."""
        rng, spec, numbers = self.rng, self.spec, self.numbers
        low, high = spec.activations.level_range
        size = signed_width(*spec.product_range) + depth.bit_length() - numbers.out_width
        made = []
        for _ in range(channels):
            multiplier = rng.getrandbits(numbers.multiplier_width)
            shift = size + multiplier.bit_length() + rng.randrange(-4, 2)
            made.append(
                Channel(
                    [rng.getrandbits(spec.weights.width) for _ in range(depth)],
                    multiplier,
                    max(0, min(shift, numbers.max_shift)),
                    rng.randint(*numbers.out_range),
                    rng.choice(drawn_zero_points(spec.weights))
                    if spec.weights.zero_pointed else None,
                )
            )  # fmt: skip
        codes = [
            [rng.getrandbits(spec.activations.width) for _ in range(depth)] for _ in range(tokens)
        ]
        zeros = [rng.choice((low, high, 0, rng.randint(low, high))) for _ in range(tokens)]
        zeros = zeros if self.corrects else None
        return self.schedule(spec, codes, made, self.rows, self.cols, zeros)

    @property
    def loud(self) -> tuple[int, int, int]:
        """The ``(w, a, z)`` of the product that is furthest from 0."""
        most = max(SIGNS, key=lambda sign: sign * self._level(*extreme(self.spec, sign)))
        return extreme(self.spec, most)

    def _level(self, w: int, a: int, z: int) -> int:
        return self.spec.weights.levels_at(z)[w] * self.spec.activations.levels[a]

    def scale(self, shift: int) -> range:
        """Multipliers that bring the loudest product between a half and three quarters of the
        way to the end of the range; empty where there are none."""
        end, loud = self.numbers.out_range[1] + 1, abs(self._level(*self.loud))
        low, high = (quarters * end * 2**shift // (4 * loud) for quarters in (2, 3))
        return range(low + 1, min(high + 1, 2**self.numbers.multiplier_width))

    def shifts(self) -> Schedule:
        """A channel for each shift, with the loudest product in range where that can be, and
        other ones; with random multipliers elsewhere."""
        rng, spec, numbers = self.rng, self.spec, self.numbers
        w, a, z = self.loud
        quiet = (numbers.out_range[1] + 1) // 4 - 1  # so that no result is clamped
        made = []
        for shift in range(numbers.max_shift + 1):
            fitting = self.scale(shift)
            bits = rng.randrange(1, numbers.multiplier_width + 1)
            multiplier = rng.choice(fitting) if fitting else rng.getrandbits(bits)
            zero = z if spec.weights.zero_pointed else None
            made.append(Channel([w], multiplier, shift, rng.randrange(-quiet, quiet), zero))
        width = spec.activations.width
        tokens = [[a], *([rng.getrandbits(width)] for _ in range(max(1, self.rows - 1)))]
        zeros = [0] * len(tokens) if self.corrects else None
        return self.schedule(spec, tokens, made, self.rows, self.cols, zeros)

    def corrected(self) -> Schedule:
        """Sums of weights at both ends in every column, and each power of two; zero points at both
        ends and next to 0. A channel's scale brings all of its results into range.

        Sums of weights enter beside the products, and here they are not those of its codes: so a
        correction has all the bits of the deepest layer that the tile is made for, without the
        thousands of products that such a layer has.
        """
        rng, spec, numbers = self.rng, self.spec, self.numbers
        (least, most), (low, high) = spec.activations.level_range, self.weight_sums
        powers = [sign << k for k in range(high.bit_length() + 1) for sign in SIGNS]
        sums = [low] * self.cols + [high] * self.cols + [n for n in powers if low <= n <= high]
        zeros = [za for za in (least, most, 1, -1) if least <= za <= most]
        made = []
        for total in sums:
            furthest = abs(total) * max(-least, most) + abs(self._level(*self.loud))
            scale = Fraction(3 * numbers.out_range[1], 4 * furthest)
            w, z = (rng.getrandbits(spec.weights.width), rng.choice(spec.weights.zero_points))
            zero = z if spec.weights.zero_pointed else None
            made.append(Channel([w], *fixed_point(scale, numbers), rng.choice((-2, 1)), zero))
        tokens = [[rng.getrandbits(spec.activations.width)] for _ in zeros]
        layer = self.schedule(spec, tokens, made, self.rows, self.cols, zeros)
        layer.weight_sums = sums
        return layer

    def any_sums(self) -> Schedule:
        """Partial sums that enter and leave anywhere in their range, and at its ends; scales bring
        whole ones into the range of results."""
        rng, spec, numbers = self.rng, self.spec, self.numbers
        width, ends = spec.weights.width, spec.acc_range
        scale = Fraction(numbers.out_range[1], 2 * 2**spec.acc_width)

        class AnySums(self.schedule):
            """Whatever has left, other sums enter."""

            def beats(self, partial: Iterator[Sequence[int]]) -> Iterator[dict]:
                for beat in super().beats(partial):
                    any_sum = [rng.choice((*ends, *(rng.randint(*ends) for _ in range(4))))
                               for _ in range(self.cols)]  # fmt: skip
                    yield beat | {"acc": any_sum}

        made = [
            Channel(
                [rng.getrandbits(width) for _ in range(self.deepest)],
                *fixed_point(scale, numbers),
                weight_zero=spec.weights.zero_points[0] if spec.weights.zero_pointed else None,
            )
            for _ in range(self.cols)
        ]
        tokens = [
            [rng.getrandbits(spec.activations.width) for _ in range(self.deepest)]
            for _ in range(40)
        ]
        zeros = [0] * len(tokens) if self.corrects else None
        return AnySums(spec, tokens, made, self.rows, self.cols, zeros)

    def run(self, schedule: Schedule, pace: Pace, reset_after: int | None = None) -> None:
        layer = played(schedule, self.numbers)
        sources = {port: self.packed(port, beats) for port, beats in layer.sources.items()}
        sinks = {"o": beats_out(self.component, layer.found)}
        if "load" in sources:
            sinks["partial"] = self.packed("partial", layer.partial)
        self.runs.append(Run(sources, sinks, pace, reset_after))
        if reset_after is None:
            self._cover(schedule, layer.found)
            self._cover_partial(layer.partial)

    def packed(self, port: str, beats: Sequence[Mapping[str, Any]]) -> list[int]:
        return [packed_beat(self.component, port, beat) for beat in beats]

    def _cover(self, schedule: Schedule, found: list[tuple[int, int]]) -> None:
        low, high = self.numbers.out_range
        of = {low: "clamped below", high: "clamped above"}
        self.events |= {of.get(y, "in between") for _, y in found}
        for row in schedule.collect([y for _, y in found]):
            for channel, y in zip(schedule.channels, row, strict=True):
                if low < y < high and 2 * abs(y - channel.zero) > high:
                    self.events.add(_in_range(channel.shift))
        if self.corrects:
            self.events |= set(self._ends_in_range(schedule, found))
        depth, rows = schedule.depth, self.rows
        self.events |= {SHAPES[0]} if depth == 1 else set()
        self.events |= {SHAPES[1]} if depth < rows else set()
        self.events |= {SHAPES[2]} if depth > rows else set()
        self.events |= {SHAPES[3]} if len(schedule.tokens) % schedule.height else set()
        self.events |= {SHAPES[4]} if len(schedule.channels) % self.cols else set()

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
                for end, correction in zip(ENDS, self.corrections, strict=True):
                    if za * total == correction and low < y < high:
                        yield _at_end(c % self.exits, end)

    def bins(self) -> list[str]:
        """What this shape allows."""
        possible = [
            (SHAPES[0], True),
            (SHAPES[1], self.rows > 1),
            (SHAPES[2], self.deepest > self.rows),
            (SHAPES[3], self.component.exit.rows > 1),
            (SHAPES[4], self.cols > 1),
        ]
        shifts = (s for s in range(self.numbers.max_shift + 1) if self.scale(s))
        exits = range(self.exits if self.corrects else 0)
        ends = itertools.starmap(_at_end, itertools.product(exits, ENDS))
        names = (name for name, can in possible if can)
        passes = self.cols if "load" in self.ports and self.deepest > self.rows else 0
        near = itertools.starmap(_near_end, itertools.product(range(passes), ENDS))
        return [*OUTCOMES, *names, *map(_in_range, shifts), *ends, *near]


def _in_range(shift: int) -> str:
    """A bin: a result so far from its zero point that the product's upper bits are in it."""
    return f"shift {shift} into the range"


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
    bench = _Bench(instance, rng)
    rows, cols, deepest = bench.rows, bench.cols, bench.deepest
    ready = READY[instance.options["dataflow"]]
    # Where no sum needs a second pass, nothing is partial.
    sinks = ("o", "partial") if "load" in ready and deepest > rows else ("o",)
    ports = (*ready, *sinks)
    depths = [1, max(1, rows - 1), min(deepest, rows + 1), deepest]
    for k, pace in enumerate(paces(rng, tuple(ready), sinks, instance.effort.runs)):
        for depth in (depths[k % 4], depths[(k + 1) % 4]):
            size = rows + 1 + k % rows, cols + 1 + k % cols
            bench.run(bench.layer(*size, depth), pace)
        if "partial" in sinks:
            bench.run(bench.layer(rows + 1, cols, deepest), pace)
    for _ in range(2):
        bench.run(bench.shifts(), Pace())
    if bench.corrects:
        bench.run(bench.corrected(), Pace())
    if "partial" in sinks:
        bench.run(bench.any_sums(), Pace())
    if instance.effort.long and bench.longest > rows:
        bench.run(bench.layer(1, 1, bench.longest), Pace(name="a long sum"))
    cycles = 2 * (rows + cols) + rows * cols // bench.exits
    for k in range(1, 2 * cycles):  # what is under way, wherever it is, must be dropped
        layer = bench.layer(4 * rows, 2 * cols, min(rows + 1, deepest))
        bench.run(layer, before_reset(sinks, k) if k % 2 else Pace(), reset_after=k)
    for pace in long_holds(tuple(ready), sinks):
        bench.run(bench.layer(2 * rows, 2 * cols, min(rows + 1, deepest)), pace)
    for pace in places(ports, cycles):
        bench.run(bench.layer(2 * rows, cols, min(rows + 1, deepest)), pace)
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
    if "partial" not in sinks:
        never += [f"partial {what}" for what in ("waits", "is awaited", "beats in a row")]
        never += ["reset while partial waits"]
    per_beat = {"o": bench.exits, "partial": cols}
    return StreamAgent(instance, bench.runs, cover, ready, per_beat, never)
