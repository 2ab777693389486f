"""Weight-stationary array: its model, and the partial sums that it is driven with."""

import itertools
from typing import ClassVar

from macsmith.experiments.verify.array_extremes import signs_of
from macsmith.experiments.verify.array_models import Model, fields
from macsmith.experiments.verify.sums import SIGNS
from macsmith.sim import golden

__all__ = ["WeightModel"]


class WeightModel(Model):
    """Weight-stationary: element (r, c) keeps a weight, and partial sums pass through."""

    ports = ("load", "i")
    ready: ClassVar = {"load": (True, True), "i": (True, False)}
    kinds = ("weights for one beat", "weights for many beats")
    fresh = ()

    def start(self) -> None:
        self.loaded: list[list[tuple[int, int]]] = []
        self.rows_out: list[list[int]] = []  # of every beat, the sums that leave
        super().start()

    def load(self, *corner: int) -> None:
        """Weights of all rows: random, or corners from the given one on."""
        downwards = range(self.rows) if corner and corner[0] >= 0 else [0] * self.rows
        self.load_rows([
            self.weights(*(corner and (corner[0] + r, corner[1]))) for r in downwards
        ])  # fmt: skip

    def load_rows(self, rows: list[tuple[list[int], list[int]]]) -> None:
        """Weights and zero points of all rows, which the next beat with ``first`` switches to."""
        width, pointed = self.spec.weights.width, self.spec.weights.zero_pointed
        self.loaded = [list(zip(w, z, strict=True)) for w, z in rows]
        self.sources["load"] += [
            fields((w, width), *([(z, width)] if pointed else [])) for w, z in rows
        ]

    def beat(self, first: int, last: int, a: list[int], accs: list[int] | None = None) -> None:
        """Partial sums (random, or as given) and the products of every row on top of them."""
        spec, out = self.spec, []
        low, high = spec.acc_range
        accs = [self.rng.randint(low, high) for _ in range(self.cols)] if accs is None else accs
        self.sources["i"].append(
            fields(([first, last], 1), (a, spec.activations.width), (accs, spec.acc_width))
        )
        for c, acc in enumerate(accs):
            left = ""
            for r in range(self.rows):
                w, z = self.loaded[r][c]
                exact = acc + spec.activations.levels[a[r]] * self.w_corners.levels(z)[w]
                acc = golden.overflow(exact, spec)
                self.entered[r, c].add((w, a[r], z))
                if exact != acc:
                    left = f"element {r},{c}: {SIGNS[1 if exact > acc else -1]}"
            out.append(acc)
            self.recent |= {left} - {""}
        self.rows_out.append(out)
        self.sinks["o"].append(fields(([last], 1), (out, spec.acc_width)))

    def tile(self, beats: int) -> None:
        self.load()
        for k in range(beats):
            self.beat(int(k == 0), int(k == beats - 1), self.codes())
        self.recent.add(self.kinds[beats > 1])

    def corners(self) -> None:
        for i, z, js in self.corner_weights():
            self.load(i, z)
            for j in js:
                self.beat(int(j == js[0]), self.rng.randrange(2), self.codes(j))

    def after_reset(self) -> None:
        """Nothing: what a weight is after a reset is not said."""

    def from_reset(self, turn: int) -> None:
        """Nothing either."""

    settled = True

    @property
    def limits(self) -> list[str]:
        """Each element's overflow, with none after it in its column, if rows can stand still."""
        still = 0 in self.spec.activations.levels
        names = [SIGNS[sign] for sign in signs_of(self.spec) if still]
        return [f"element {r},{c}: {name}" for r, c in self.entered for name in names]

    def extremes(self) -> None:
        """An extreme in each row alone, on top of the last sum before the range ends; and in all
        rows, on top of both ends and of 0."""
        there, ends = self.directions, self.spec.acc_range
        for col in range(2):
            self.load_rows([there.weights(col)] * self.rows)
            for row, r in itertools.product(range(2), range(self.rows)):
                edge = [ends[there.sign(row, c, col) > 0] for c in range(self.cols)]
                self.beat(int(row == r == 0), 0, there.alone(r, row), edge)
            for row, acc in itertools.product(range(2), (*ends, 0)):
                self.beat(0, 0, there.codes(row), [acc] * self.cols)

    def random(self, k: int) -> None:
        self.tile(1 + (k * 5) % (2 * self.rows + 3))
