"""Benches of the units that sum products at a fixed latency: MAC, dot product, shared multiples.

The ports tell which it is: ``w`` and ``a`` hold one code or one for each lane, ``acc`` one sum or
several. Product j of a sum takes the sum's j-th weight, and the activation and the zero point of
the same place where there is one for each.
"""

import itertools
import random
from functools import lru_cache

from macsmith.experiments.verify.corners import (
    CODE_BITS,
    Corners,
    corner_zero_points,
    drawn_zero_points,
    levels_at,
    operand_bins,
    operand_hits,
    pair_count,
    sweep,
)
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.stimulus import Stream
from macsmith.sim import golden
from macsmith.sim.spec import MacSpec

__all__ = [
    "MacModel", "can_overflow", "drive_sums", "extreme", "join", "operand_bins", "operand_hits",
]  # fmt: skip

#: Cycles that a directed run to overflow may take; a wider accumulator is not driven to it.
OVERFLOW_CYCLES = 600
STROBES = ("reset", "reset with en", "stall", "clear", "clear without en", "clear twice in a row")
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


def can_overflow(spec: MacSpec, per_cycle: int = 1) -> dict[int, bool]:
    """Whether a directed run of OVERFLOW_CYCLES cycles leaves the range, by sign."""
    lo, hi = spec.acc_range
    least, greatest = (OVERFLOW_CYCLES * per_cycle * x for x in spec.product_range)
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


class _Driver:
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
        self.serial = spec.lanes > self.per_sum  # the products of a group enter one by one
        stream.cover = Cover([] if one.given else self.bins())

    def bins(self) -> list[str]:
        bins = list(STROBES)
        if pair_count(self.spec, self.stream.instance.effort.exhaustive, 0):
            bins.append("all pairs")
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
        return can_overflow(self.spec, self.per_sum)

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
            happened = "reset"
            if en:
                hit("reset with en")
        elif en:
            happened = "clear" if clear else ""
            if clear and self.cleared:
                hit("clear twice in a row")
            self.cleared = bool(clear)
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


def drive_sums(stream: Stream, rng: random.Random) -> None:
    """Reset, then the given products; or corners, all pairs, random ones, and runs to overflow."""
    drive = _Driver(stream, rng)
    for _ in range(2):
        drive.cycle(*drive.operands(), en=1, clear=rng.randrange(2), rst=1)
    for w, a, z, clear in stream.instance.given:
        drive.cycle([w], [a], [z], clear=clear)
    if not stream.instance.given:
        _cases(drive)
    for _ in range(stream.instance.latency + 4):  # until the last product shows, in every style
        drive.cycle(*drive.all_lanes(0, 0, 0), en=0)
    drive.finish()


def _cases(drive: _Driver) -> None:
    effort, rng = drive.stream.instance.effort, drive.rng
    _corners(drive)
    _strobes(drive)
    lanes = {"w": drive.w_lanes, "a": drive.a_lanes, "z": drive.z_lanes}
    cases = sweep(drive.spec, effort.exhaustive, effort.sample, rng, **lanes)
    for k, operands in enumerate(cases):
        drive.cycle(*operands, clear=k % 1000 == 0)
    drive.stream.cover.hit("all pairs")
    for _ in range(effort.random):
        en, clear, rst = (int(rng.random() < p) for p in (0.75, 0.08, 0.01))
        drive.cycle(*drive.operands(), en=en, clear=clear, rst=rst)
    for sign, possible in drive.overflows().items():
        for turn in range(effort.runs if possible else 0):
            _overflow_run(drive, sign, turn)


def _corners(drive: _Driver) -> None:
    """Every class of weights with every class of activations, and every code, in each lane."""
    spec = drive.spec
    a_codes = Corners(spec.activations).codes()
    for z in corner_zero_points(spec.weights):
        w_codes = Corners(spec.weights).codes(z)
        for j, i in itertools.product(range(len(a_codes)), range(len(w_codes))):
            ws = [w_codes[(i + k) % len(w_codes)] for k in range(drive.w_lanes)]
            as_ = [a_codes[(j + k) % len(a_codes)] for k in range(drive.a_lanes)]
            drive.cycle(ws, as_, [z] * drive.z_lanes, clear=(i + j) % 7 == 0)
        if spec.weights.width <= CODE_BITS:
            for code in range(2**spec.weights.width):
                ws = [(code + k) % 2**spec.weights.width for k in range(drive.w_lanes)]
                drive.cycle(ws, drive.operands()[1], [z] * drive.z_lanes)


def _strobes(drive: _Driver) -> None:
    """Every combination of strobes, twice in a row, at the first and last places of a group."""
    places = {0, 1, drive.spec.lanes - 1} if drive.serial else {1}
    for place, en, clear, rst in itertools.product(sorted(places), (0, 1), (0, 1), (0, 1)):
        drive.cycle(*drive.operands(), clear=1)
        while drive.serial and drive.models[0].place != place:
            drive.cycle(*drive.operands())
        for _ in range(2):
            drive.cycle(*drive.operands(), en=en, clear=clear, rst=rst)
        for _ in range(2):
            drive.cycle(*drive.operands())


def _overflow_run(drive: _Driver, sign: int, turn: int) -> None:
    """A new sum, extreme products until it has overflowed and a little beyond, then random ones.

    The sum starts with a reset or with `clear`, at any place in a group; what comes after the
    overflow shows whether the groups since then are where they should be.
    """
    rng, forth, back = drive.rng, *(drive.all_lanes(*extreme(drive.spec, s)) for s in (sign, -sign))
    for _ in range(rng.randrange(1 + drive.spec.lanes)):
        drive.cycle(*drive.operands())
    drive.cycle(*forth, clear=turn % 2, rst=1 - turn % 2)
    after = 0
    while after < 3 + turn + drive.spec.lanes:
        drive.cycle(*forth)
        after += after > 0 or drive.models[0].overflowed == sign
        if rng.random() < 0.1:
            drive.cycle(*drive.operands(), en=0, clear=rng.randrange(2))
    for _ in range(20):
        drive.cycle(*rng.choice([forth, back, drive.operands()]))
