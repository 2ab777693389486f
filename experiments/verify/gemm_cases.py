"""Layers that the bench of the GEMM tile drives: random ones, and those for a purpose."""

import itertools
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction

from macsmith.experiments.verify.array_extremes import Directions, signs_of
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.corners import drawn_zero_points
from macsmith.experiments.verify.gemm_layers import SCHEDULES
from macsmith.experiments.verify.sums import SIGNS, can_overflow, extreme
from macsmith.sim.formats import signed_width
from macsmith.sim.gemm_schedule import Channel, Schedule
from macsmith.sim.requantize import fixed_point

__all__ = ["Layers", "deepest"]


def deepest(instance: Instance) -> int:
    """Products of the longest sums that are driven; each of them fits where it has to be exact."""
    spec, options = instance.spec, instance.options
    depth = min(options["depth"], 2 * options["rows"] + 3)
    if spec.overflow == "exact":
        while spec.depth_width(depth) > spec.acc_width:
            depth -= 1
    return depth


class Layers:
    """Schedules for one tile.

    Attributes
    ----------
    instance, component, spec, numbers, rows, cols, exits
        What is driven: the tile, and what is its own.
    corrects : bool
        Whether activations have zero points.
    deepest, longest : int
        Products of the sums of most layers, and of the longest.
    enters : bool
        Whether sums enter, on which the tile's are: in weight-stationary ones.
    overflows : list of int
        Signs of the overflows that sums of output-stationary tiles are driven to.
    weight_sums, corrections : (int, int)
        Least and greatest sums of weights of the deepest layer, and their products with a zero
        point.
    """

    def __init__(self, instance: Instance, rng: random.Random) -> None:
        self.instance, self.rng = instance, rng
        self.spec, options = instance.spec, instance.options
        self.component = instance.plain()
        self.numbers = self.component.numbers
        self.rows, self.cols, self.exits = (options[name] for name in ("rows", "cols", "exits"))
        self.schedule = SCHEDULES[options["dataflow"]]
        self.corrects = bool(self.numbers.correction_width)
        self.deepest = deepest(instance)
        self.longest = min(options["depth"], instance.effort.long)
        self.reach = instance.effort.reach
        self.enters = options["dataflow"] == "weight"
        driven = not self.enters and self.spec.overflow != "exact"
        can = can_overflow(self.spec, cycles=self.reach) if driven else {}
        self.overflows = [sign for sign in can if can[sign]]
        self.weight_sums = [
            f(0, options["depth"] * level)
            for f, level in zip((min, max), self.spec.weights.level_range, strict=True)
        ]
        products = itertools.product(self.spec.activations.level_range, self.weight_sums)
        corrections = [za * total for za, total in products]
        self.corrections = min(corrections), max(corrections)

    def layer(self, tokens: int, channels: int, depth: int) -> Schedule:
        """Random codes, zero points, multipliers; shifts that bring most results into range."""
        rng, spec, numbers = self.rng, self.spec, self.numbers
        low, high = spec.activations.level_range
        size = signed_width(*spec.product_range) + depth.bit_length() - numbers.out_width
        made = []
        for _ in range(channels):
            multiplier = rng.getrandbits(numbers.multiplier_width)
            shift = size + multiplier.bit_length() + rng.randrange(-4, 2)
            made.append(
                Channel(
                    [rng.getrandbits(spec.weights.width) for _ in range(depth)],
                    multiplier,
                    max(0, min(shift, numbers.max_shift)),
                    rng.randint(*numbers.out_range),
                    rng.choice(drawn_zero_points(spec.weights))
                    if spec.weights.zero_pointed else None,
                )
            )  # fmt: skip
        codes = [
            [rng.getrandbits(spec.activations.width) for _ in range(depth)] for _ in range(tokens)
        ]
        zeros = [rng.choice((low, high, 0, rng.randint(low, high))) for _ in range(tokens)]
        zeros = zeros if self.corrects else None
        return self.schedule(spec, codes, made, self.rows, self.cols, zeros)

    @property
    def loud(self) -> tuple[int, int, int]:
        """The ``(w, a, z)`` of the product that is furthest from 0."""
        most = max(SIGNS, key=lambda sign: sign * self._level(*extreme(self.spec, sign)))
        return extreme(self.spec, most)

    def _level(self, w: int, a: int, z: int) -> int:
        return self.spec.weights.levels_at(z)[w] * self.spec.activations.levels[a]

    def scale(self, shift: int) -> range:
        """Multipliers that bring the loudest product between a half and three quarters of the
        way to the end of the range; empty where there are none."""
        end, loud = self.numbers.out_range[1] + 1, abs(self._level(*self.loud))
        low, high = (quarters * end * 2**shift // (4 * loud) for quarters in (2, 3))
        return range(low + 1, min(high + 1, 2**self.numbers.multiplier_width))

    def shifts(self) -> Schedule:
        """A channel for each shift, with the loudest product in range where that can be, and
        other ones; with random multipliers elsewhere."""
        rng, spec, numbers = self.rng, self.spec, self.numbers
        w, a, z = self.loud
        quiet = (numbers.out_range[1] + 1) // 4 - 1  # so that no result is clamped
        made = []
        for shift in range(numbers.max_shift + 1):
            fitting = self.scale(shift)
            bits = rng.randrange(1, numbers.multiplier_width + 1)
            multiplier = rng.choice(fitting) if fitting else rng.getrandbits(bits)
            zero = z if spec.weights.zero_pointed else None
            made.append(Channel([w], multiplier, shift, rng.randrange(-quiet, quiet), zero))
        width = spec.activations.width
        tokens = [[a], *([rng.getrandbits(width)] for _ in range(max(1, self.rows - 1)))]
        zeros = [0] * len(tokens) if self.corrects else None
        return self.schedule(spec, tokens, made, self.rows, self.cols, zeros)

    def corrected(self) -> Schedule:
        """Sums of weights at both ends in every column, and each power of two; zero points at both
        ends and next to 0. A channel's scale brings all of its results into range.

        Sums of weights enter beside the products, and here they are not those of its codes: so a
        correction has all the bits of the deepest layer that the tile is made for, without the
        thousands of products that such a layer has.
        """
        rng, spec, numbers = self.rng, self.spec, self.numbers
        (least, most), (low, high) = spec.activations.level_range, self.weight_sums
        powers = [sign << k for k in range(high.bit_length() + 1) for sign in SIGNS]
        sums = [low] * self.cols + [high] * self.cols + [n for n in powers if low <= n <= high]
        zeros = [za for za in (least, most, 1, -1) if least <= za <= most]
        made = []
        for total in sums:
            furthest = abs(total) * max(-least, most) + abs(self._level(*self.loud))
            scale = Fraction(3 * numbers.out_range[1], 4 * furthest)
            w, z = (rng.getrandbits(spec.weights.width), rng.choice(spec.weights.zero_points))
            zero = z if spec.weights.zero_pointed else None
            made.append(Channel([w], *fixed_point(scale, numbers), rng.choice((-2, 1)), zero))
        tokens = [[rng.getrandbits(spec.activations.width)] for _ in zeros]
        layer = self.schedule(spec, tokens, made, self.rows, self.cols, zeros)
        layer.weight_sums = sums
        return layer

    def overflowing(self, turn: int) -> tuple[Schedule, dict[tuple[int, int], int]]:
        """Extremes in all directions until each sum that can has left its range, and the sign of
        that overflow by row and column.

        Twice, with scales that put half a step between the greatest sum and the next, and between
        the least and the next; and clamped, where only a sum that wraps has that sign. No zero
        points: such a sum may have more products than a tile's `depth`, which only the sums of
        weights have to fit.
        """
        spec, there = self.spec, Directions(self.spec, self.rows, self.cols)
        row, col = turn % 2, turn // 2
        tokens, (codes, zeros) = there.codes(row), there.weights(col)
        (low, high), products, left = spec.acc_range, {}, {}
        for (r, a), (c, w) in itertools.product(enumerate(tokens), enumerate(codes)):
            products[r, c] = self._level(w, a, zeros[c])
        needed = {place: (high if x > 0 else low) // x + 1 for place, x in products.items() if x}
        left = {p: 1 if products[p] > 0 else -1 for p, n in needed.items() if n <= self.reach}
        depth = max((needed[place] for place in left), default=1)
        furthest = 2 * (4 * self.numbers.out_range[1] // 5) + 1  # halves: none is clamped
        scales = [
            fixed_point(Fraction(furthest, 2 * abs(e) - 1), self.numbers) for e in (high, low)
        ]
        if spec.overflow == "wrap" and len(signs_of(spec)) == 1:  # no other sum has that sign
            scales.append((2**self.numbers.multiplier_width - 1, 0))
        pointed = spec.weights.zero_pointed
        made = [
            Channel([w] * depth, *scale, weight_zero=z if pointed else None)
            for scale in scales
            for w, z in zip(codes, zeros, strict=True)
        ]
        still = [0] * self.rows if self.corrects else None
        layer = self.schedule(
            spec, [[a] * depth for a in tokens], made, self.rows, self.cols, still
        )
        layer.weight_sums = [0] * len(made)
        return layer, left

    def any_sums(self) -> Schedule:
        """Partial sums that enter and leave anywhere in their range, and at its ends; scales bring
        whole ones into the range of results."""
        rng, spec, numbers = self.rng, self.spec, self.numbers
        width, ends = spec.weights.width, spec.acc_range
        scale = Fraction(numbers.out_range[1], 2 * 2**spec.acc_width)

        class AnySums(self.schedule):
            """Whatever has left, other sums enter."""

            def beats(self, partial: Iterator[Sequence[int]]) -> Iterator[dict]:
                for beat in super().beats(partial):
                    any_sum = [rng.choice((*ends, *(rng.randint(*ends) for _ in range(4))))
                               for _ in range(self.cols)]  # fmt: skip
                    yield beat | {"acc": any_sum}

        made = [
            Channel(
                [rng.getrandbits(width) for _ in range(self.deepest)],
                *fixed_point(scale, numbers),
                weight_zero=spec.weights.zero_points[0] if spec.weights.zero_pointed else None,
            )
            for _ in range(self.cols)
        ]
        tokens = [
            [rng.getrandbits(spec.activations.width) for _ in range(self.deepest)]
            for _ in range(40)
        ]
        zeros = [0] * len(tokens) if self.corrects else None
        return AnySums(spec, tokens, made, self.rows, self.cols, zeros)
