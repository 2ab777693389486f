"""Layers for the clamp of a GEMM tile: results that a single bit says are out of range."""

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence

from macsmith.experiments.verify.array_extremes import signs_of
from macsmith.experiments.verify.gemm_cases import Layers
from macsmith.experiments.verify.requantizing_bits import factors
from macsmith.experiments.verify.sums import SIGNS
from macsmith.sim.gemm_schedule import Channel, Schedule
from macsmith.sim.requantize import RequantizeSpec
from macsmith.sim.spec import MacSpec

__all__ = ["clamps", "possible_outcomes", "surely_clamped"]

OUTCOMES = {+1: "clamped above", -1: "clamped below", 0: "in between"}


def surely_clamped(total: int, channel: Channel, ends: tuple[int, int]) -> str:
    """Which of OUTCOMES a corrected sum has; it is clamped if it is so however it is rounded."""
    product, (low, high) = total * channel.multiplier, ends
    floor, ceiling = product >> channel.shift, -(-product >> channel.shift)
    return OUTCOMES[(floor + channel.zero > high) - (ceiling + channel.zero < low)]


def possible_outcomes(layers: Layers) -> list[str]:
    """Those of OUTCOMES that the formats allow.

    A corrected sum has the sign of a product, or the other one of its correction; and either where
    sums enter, or wrap.
    """
    signs = {0, *signs_of(layers.spec)}
    if layers.corrects:
        signs |= {(c < 0) - (c > 0) for c in layers.corrections}
    if layers.enters or (layers.overflows and layers.spec.overflow == "wrap"):
        signs |= SIGNS.keys()
    return [name for sign, name in OUTCOMES.items() if sign in signs]


def clamps(layers: Layers) -> Schedule:
    """Results of one bit, of two neighbours, and next to them: each as a multiplier, with and
    without a shift, times products next to 0 of either sign; and times powers of two that enter, or
    that are a correction. Then ties of negative results with one bit, or two, below them."""
    rng, spec, numbers = layers.rng, layers.spec, layers.numbers
    z = spec.weights.zero_points[0]
    rows = _quietest(spec.activations.levels)
    ways = _quietest(spec.weights.levels_at(z))
    if len(rows) == 2:  # which give products of either sign
        ways = ways[:1]
    still = min(enumerate(spec.activations.levels), key=lambda pair: abs(pair[1]))[0]
    least, most = spec.activations.level_range
    tokens = [*rows, still, still]
    zeros = [*([0] * len(rows)), max(least, -1), min(most, 1)] if layers.corrects else None
    low, high = layers.weight_sums
    most = max(high, -low, 1)
    scales = [
        (*scale, rng.choice((-1, 1)) << rng.randrange(most.bit_length()))
        for scale in _beside_powers(rng, numbers.multiplier_width)
    ]
    quiet = _quietest_product(spec, z)
    scales += _below_ties(
        numbers, lambda power: power <= high if layers.corrects else power == quiet
    )
    made, sums = [], []
    for multiplier, shift, total in layers.instance.in_turn(scales):
        for w in ways * layers.exits:  # each requantizer has all of them
            zero = z if spec.weights.zero_pointed else None
            made.append(Channel([w], multiplier, shift, rng.choice((-2, 1)), zero))
            sums.append(max(low, min(total, high)))
    kind = layers.schedule

    class Entering(kind):
        """A power of two enters with the tokens that stand still."""

        def beats(self, partial: Iterator[Sequence[int]]) -> Iterator[dict]:
            for k, beat in enumerate(super().beats(partial)):
                powers = [
                    rng.choice((-1, 1)) << rng.randrange(spec.acc_width - 1)
                    for _ in range(self.cols)
                ]
                yield beat | ({"acc": powers} if k % len(tokens) >= len(rows) else {})

    kind = Entering if layers.enters else kind
    layer = kind(spec, [[code] for code in tokens], made, layers.rows, layers.cols, zeros)
    layer.weight_sums = sums
    return layer


def _beside_powers(rng: random.Random, width: int) -> Iterator[tuple[int, int]]:
    """(multiplier, shift): one bit, two neighbours, or one bit and what is next to it."""
    for power in range(width):
        top = 1 << power
        two = 3 * top if power + 2 <= width else top
        beside = max(1, top + rng.choice((-1, 1)))
        yield from ((top, 0), (two, 0))
        yield from ((multiplier, rng.randrange(power + 1)) for multiplier in (top, two, beside))


def _below_ties(
    numbers: RequantizeSpec, there: Callable[[int], bool]
) -> Iterator[tuple[int, int, int]]:
    """(multiplier, shift, power): of -power, a power of two that is ``there``, they make -3/2, and
    one bit more, or two; see `requantizing_bits.sticky`."""
    lowest = numbers.multiplier_width if numbers.rounding == "tflite" else 0
    for more, bits in itertools.product((4, 8, 12, 16, 32), (0b1, 0b11)):
        shift = lowest + more
        for bit in range(lowest, shift - bits.bit_length()):
            found = factors(numbers, -(3 << shift - 1) + (bits << bit))
            if shift <= numbers.max_shift and found and there(-found[0]):
                yield found[1], shift, -found[0]


def _quietest_product(spec: MacSpec, z: int) -> int:
    """The least magnitude that is not 0."""
    both = spec.activations.levels, spec.weights.levels_at(z)
    return math.prod(min(abs(x) for x in levels if x) for levels in both)


def _quietest(levels: Sequence[int]) -> list[int]:
    """The codes of the levels next to 0, one of each sign that there is."""
    found = [
        min(
            (u for u in enumerate(levels) if sign * u[1] > 0), key=lambda u: abs(u[1]), default=None
        )
        for sign in SIGNS
    ]
    return [one[0] for one in found if one]
