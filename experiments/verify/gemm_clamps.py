"""Layers for the clamp of a GEMM tile: results that a single bit says are out of range."""

from collections.abc import Iterator, Sequence

from macsmith.experiments.verify.array_extremes import signs_of
from macsmith.experiments.verify.gemm_cases import Layers
from macsmith.experiments.verify.sums import SIGNS
from macsmith.sim.gemm_schedule import Channel, Schedule

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
    """Results next to powers of two: each as a multiplier, with and without a shift, times products
    next to 0 of either sign; and times powers of two that enter, or that are a correction."""
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
    made, sums = [], []
    for power in range(numbers.multiplier_width):
        top = 1 << power
        beside = max(1, top + rng.choice((-1, 1)))
        for multiplier, shifted in ((top, False), (top, True), (beside, True)):
            shift = rng.randrange(power + 1) if shifted else 0
            total = rng.choice((-1, 1)) << rng.randrange(max(high, -low, 1).bit_length())
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


def _quietest(levels: Sequence[int]) -> list[int]:
    """The codes of the levels next to 0, one of each sign that there is."""
    found = [
        min(
            (u for u in enumerate(levels) if sign * u[1] > 0), key=lambda u: abs(u[1]), default=None
        )
        for sign in SIGNS
    ]
    return [one[0] for one in found if one]
