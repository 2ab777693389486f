"""Units that sum products at a fixed latency, as a bench drives them: MAC, dot product, shared
multiples. `sums_cases` says with what.

The ports tell which it is: ``w`` and ``a`` hold one code or one for each lane, ``acc`` one sum or
several. Product j of a sum takes the sum's j-th weight, and the activation and the zero point of
the same place where there is one for each.
"""

import random
from functools import lru_cache

from macsmith.experiments.verify.bench import NEAR
from macsmith.experiments.verify.corners import (
    drawn_zero_points,
    levels_at,
    operand_bins,
    operand_hits,
    pair_count,
)
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.stimulus import Stream
from macsmith.sim import golden
from macsmith.sim.spec import MacSpec

__all__ = [
    "Driver", "MacModel", "can_overflow", "extreme", "join", "operand_bins", "operand_hits",
]  # fmt: skip

STROBES = ("reset", "reset with en", "stall", "clear", "clear without en", "clear twice in a row")
LONG_SUM = "a long sum"
SIGNS = {+1: "overflow", -1: "negative overflow"}


class MacModel:
    """`golden.trace`, one product at a time, with a zero point per product."""

    def __init__(self, spec: MacSpec):
        self.spec = spec
        self._a_levels = spec.activations.levels
        self._w_levels: dict[int, tuple[int, ...]] = {}
        self.start()

    def start(self) -> None:
        """Begin a sum: the next product is the first of a group, on top of 0."""
        self.acc = self.base = self.group = self.count = 0

    def product(self, w: int, a: int, z: int) -> int:
        """The accumulator after one more product."""
        if self.count % self.spec.lanes == 0:
            self.base, self.group = self.acc, 0
        self.count += 1
        if z not in self._w_levels:
            self._w_levels[z] = self.spec.weights.levels_at(z)
        self.group += self._a_levels[a] * self._w_levels[z][w]
        self.acc = golden.overflow(self.base + self.group, self.spec)
        return self.acc

    @property
    def place(self) -> int:
        """Products of the group so far; 0 where the next one starts a group."""
        return self.count % self.spec.lanes

    @property
    def overflowed(self) -> int:
        """+1 or -1 if the last product left the accumulator's range, upwards or downwards; or 0."""
        exact = self.base + self.group
        return (exact > self.acc) - (exact < self.acc)


def can_overflow(spec: MacSpec, per_cycle: int = 1, cycles: int = NEAR) -> dict[int, bool]:
    """Whether a directed run of so many cycles leaves the range, by sign."""
    lo, hi = spec.acc_range
    least, greatest = (cycles * per_cycle * x for x in spec.product_range)
    return {+1: greatest > hi, -1: least < lo}


@lru_cache(maxsize=256)
def extreme(spec: MacSpec, sign: int) -> tuple[int, int, int]:
    """The ``(w, a, z)`` of the greatest (or least) product."""
    w_fmt, a_levels = spec.weights, spec.activations.levels
    best = (0, 0, 0, 0)
    for z in (w_fmt.zero_points[0], w_fmt.zero_points[-1]):
        for w, u in enumerate(levels_at(w_fmt, z)):
            for pick in (min, max):  # an extreme product has an extreme activation
                a = a_levels.index(pick(a_levels))
                best = max(best, (sign * u * a_levels[a], w, a, z))
    return best[1:]


class Driver:
    """Appends cycles to a stream, with golden's accumulators after each."""

    def __init__(self, stream: Stream, rng: random.Random):
        self.stream, self.rng, one = stream, rng, stream.instance
        self.spec = spec = one.spec
        self.w_lanes = one.widths["w"] // spec.weights.width
        self.a_lanes = one.widths["a"] // spec.activations.width
        self.z_lanes = one.widths.get("z", 0) // spec.weights.width
        self.sums = one.widths["acc"] // spec.acc_width
        self.per_sum = self.w_lanes // self.sums
        self.models = [MacModel(spec) for _ in range(self.sums)]
        self.zero_points = drawn_zero_points(spec.weights)
        self.entered: list[set] = [set() for _ in range(self.w_lanes)]
        self.cleared = False
        self.in_a_row = 0  # cycles with products of this sum
        self.serial = spec.lanes > self.per_sum  # the products of a group enter one by one
        stream.cover = Cover([] if one.given else self.bins())

    def bins(self) -> list[str]:
        bins = list(STROBES)
        if pair_count(self.spec, self.stream.instance.effort.exhaustive, 0):
            bins.append("all pairs")
        if self.stream.instance.effort.long:
            bins.append(LONG_SUM)
        if self.serial:
            bins += [f"{what} within a group" for what in ("reset", "stall", "clear")]
        for k in range(self.sums):
            bins += [self.of_sum(k, SIGNS[sign]) for sign, can in self.overflows().items() if can]
        for k in range(self.w_lanes):
            bins += [self.of_lane(k, name) for name in operand_bins(self.spec)]
        return bins

    def of_lane(self, k: int, name: str) -> str:
        return f"lane {k}: {name}" if self.w_lanes > 1 else name

    def of_sum(self, k: int, name: str) -> str:
        return f"sum {k}: {name}" if self.sums > 1 else name

    def overflows(self) -> dict[int, bool]:
        """Whether a run to overflow is driven, by sign."""
        return can_overflow(self.spec, self.per_sum, self.stream.instance.effort.reach)

    @property
    def clamped(self) -> bool:
        """Whether a sum is at an end of its range and stays there."""
        ends = self.spec.acc_range if self.spec.overflow == "saturate" else ()
        return any(model.acc in ends for model in self.models)

    def operands(self) -> tuple[list[int], list[int], list[int]]:
        """Random ones; of every eighth cycle, extremes at random places."""
        rng, spec = self.rng, self.spec
        ws = [rng.getrandbits(spec.weights.width) for _ in range(self.w_lanes)]
        as_ = [rng.getrandbits(spec.activations.width) for _ in range(self.a_lanes)]
        zs = [rng.choice(self.zero_points) for _ in range(self.z_lanes)]
        if rng.random() < 0.125:
            w, a, z = extreme(spec, rng.choice((-1, +1)))
            ws = [w if rng.random() < 0.5 else x for x in ws]
            as_ = [a if rng.random() < 0.5 else x for x in as_]
            zs = [z] * self.z_lanes
        return ws, as_, zs

    def all_lanes(self, w: int, a: int, z: int) -> tuple[list[int], list[int], list[int]]:
        return [w] * self.w_lanes, [a] * self.a_lanes, [z] * self.z_lanes

    def cycle(
        self, ws: list[int], as_: list[int], zs: list[int], *, en: int = 1, clear: int = 0,
        rst: int = 0,
    ) -> None:  # fmt: skip
        spec, hit = self.spec, self.stream.cover.hit
        within = self.serial and self.models[0].place > 0
        if rst:
            happened, self.in_a_row = "reset", 0
            if en:
                hit("reset with en")
        elif en:
            happened = "clear" if clear else ""
            if clear and self.cleared:
                hit("clear twice in a row")
            self.cleared = bool(clear)
            self.in_a_row = 1 if clear else self.in_a_row + 1
            if self.in_a_row == self.stream.instance.effort.long:
                hit(LONG_SUM)
        else:
            happened = "stall"
            if clear:
                hit("clear without en")
        if happened:
            hit(happened)
            if within:
                hit(f"{happened} within a group")
        for k, model in enumerate(self.models):
            if rst or (en and clear):
                model.start()
            if rst or not en:
                continue
            for lane in range(k * self.per_sum, (k + 1) * self.per_sum):
                z = zs[lane % len(zs)] if zs else 0
                product = ws[lane], as_[lane % self.a_lanes], z
                model.product(*product)
                self.entered[lane].add(product)
            if model.overflowed:
                hit(self.of_sum(k, SIGNS[model.overflowed]))
        one = self.stream.instance
        accs = [model.acc for model in self.models]
        self.stream.add(
            one.pack_results(acc=join(accs, spec.acc_width)),
            entered=bool(en and not rst),
            reset=bool(rst),
            rst=rst,
            en=en,
            clear=clear,
            w=join(ws, spec.weights.width),
            a=join(as_, spec.activations.width),
            z=join(zs, spec.weights.width),
        )

    def finish(self) -> None:
        for k, products in enumerate(self.entered):
            hits = operand_hits(self.spec, products)
            self.stream.cover.mark(self.of_lane(k, name) for name in hits)


def join(codes: list[int], width: int) -> int:
    """Codes side by side, the first in the lowest bits."""
    word = 0
    for k, code in enumerate(codes):
        word |= (code & (2**width - 1)) << (k * width)
    return word
