"""Sums placed where no run gets, and followed from there: the upper bits of wide accumulators.

A million random products leave a sum near 2**20, and what a netlist of 32 bits does beyond that
never shows. So the flip-flops that hold the sums are looked for in the netlist itself: one of them
is inverted after the reset, a product enters, and what the sum is then tells its weight. With them
sums are placed at both ends of the range and on both sides of every power of two, and the unit goes
on from there. Which state of its flip-flops stands for a sum is the netlist's own affair: of a
carry-save accumulator any of those that do.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.verify.array_extremes import signs_of
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.corners import drawn_zero_points
from macsmith.experiments.verify.sums import SIGNS
from macsmith.hw.clocking import clock_tree
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import Netlist
from macsmith.sim.spec import MacSpec

__all__ = [
    "Places", "end_bins", "find_places", "one_of_each", "passed", "places_in", "quiet_product",
    "targets",
]  # fmt: skip

NEAR = 2  # sums are placed within so many of the greatest steps


@dataclass(frozen=True)
class Places:
    """Which flip-flops to invert, so that sums that are 0 after a reset are something else.

    Attributes
    ----------
    spec : MacSpec
    flip_flops : int
    bits : tuple of tuple of int64 arrays
        By sum and bit, the flip-flops to invert together.
    minus : bool [sums, bits]
        Inverting them takes ``2**bit`` away from the sum.
    spare : tuple of lists of (flip-flop, number)
        By sum, others that are added to it, modulo ``2**acc_width``.
    """

    spec: MacSpec
    flip_flops: int
    bits: tuple[tuple[NDArray[np.int64], ...], ...]
    minus: NDArray[np.bool_]
    spare: tuple[list[tuple[int, int]], ...]

    def upset(self, sums: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Bits [streams, flip-flops] for sums [streams, sums]; spare ones are drawn."""
        flips = np.zeros((len(sums), self.flip_flops), np.uint8)
        mask = 2**self.spec.acc_width - 1
        powers = np.int64(1) << np.arange(self.spec.acc_width)
        for k, bits in enumerate(self.bits):
            need = sums[:, k].copy()
            for index, number in self.spare[k]:
                flips[:, index] = drawn = rng.integers(0, 2, len(sums))
                need = need - number * drawn & mask
            # Of a flip-flop that takes 2**b away: -2**b x = 2**b (1 - x) - 2**b.
            need = need + powers[self.minus[k]].sum() & mask
            for b, places in enumerate(bits):
                flips[:, places] = ((need >> b & 1) ^ self.minus[k, b])[:, None]
        return flips


def one_of_each(flip_flops: int) -> NDArray[np.uint8]:
    """Streams in which none is inverted, and each of them alone: [1 + flip-flops, flip-flops]."""
    return np.vstack([np.zeros((1, flip_flops), np.uint8), np.eye(flip_flops, dtype=np.uint8)])


def find_places(seen: NDArray[np.int64], spec: MacSpec) -> Places | None:
    """From sums [1 + flip-flops, sums], in the order of `one_of_each`; None if a bit is missing.

    Sums are integers or their codes of two's complement.

    What saturates shows no more than an end where the flip-flop of an upper bit is inverted; a
    register that is wider than its accumulator has several of these, which are one sign together.
    """
    width, clamps = spec.acc_width, spec.overflow == "saturate"
    mask = 2**width - 1
    moved, ends = seen[1:] - seen[0] & mask, [end & mask for end in spec.acc_range]
    alone = (moved != 0).sum(axis=1) == 1
    every, minus, spare = [], np.zeros((seen.shape[1], width), bool), []
    for k in range(seen.shape[1]):
        numbers, bits, left = np.where(alone, moved[:, k], 0), [], {}
        top = np.isin(seen[1:, k] & mask, ends) & (numbers != 0) & clamps
        for b in range(width):
            plus = np.flatnonzero((numbers == 1 << b) & ~top)
            less = np.flatnonzero((numbers == 2**width - (1 << b)) & ~top)
            if b == width - 1 and top.any():
                bits.append(np.flatnonzero(top))
            elif not len(plus) + len(less):
                return None
            else:
                minus[k, b] = not len(plus)
                both = list(dict.fromkeys([*plus.tolist(), *less.tolist()]))
                bits.append(np.array(both[:1]))
                left |= {index: int(numbers[index]) for index in both[1:]}
        every.append(tuple(bits))
        spare.append([] if clamps else sorted(left.items()))
    return Places(spec, moved.shape[0], tuple(every), minus, tuple(spare))


def places_in(
    netlist: Netlist,
    library: Library,
    spec: MacSpec,
    seen: Callable[[NDArray[np.uint8]], NDArray[np.int64]],
) -> Places | None:
    """`find_places` of what ``seen`` says that sums are, by flip-flops inverted [streams, ..]."""
    return find_places(seen(one_of_each(len(clock_tree(netlist, library, "clk").flip_flops))), spec)


def quiet_product(spec: MacSpec) -> tuple[int, int, int]:
    """The ``(w, a, z)`` of a product that is nearest to 0."""
    z = drawn_zero_points(spec.weights)[0]
    w = min(enumerate(spec.weights.levels_at(z)), key=lambda pair: abs(pair[1]))[0]
    a = min(enumerate(spec.activations.levels), key=lambda pair: abs(pair[1]))[0]
    return w, a, z


def targets(
    rng: np.random.Generator, spec: MacSpec, shape: tuple[int, ...], step: int
) -> NDArray[np.int64]:
    """Sums near powers of two, half of them near an end of the range; a product is ``step`` at
    most."""
    low, high = spec.acc_range
    exponent = rng.integers(0, spec.acc_width, shape)
    exponent[rng.random(shape) < 0.5] = spec.acc_width - 1
    near = rng.integers(-NEAR * step, NEAR * step, shape, endpoint=True)
    return np.clip(rng.choice((-1, 1), shape) * (np.int64(1) << exponent) + near, low, high)


def end_bins(one: Instance, names: list[str]) -> list[str]:
    """What a check of placed sums must have seen of each sum by name."""
    return [f"placed: {name}{SIGNS[sign]}" for name in names for sign in signs_of(one.spec)]


def passed(
    spec: MacSpec, names: list[str], start: NDArray, entering: NDArray, begun: NDArray[np.bool_]
) -> dict[str, int]:
    """By `end_bins`, how many streams' sums left the range there before one was begun anew.

    start     int64 [streams, sums]
    entering  int64 [streams, cycles, sums]
    begun     bool [streams, cycles]
    """
    sums = start[:, None] + np.cumsum(entering, axis=1)
    alive = ~np.logical_or.accumulate(begun, axis=1)[..., None]
    low, high = spec.acc_range
    left = {+1: (sums > high) & alive, -1: (sums < low) & alive}
    return {
        f"placed: {name}{SIGNS[sign]}": int(left[sign][..., k].any(axis=1).sum())
        for k, name in enumerate(names)
        for sign in signs_of(spec)
    }
