"""Output-stationary array: its model, and the sums that it is driven with."""

import itertools
from collections.abc import Iterable, Sequence
from typing import ClassVar

from macsmith.experiments.verify.array_extremes import (
    RESET_BIN,
    ElementSum,
    at_limit_bins,
    group_of,
    left_bin,
    signs_of,
    ways_back,
)
from macsmith.experiments.verify.array_models import Model, fields
from macsmith.experiments.verify.bench import NEAR
from macsmith.experiments.verify.sums import can_overflow, extreme

__all__ = ["OutputModel"]


class OutputModel(Model):
    """Output-stationary: element (r, c) keeps the sum of output (r, c)."""

    ports = ("i",)
    ready: ClassVar = {"i": (True, True)}
    kinds = ("one beat a sum", "a sum goes on after it went out", "many beats a sum")
    fresh = ("a sum goes on from a reset",)

    def start(self) -> None:
        self.sums = {place: ElementSum(self.spec) for place in self.entered}
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
            if last or spec.overflow != "saturate":  # what wraps is still to be seen later
                self.recent |= {f"element {r},{c}: {name}" for name in model.shown()}
        zs = [(z, spec.weights.width)] if spec.weights.zero_pointed else []
        self.sources["i"].append(
            fields(([first, last], 1), (a, spec.activations.width), (w, spec.weights.width), *zs)
        )
        if last:
            self.recent.add(self.kinds[0] if first else self.kinds[1 if self.begun == 0 else 2])
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

    @property
    def near(self) -> bool:
        """Whether every overflow that a sum is driven to takes few beats."""
        return can_overflow(self.spec) == can_overflow(self.spec, cycles=self.reach)

    @property
    def furthest(self) -> int:
        """Beats to where the slowest sum of a direction has overflowed; `bench.NEAR` at least, and
        no more than are ever driven."""
        (low, high), most = self.spec.acc_range, max(self.reach, 4 * NEAR)
        products = [x for turn in range(4) for x in self.directions.products(turn)]
        beats = ((high if x > 0 else low) // x + 1 for x in products if x)
        return max([NEAR, *(n for n in beats if n <= most)])

    @property
    def limits(self) -> list[str]:
        """What every element must have shown at the limits of its sum."""
        can = can_overflow(self.spec, cycles=self.reach)
        names = at_limit_bins(self.spec, [sign for sign in can if can[sign]], self.near)
        return [f"element {r},{c}: {name}" for r, c in self.entered for name in names]

    def extremes(self) -> None:
        """Sums in all directions, begun at every place of a group, until `limits` are hit; then all
        sums the same way, where formats are so lopsided that directions do not show each step."""
        lanes, lone = group_of(self.spec), self._ways_back()
        from_reset = {name for name in self.limits if name.endswith(RESET_BIN)}
        wanted = set(self.limits) - from_reset - {name for names in lone for name in names}
        for turn, place in itertools.product(range(4), range(lanes)):
            if not wanted <= self.events | self.recent:
                while self.beats % lanes != place:
                    self.beat(0, 0, self.codes(), *self.weights())
                self.to_the_limits((turn + place) % 4, first=1, places=range(1, lanes))

        for names, (sign, path) in lone.items():
            if not set(names) <= self.events | self.recent:
                self._all_sums(sign, path)

    def _ways_back(self) -> dict[tuple[str, ...], tuple[int, list]]:
        """Bins of all elements that `ways_back` hits, by a sign and what follows at its end."""
        wanted, found = set(self.limits), {}
        for sign in signs_of(self.spec) if group_of(self.spec) > 1 else ():
            for place, path in ways_back(self.spec, sign).items():
                bins = tuple(f"element {r},{c}: {left_bin(sign, place)}" for r, c in self.entered)
                if wanted.issuperset(bins):
                    found[bins] = sign, path
        return found

    def _all_sums(self, sign: int, path: Sequence[tuple[int, int, int]]) -> None:
        """Every sum to one end of its range, and on from there; the last group shows."""
        lanes, model = group_of(self.spec), next(iter(self.sums.values()))
        outwards, first = extreme(self.spec, sign), 1
        while first or model.overflowed != sign or self.beats % lanes:
            self._same(first, 0, *outwards)
            first = 0
        for k, step in enumerate(path, 1):
            self._same(0, int(k > len(path) - lanes), *step)

    def _same(self, first: int, last: int, w: int, a: int, z: int) -> None:
        self.beat(first, last, [a] * self.rows, [w] * self.cols, [z] * self.cols)

    def to_the_limits(self, turn: int, first: int, places: Iterable[int]) -> None:
        """Every sum to where it overflows and, if it saturates there, beats that show each step:
        whole groups outwards and back, and for each of the ``places`` in a group one that leaves
        the range there and comes back."""
        there, lanes = self.directions, group_of(self.spec)
        row, col = turn % 2, turn // 2
        forth = there.codes(row), *there.weights(col)
        row, col = there.back(row, col)
        back, half, still = ((there.codes(row, n), *there.weights(col)) for n in (2, 1, 0))
        waiting, count, most = set(self.sums), 0, self.furthest
        while (waiting and count < most) or self.beats % lanes:
            self.beat(first, 0, *forth)
            waiting -= {place for place, model in self.sums.items() if model.overflowed}
            first, count = 0, count + 1
        if self.spec.overflow == "saturate":
            for step in [forth] * lanes + [back] * lanes:
                self.beat(0, 1, *step)
            for place in places:
                for step in [forth] * lanes + [half] + [still] * (lanes - 1):
                    self.beat(0, 0, *step)
                for step in [still] * (place - 1) + [forth] + [back] * (lanes - place):
                    self.beat(0, 1, *step)
        for k in range(lanes + 2):
            step = self.rng.choice((forth, back, half, (self.codes(), *self.weights())))
            self.beat(0, int(k == lanes + 1), *step)

    def after_reset(self) -> None:
        """Sums on top of what a reset leaves: nothing, and nothing that was under way."""
        self.tile(2, go_on=True)
        self.recent.add(self.fresh[0])

    def from_reset(self, turn: int) -> None:
        """The same, to where it shows that a reset leaves no part of a group either."""
        if group_of(self.spec) > 1 and self.near and self.limits:
            self.to_the_limits(turn, first=0, places=())

    @property
    def settled(self) -> bool:
        """Whether `from_reset` has shown that of every element."""
        wanted = {name for name in self.limits if name.endswith(RESET_BIN)}
        return wanted <= self.events | self.recent

    def random(self, k: int) -> None:
        self.tile(1 + (k * 5) % (2 * self.rows + 3))
        if k % 3 == 0:
            self.tile(1 + k % 4, go_on=True)
        elif k % 3 == 1:
            self.tile(1)
