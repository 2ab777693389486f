"""Operands worth driving: the classes of a format's codes, and all pairs or a sample of them."""

import itertools
import random
from collections.abc import Iterator
from functools import lru_cache

from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

__all__ = [
    "CODE_BITS",
    "Corners",
    "corner_zero_points",
    "drawn_zero_points",
    "levels_at",
    "operand_bins",
    "operand_hits",
    "pair_count",
    "sweep",
    "zero_point_plan",
]

#: Codes of at most this many bits are bins one by one.
CODE_BITS = 8


def corner_zero_points(fmt: Format) -> list[int]:
    """The least, the middle and the greatest zero point."""
    every = fmt.zero_points
    return sorted({every[0], every[len(every) // 2], every[-1]})


@lru_cache(maxsize=64)
def drawn_zero_points(fmt: Format) -> list[int]:
    """Zero points to draw from: 256 at most, because golden makes a table for each."""
    every = fmt.zero_points
    return sorted({*every[:: -(-len(every) // 256)], *corner_zero_points(fmt)})


@lru_cache(maxsize=2**12)
def levels_at(fmt: Format, z: int) -> tuple[int, ...]:
    return fmt.levels_at(z)


class Corners:
    """The operand classes of a format: zero, least steps, extremes, and dINT's special levels.

    ``names[level]`` are the classes of a level, over every corner zero point; ``codes(z)`` are
    codes that have one of them at ``z``, every special and every second zero among them.
    """

    def __init__(self, fmt: Format) -> None:
        self.fmt = fmt
        levels = sorted({u for z in corner_zero_points(fmt) for u in levels_at(fmt, z)})
        above, below = [u for u in levels if u > 0], [u for u in levels if u < 0]
        classes = {"0": 0 if 0 in levels else None, "max": levels[-1], "min": levels[0]}
        classes |= {"+least": above[0] if above else None, "-least": below[-1] if below else None}
        self.names: dict[int, list[str]] = {}
        self._levels: dict[int, tuple[int, ...]] = {}
        self._codes: dict[int, list[int]] = {}
        for name, level in classes.items():
            if level is not None:
                self.names.setdefault(level, []).append(name)
        if fmt.step:
            for level in (u for u in levels if u % fmt.step):
                self.names.setdefault(level, []).append(f"special {level}")

    @property
    def classes(self) -> list[str]:
        return [name for names in self.names.values() for name in names]

    def codes(self, z: int = 0) -> list[int]:
        if z not in self._codes:
            found = [c for c, level in enumerate(self.levels(z)) if level in self.names]
            self._codes[z] = found or [0]
        return self._codes[z]

    def levels(self, z: int) -> tuple[int, ...]:
        """Of every code."""
        if z not in self._levels:
            self._levels[z] = self.fmt.levels_at(z)
        return self._levels[z]

    def of(self, code: int, z: int = 0) -> list[str]:
        """Classes of a code at a zero point."""
        return self.names.get(self.levels(z)[code], [])

    def code_bins(self) -> list[str]:
        """Every code of a narrow format, the zero points, and what does not move with them."""
        fmt = self.fmt
        bins = [f"w={c:#x}" for c in range(2**fmt.width)] if fmt.width <= CODE_BITS else []
        if fmt.zero_pointed:
            zs = corner_zero_points(fmt)
            still = [c for c in range(2**fmt.width) if c not in fmt.affine]
            bins += [f"z={z:#x}" for z in zs]
            bins += [f"w={c:#x} z={z:#x}" for c in still for z in zs]
        return bins


def operand_bins(spec: MacSpec) -> list[str]:
    """Bins of one lane: each class of weights with each of activations, each weight code."""
    classes = itertools.product(Corners(spec.weights).classes, Corners(spec.activations).classes)
    return [*(f"w {w} x a {a}" for w, a in classes), *Corners(spec.weights).code_bins()]


def operand_hits(spec: MacSpec, products: set[tuple[int, int, int]]) -> set[str]:
    """Bins of `operand_bins` that these ``(w, a, z)`` hit."""
    w_corners, a_corners, hits = Corners(spec.weights), Corners(spec.activations), set()
    a_names = [a_corners.of(a) for a in range(2**spec.activations.width)]
    for w, a, z in products:
        hits |= {f"w={w:#x}", f"z={z:#x}", f"w={w:#x} z={z:#x}"}
        if a_names[a]:
            hits |= {f"w {v} x a {u}" for v in w_corners.of(w, z) for u in a_names[a]}
    return hits


def zero_point_plan(fmt: Format, other_bits: int, limit: int) -> list[int | None]:
    """Zero points for which every code is driven; None stands for a random one each time.

    All of them where that is at most ``limit`` combinations with ``other_bits`` more bits, else
    the corners and a random one, or none at all where that is still too many.
    """
    per_zero_point = 2 ** (fmt.width + other_bits)
    for plan in (list(fmt.zero_points), [*corner_zero_points(fmt), None]):
        if len(plan) * per_zero_point <= limit:
            return plan
    return []


def pair_count(spec: MacSpec, limit: int, sample: int) -> int:
    """Operand combinations that `sweep` goes through."""
    plan = zero_point_plan(spec.weights, spec.activations.width, limit)
    return 2 ** (spec.weights.width + spec.activations.width) * len(plan) if plan else sample


def sweep(
    spec: MacSpec,
    limit: int,
    sample: int,
    rng: random.Random,
    *,
    w: int = 1,
    a: int = 1,
    z: int = 1,
    in_gray: bool = False,
) -> Iterator[tuple[list[int], list[int], list[int]]]:
    """All operand combinations for each of ``w`` weights, ``a`` activations and ``z`` zero points.

    In a cycle every lane has other operands, and over all cycles each lane has had all of them; of
    more than ``limit``, ``sample`` random cycles. Weights change fastest, so that products of
    either sign follow each other in a sum; or, ``in_gray``, activations do, by one bit at a time,
    since a simulator has the fewest events so: for what has no sum.
    """
    w_codes, a_codes = 2**spec.weights.width, 2**spec.activations.width
    zero_points = drawn_zero_points(spec.weights)
    plan = zero_point_plan(spec.weights, spec.activations.width, limit)
    pairs = [(i, j) for i in range(a_codes) for j in range(w_codes)]
    if in_gray:
        pairs = [(i ^ i >> 1, j) for j in range(w_codes) for i in range(a_codes)]
    if not plan:
        for _ in range(sample):
            yield (
                [rng.randrange(w_codes) for _ in range(w)],
                [rng.randrange(a_codes) for _ in range(a)],
                [rng.choice(zero_points) for _ in range(z)],
            )
    for fixed in plan:
        for i, j in pairs:
            zs = [rng.choice(zero_points) if fixed is None else fixed for _ in range(z)]
            ws = [(j + 5 * k) % w_codes for k in range(w)]
            yield ws, [(i + 37 * k) % a_codes for k in range(a)], zs
