"""Bench of the systolic array: beats in, rows of sums out, in both dataflows."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.corners import Corners, corner_zero_points, drawn_zero_points
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.handshake import Pace, Run, StreamAgent, paces, places
from macsmith.experiments.verify.sums import (
    SIGNS,
    MacModel,
    can_overflow,
    extreme,
    join,
    operand_bins,
    operand_hits,
)
from macsmith.sim import golden

__all__ = ["OutputModel", "WeightModel", "drive_array", "fields"]


def fields(*parts: tuple[Sequence[int], int]) -> int:
    """Numbers of so many bits each, side by side from bit 0 upwards."""
    word = at = 0
    for numbers, width in parts:
        word |= join(list(numbers), width) << at
        at += width * len(numbers)
    return word


class _Model:
    """What is sent to an array since it was idle, and what is due.

    Attributes
    ----------
    sources, sinks : dict of list of int
        Payloads so far.
    entered : dict of set
        By element, the ``(w, a, z)`` it has multiplied.
    events : set of str
    """

    def __init__(self, instance: Instance, rng: random.Random) -> None:
        self.spec, self.rng = instance.spec, rng
        self.rows, self.cols = instance.options["rows"], instance.options["cols"]
        self.most = instance.effort.exhaustive  # operands of an element to go through
        self.zero_points = drawn_zero_points(self.spec.weights)
        self.w_corners, self.a_corners = Corners(self.spec.weights), Corners(self.spec.activations)
        elements = itertools.product(range(self.rows), range(self.cols))
        self.entered: dict[tuple[int, int], set] = {place: set() for place in elements}
        self.events: set[str] = set()
        self.start()

    def start(self) -> None:
        """After a reset."""
        self.take()

    def take(self) -> Run:
        """A run of what was sent since the last one."""
        run = Run(getattr(self, "sources", {}), getattr(self, "sinks", {}))
        self.sources: dict[str, list[int]] = {port: [] for port in self.ports}
        self.sinks: dict[str, list[int]] = {"o": []}
        return run

    def codes(self, corner: int | None = None) -> list[int]:
        """An activation for each row: random, or corners from the given one on."""
        fmt = self.spec.activations
        if corner is None:
            return [self.rng.getrandbits(fmt.width) for _ in range(self.rows)]
        codes = self.a_corners.codes()
        return [codes[(corner + r) % len(codes)] for r in range(self.rows)]

    def weights(self, corner: int | None = None, z: int = 0) -> tuple[list[int], list[int]]:
        """A weight and a zero point for each column: random, or corners at ``z``."""
        fmt = self.spec.weights
        if corner is None:
            zs = [self.rng.choice(self.zero_points) for _ in range(self.cols)]
            return [self.rng.getrandbits(fmt.width) for _ in range(self.cols)], zs
        codes = self.w_corners.codes(z) if corner >= 0 else range(2**fmt.width)
        return [codes[(abs(corner) + c) % len(codes)] for c in range(self.cols)], [z] * self.cols

    def corner_weights(self) -> list[tuple[int, int, range]]:
        """Arguments of `weights` with which every column has every corner and code, and of `codes`
        that go with them: all, but where that is too much one with each code that is no corner."""
        fmt, count = self.spec.weights, len(self.a_corners.codes())
        found = []
        for z in corner_zero_points(fmt):
            found += [(i, z, range(count)) for i in range(len(self.w_corners.codes(z)))]
            found += [(i, z, range(count)) for i in range(-(2**fmt.width), 0)]
        if len(found) * count > self.most:
            found = [(i, z, js if i >= 0 else js[i % count :][:1]) for i, z, js in found]
        return found

    def bins(self) -> list[str]:
        names = operand_bins(self.spec)
        return [f"lane {r},{c}: {name}" for r, c in self.entered for name in names]

    def cover(self, cover: Cover) -> None:
        for (r, c), products in self.entered.items():
            hits = operand_hits(self.spec, products)
            cover.mark(f"lane {r},{c}: {name}" for name in hits)
        cover.mark(self.events)


class OutputModel(_Model):
    """Output-stationary: element (r, c) keeps the sum of output (r, c)."""

    ports = ("i",)
    kinds = ("one beat a sum", "a sum goes on after it went out", "many beats a sum")
    fresh = ("a sum goes on from a reset",)

    def start(self) -> None:
        self.sums = {place: MacModel(self.spec) for place in self.entered}
        self.begun = self.beats = 0
        super().start()

    def beat(self, first: int, last: int, a: list[int], w: list[int], z: list[int]) -> None:
        """A product in every element; after ``last`` the rows of sums."""
        spec = self.spec
        self.beats = 1 if first else self.beats + 1
        for (r, c), model in self.sums.items():
            if first:
                model.start()
            model.product(w[c], a[r], z[c])
            self.entered[r, c].add((w[c], a[r], z[c]))
            if model.overflowed:
                self.events.add(SIGNS[model.overflowed])
        zs = [(z, spec.weights.width)] if spec.weights.zero_pointed else []
        self.sources["i"].append(
            fields(([first, last], 1), (a, spec.activations.width), (w, spec.weights.width), *zs)
        )
        if last:
            self.events.add(self.kinds[0] if first else self.kinds[1 if self.begun == 0 else 2])
            self.rows_out()
        self.begun = 0 if last else self.begun or first

    def rows_out(self) -> None:
        for r in range(self.rows):
            accs = [self.sums[r, c].acc for c in range(self.cols)]
            last = int(r == self.rows - 1)
            self.sinks["o"].append(fields(([last], 1), (accs, self.spec.acc_width)))

    def tile(self, depth: int, *, go_on: bool = False) -> None:
        """Random beats of one sum, or more of the last one."""
        for k in range(depth):
            first = int(k == 0 and not go_on)
            self.beat(first, int(k == depth - 1), self.codes(), *self.weights())

    def corners(self) -> None:
        beats = [(i, z, j) for i, z, js in self.corner_weights() for j in js]
        for k, (i, z, j) in enumerate(beats):
            first, last = k % 16 == 0, k % 16 == 15 or k == len(beats) - 1
            self.beat(int(first), int(last), self.codes(j), *self.weights(i, z))

    def overflow(self, sign: int) -> None:
        """A sum of extremes until it has left the range, and back."""
        w, a, z = extreme(self.spec, sign)
        count = 0
        while count < 4 or self.sums[0, 0].overflowed != sign:
            self.beat(int(not count), 0, [a] * self.rows, [w] * self.cols, [z] * self.cols)
            count += 1
        for k in range(6):
            self.beat(0, int(k == 5), self.codes(), *self.weights())

    def after_reset(self) -> None:
        """Sums on top of what a reset leaves: nothing, and nothing that was under way."""
        self.tile(2, go_on=True)
        self.events.add(self.fresh[0])

    def random(self, k: int) -> None:
        self.tile(1 + (k * 5) % (2 * self.rows + 3))
        if k % 3 == 0:
            self.tile(1 + k % 4, go_on=True)
        elif k % 3 == 1:
            self.tile(1)


class WeightModel(_Model):
    """Weight-stationary: element (r, c) keeps a weight, and partial sums pass through."""

    ports = ("load", "i")
    kinds = ("weights for one beat", "weights for many beats")
    fresh = ()

    def start(self) -> None:
        self.loaded: list[list[tuple[int, int]]] = []
        super().start()

    def load(self, *corner: int) -> None:
        """Weights of all rows, which the next beat with ``first`` switches to."""
        spec, self.loaded = self.spec, []
        for r in range(self.rows):
            w, z = self.weights(*(corner and (corner[0] + r * (corner[0] >= 0), corner[1])))
            self.loaded.append(list(zip(w, z, strict=True)))
            zs = [(z, spec.weights.width)] if spec.weights.zero_pointed else []
            self.sources["load"].append(fields((w, spec.weights.width), *zs))

    def beat(self, first: int, last: int, a: list[int], accs: list[int] | None = None) -> None:
        """Partial sums (random, or as given) and the products of every row on top of them."""
        spec, out = self.spec, []
        low, high = spec.acc_range
        accs = [self.rng.randint(low, high) for _ in range(self.cols)] if accs is None else accs
        self.sources["i"].append(
            fields(([first, last], 1), (a, spec.activations.width), (accs, spec.acc_width))
        )
        for c, acc in enumerate(accs):
            for r in range(self.rows):
                w, z = self.loaded[r][c]
                exact = acc + spec.activations.levels[a[r]] * self.w_corners.levels(z)[w]
                acc = golden.overflow(exact, spec)
                self.entered[r, c].add((w, a[r], z))
                if exact != acc:
                    self.events.add(SIGNS[1 if exact > acc else -1])
            out.append(acc)
        self.sinks["o"].append(fields(([last], 1), (out, spec.acc_width)))

    def tile(self, beats: int) -> None:
        self.load()
        for k in range(beats):
            self.beat(int(k == 0), int(k == beats - 1), self.codes())
        self.events.add(self.kinds[beats > 1])

    def corners(self) -> None:
        for i, z, js in self.corner_weights():
            self.load(i, z)
            for j in js:
                self.beat(int(j == js[0]), self.rng.randrange(2), self.codes(j))

    def after_reset(self) -> None:
        """Nothing: what a weight is after a reset is not said."""

    def overflow(self, sign: int) -> None:
        """Extremes on top of the last sum before the range ends."""
        w, a, z = extreme(self.spec, sign)
        self.load()
        self.loaded = [[(w, z)] * self.cols] * self.rows
        spec = self.spec
        zs = [([z] * self.cols, spec.weights.width)] if spec.weights.zero_pointed else []
        row = fields(([w] * self.cols, spec.weights.width), *zs)
        self.sources["load"][-self.rows :] = [row] * self.rows
        edge = spec.acc_range[sign > 0]
        for k, acc in enumerate((edge, 0, edge - sign)):
            self.beat(int(k == 0), 0, [a] * self.rows, [acc] * self.cols)

    def random(self, k: int) -> None:
        self.tile(1 + (k * 5) % (2 * self.rows + 3))


def drive_array(instance: Instance) -> StreamAgent:
    """Sums after a reset, corners of every element, overflow, random tiles at many paces, resets
    under way, stalls at every place."""
    rng = random.Random(f"{instance.unit} {instance.spec} {instance.inputs}")
    kind: Any = {"output": OutputModel, "weight": WeightModel}[instance.options["dataflow"]]
    model, runs = kind(instance, rng), []
    ports = (*kind.ports, "o")

    def run(pace: Pace, reset_after: int | None = None) -> None:
        taken = model.take()
        runs.append(Run(taken.sources, taken.sinks, pace, reset_after))
        if reset_after is not None:
            model.start()

    model.after_reset()
    run(Pace())
    model.corners()
    run(Pace())
    signs = can_overflow(instance.spec) if kind is OutputModel else dict.fromkeys(SIGNS, True)
    for sign, possible in signs.items():
        if possible:
            model.overflow(sign)
            run(Pace({"o": 0.7}))
    for pace in paces(rng, ports, instance.effort.runs):
        for k in range(max(6, instance.effort.random // 200)):
            model.random(k)
        run(pace)
    for k in range(4):
        model.after_reset()
        for j in range(4):
            model.random(j)
        run(Pace(dict.fromkeys(ports, 0.8)), reset_after=3 + 5 * k + rng.randrange(5))
    model.after_reset()
    cycles = 2 * (model.rows + model.cols) + 8
    for pace in places(ports, cycles):
        model.tile(2)
        model.tile(model.rows)
        run(pace)
    overflows = [SIGNS[sign] for sign, possible in signs.items() if possible]
    cover = Cover([*model.bins(), *kind.kinds, *kind.fresh, *overflows])
    model.cover(cover)
    return StreamAgent(instance, runs, cover, per_beat=model.cols)
