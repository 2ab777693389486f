"""What each kind of unit is driven with, and what golden says it must answer.

A stream is a list of clock cycles, made in Python before the simulation: the unit's part of the
operand bus, and the result that must be seen at that cycle's rising edge.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from macsmith.experiments.verify.bench import Unit
from macsmith.sim import golden
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

__all__ = ["STIMULI", "MacModel", "Stream", "can_overflow", "make_stream", "pair_count"]

RANDOM_CYCLES = 2000
#: Products that a directed run to overflow may take; a wider accumulator is not driven to it.
OVERFLOW_CYCLES = 600
#: Operand codes and zero point together are gone through up to this many combinations.
EXHAUSTIVE = 2**20
#: Random combinations, where going through all is too much even at few zero points.
SAMPLED = 2**16


@dataclass
class Stream:
    """Cycles of one unit.

    Attributes
    ----------
    stim, want : list of int
        Per cycle the unit's part of the operand bus, and its result just before the rising edge
        that takes these operands.
    entered : list of bool
        Cycles in which a product enters: its result is what counts as checked.
    cover : Counter
        How often something worth testing happened.
    """

    unit: Unit
    stim: list[int] = field(default_factory=list)
    want: list[int] = field(default_factory=list)
    entered: list[bool] = field(default_factory=list)
    cover: Counter = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.stim)

    def describe(self, cycle: int, got: int | str) -> str:
        """Message about a wrong result in ``cycle``, with what was driven ``latency`` before.

        ``got`` is the output's bits as an integer, or as text where some are undefined.
        """
        unit, entered = self.unit, max(0, cycle - self.unit.latency)
        driven = unit.unpack(self.stim[entered])
        words = " ".join(
            f"{p.name}={driven[p.name]:#x}" if p.width > 1 else f"{p.name}={driven[p.name]}"
            for p in unit.inputs
        )
        result = golden.wrap(got, unit.output.width) if isinstance(got, int) else got
        return (
            f"{unit.module} cycle {entered}: {words}: "
            f"{unit.output.name} {result} != {self.want[cycle]}"
        )


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
    def overflowed(self) -> int:
        """+1 or -1 if the last product left the accumulator's range, upwards or downwards; or 0."""
        exact = self.base + self.group
        return (exact > self.acc) - (exact < self.acc)


def make_stream(unit: Unit) -> Stream:
    """The stream of ``unit``; the same for the same unit."""
    stream = Stream(unit)
    STIMULI[unit.kind](stream, random.Random(f"{unit.kind} {unit.module} {unit.share}"))
    return stream


def pair_count(spec: MacSpec) -> int:
    """Operand combinations that `pairs` goes through."""
    plan = _zero_point_plan(spec.weights, spec.activations.width)
    return 2 ** (spec.weights.width + spec.activations.width) * len(plan) if plan else SAMPLED


def _zero_point_plan(fmt: Format, other_bits: int) -> list[int | None]:
    """Zero points for which every code is driven; None stands for a random one each time.

    All of them where that is at most EXHAUSTIVE combinations with ``other_bits`` more bits, else
    the corners and a random one, or none at all where that is still too many.
    """
    per_zero_point = 2 ** (fmt.width + other_bits)
    corners = [0, len(fmt.zero_points) // 2, fmt.zero_points[-1], None]
    for plan in (fmt.zero_points, corners):
        if len(plan) * per_zero_point <= EXHAUSTIVE:
            return list(plan)
    return []


def _drawn_zero_points(fmt: Format) -> list[int]:
    """Zero points to draw from: 256 at most, because golden makes a table for each."""
    every = fmt.zero_points
    return [*every[:: -(-len(every) // 256)], every[-1]]


def pairs(unit: Unit, rng: random.Random) -> Iterator[tuple[int, int, int]]:
    """The unit's share of all ``(w, a, z)``; of very many, random ones."""
    spec, (i, n) = unit.spec, unit.share
    if n == 0:
        return
    plan = _zero_point_plan(spec.weights, spec.activations.width)
    drawn = _drawn_zero_points(spec.weights)
    total = pair_count(spec)
    for index in range(i * total // n, (i + 1) * total // n):
        if plan:
            rest, a = divmod(index, 2**spec.activations.width)
            k, w = divmod(rest, 2**spec.weights.width)
            z = plan[k]
        else:
            a, z = rng.getrandbits(spec.activations.width), None
            w = rng.getrandbits(spec.weights.width)
        yield w, a, rng.choice(drawn) if z is None else z


def can_overflow(spec: MacSpec) -> dict[int, bool]:
    """Whether a directed run of OVERFLOW_CYCLES products leaves the range, by sign."""
    lo, hi = spec.acc_range
    least, greatest = spec.product_range
    return {+1: OVERFLOW_CYCLES * greatest > hi, -1: OVERFLOW_CYCLES * least < lo}


@lru_cache(maxsize=256)
def _extreme(spec: MacSpec, sign: int) -> tuple[int, int, int]:
    """The ``(w, a, z)`` of the greatest (or least) product."""
    w_fmt, a_levels = spec.weights, spec.activations.levels
    best = (0, 0, 0, 0)
    for z in (w_fmt.zero_points[0], w_fmt.zero_points[-1]):
        for w, u in enumerate(w_fmt.levels_at(z)):
            for pick in (min, max):  # an extreme product has an extreme activation
                a = a_levels.index(pick(a_levels))
                best = max(best, (sign * u * a_levels[a], w, a, z))
    return best[1:]


class _MacDriver:
    """Appends cycles of a MAC to a stream, with golden's accumulator after each."""

    def __init__(self, stream: Stream, rng: random.Random):
        self.stream, self.rng = stream, rng
        self.spec = stream.unit.spec
        self.model = MacModel(self.spec)
        self.shown = [0] * stream.unit.latency  # accumulators on their way to the bench's register
        self.word = stream.unit.pack
        self.zero_points = _drawn_zero_points(self.spec.weights)

    def operands(self) -> tuple[int, int, int]:
        rng, spec = self.rng, self.spec
        w = rng.getrandbits(spec.weights.width)
        return w, rng.getrandbits(spec.activations.width), rng.choice(self.zero_points)

    def cycle(self, w: int, a: int, z: int, *, en: int = 1, clear: int = 0, rst: int = 0) -> None:
        model, stream = self.model, self.stream
        stream.stim.append(self.word(rst=rst, en=en, clear=clear, w=w, a=a, z=z))
        stream.entered.append(bool(en and not rst))
        stream.want.append(self.shown.pop(0))
        if rst:
            model.start()
            self.shown = [0] * len(self.shown)
            stream.cover["reset"] += 1
        elif en:
            if clear:
                model.start()
                stream.cover["clear"] += 1
            model.product(w, a, z)
            if model.overflowed:
                stream.cover[OVERFLOW_BINS[model.overflowed]] += 1
        else:
            stream.cover["clear without en" if clear else "stall"] += 1
        self.shown.append(model.acc)


OVERFLOW_BINS = {+1: "overflow", -1: "negative overflow"}


def mac_stimulus(stream: Stream, rng: random.Random) -> None:
    """Reset, then the given products; or all pairs, a random run, and runs to overflow."""
    drive = _MacDriver(stream, rng)
    for _ in range(2):
        drive.cycle(*drive.operands(), en=1, clear=rng.randrange(2), rst=1)
    for w, a, z, clear in stream.unit.given:
        drive.cycle(w, a, z, clear=clear)
    if not stream.unit.given:
        _mac_cases(drive)
    for _ in range(stream.unit.latency + 1):  # until the last product shows
        drive.cycle(0, 0, 0, en=0)


def _mac_cases(drive: _MacDriver) -> None:
    stream, rng = drive.stream, drive.rng
    for k, (w, a, z) in enumerate(pairs(stream.unit, rng)):
        drive.cycle(w, a, z, clear=k % 1000 == 0)
        stream.cover["pairs"] += 1
    for _ in range(RANDOM_CYCLES):
        en, clear, rst = (int(rng.random() < p) for p in (0.75, 0.08, 0.005))
        drive.cycle(*drive.operands(), en=en, clear=clear, rst=rst)
    for sign, possible in can_overflow(drive.spec).items():
        if not possible:
            continue
        for turn in range(8):
            _overflow_run(drive, sign, turn)
        if not stream.cover[OVERFLOW_BINS[sign]]:
            raise AssertionError(f"{stream.unit.module}: no {OVERFLOW_BINS[sign]} was reached")


def _overflow_run(drive: _MacDriver, sign: int, turn: int) -> None:
    """A new sum, extreme products until it has overflowed and a little beyond, then random ones.

    The sum starts with a reset or with `clear`, at any place in a group; what comes after the
    overflow shows whether the groups since then are where they should be.
    """
    for _ in range(drive.rng.randrange(1 + drive.spec.lanes)):
        drive.cycle(*drive.operands())
    extreme = _extreme(drive.spec, sign)
    drive.cycle(*extreme, clear=turn % 2, rst=1 - turn % 2)
    after = 0
    while after < 3 + turn + drive.spec.lanes:
        drive.cycle(*extreme)
        after += after > 0 or drive.model.overflowed == sign
        if drive.rng.random() < 0.1:
            drive.cycle(*drive.operands(), en=0, clear=drive.rng.randrange(2))
    back = _extreme(drive.spec, -sign)
    for _ in range(20):
        drive.cycle(*drive.rng.choice([extreme, back, drive.operands()]))


def multiplier_stimulus(stream: Stream, rng: random.Random) -> None:
    """All pairs."""
    model = MacModel(stream.unit.spec)
    for w, a, z in pairs(stream.unit, rng):
        model.start()
        _combinational(stream, model.product(w, a, z), w=w, a=a, z=z)
        stream.cover["pairs"] += 1


def decoder_stimulus(stream: Stream, rng: random.Random) -> None:
    """All codes at every zero point, or at a few of very many."""
    fmt = stream.unit.spec.weights
    plan = _zero_point_plan(fmt, 0)
    some = rng.sample(fmt.zero_points, 8) if None in plan else []
    for z in [*(z for z in plan if z is not None), *some]:
        for code, level in enumerate(fmt.levels_at(z)):
            _combinational(stream, level, code=code, z=z)
            stream.cover["codes"] += 1


def _combinational(stream: Stream, want: int, **values: int) -> None:
    stream.stim.append(stream.unit.pack(**values))
    stream.want.append(want)
    stream.entered.append(True)


STIMULI: dict[str, Callable[[Stream, random.Random], None]] = {
    "decoder": decoder_stimulus,
    "mac": mac_stimulus,
    "multiplier": multiplier_stimulus,
}
