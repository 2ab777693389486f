"""What the models of a systolic array's two dataflows share; see `OutputModel`, `WeightModel`."""

import itertools
import random
from collections.abc import Sequence

from macsmith.experiments.verify.array_extremes import Directions
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.corners import Corners, corner_zero_points, drawn_zero_points
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.handshake import Run
from macsmith.experiments.verify.sums import join, operand_bins, operand_hits

__all__ = ["Model", "fields"]


def fields(*parts: tuple[Sequence[int], int]) -> int:
    """Numbers of so many bits each, side by side from bit 0 upwards."""
    word = at = 0
    for numbers, width in parts:
        word |= join(list(numbers), width) << at
        at += width * len(numbers)
    return word


class Model:
    """What is sent to an array since it was idle, and what is due.

    Attributes
    ----------
    ports : tuple of str
        Sources.
    ready : Ready
        Of these; bit 0 of ``i``'s payloads is ``first``.
    sources, sinks : dict of list of int
        Payloads so far.
    entered : dict of set
        By element, the ``(w, a, z)`` it has multiplied.
    events, recent : set of str
        What happened: in runs that went to their end, and since then.
    """

    def __init__(self, instance: Instance, rng: random.Random) -> None:
        self.spec, self.rng = instance.spec, rng
        self.rows, self.cols = instance.options["rows"], instance.options["cols"]
        self.most = instance.effort.exhaustive  # operands of an element to go through
        self.reach = instance.effort.reach  # beats to where a sum overflows
        self.zero_points = drawn_zero_points(self.spec.weights)
        self.w_corners, self.a_corners = Corners(self.spec.weights), Corners(self.spec.activations)
        elements = itertools.product(range(self.rows), range(self.cols))
        self.entered: dict[tuple[int, int], set] = {place: set() for place in elements}
        self.directions = Directions(self.spec, self.rows, self.cols)
        self.events: set[str] = set()
        self.recent: set[str] = set()
        self.start()

    def start(self) -> None:
        """After a reset."""
        self.recent.clear()  # it shows no more
        self.take()

    def take(self) -> Run:
        """A run of what was sent since the last one."""
        run = Run(getattr(self, "sources", {}), getattr(self, "sinks", {}))
        self.sources: dict[str, list[int]] = {port: [] for port in self.ports}
        self.sinks: dict[str, list[int]] = {"o": []}
        return run

    def seen(self) -> None:
        """What was sent since the last run comes out, and so what happened counts."""
        self.events |= self.recent

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
        lanes = [f"lane {r},{c}: {name}" for r, c in self.entered for name in names]
        return [*lanes, *self.kinds, *self.fresh, *self.limits]

    def cover(self, cover: Cover) -> None:
        for (r, c), products in self.entered.items():
            hits = operand_hits(self.spec, products)
            cover.mark(f"lane {r},{c}: {name}" for name in hits)
        cover.mark(self.events)
