"""Digit multiplier: each weight is a sum of few signed powers of two, read off its code.

Booth's digits belong to integers. A format is any table of levels, and often needs no more rows
than its integers would: dINT4's levels 0, 1, 2, 4, 6, .. 14 are sums of one of {0, 1, 2, 4} and one
of {0, 8, 16} with signs, where INT4 needs one of {0, 1, 2} and one of {0, 4, 8}. So
the special codes are one more choice in a row's multiplexer, and dINT4 costs nearly what INT4
costs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise, product

from amaranth import Signal, signed

from macsmith.hw.bits import look_up, selected
from macsmith.hw.multiplier import MULTIPLIERS, Scheme
from macsmith.sim.formats import Format

__all__ = ["Digits", "Plan", "plan"]

MOST_ROWS = 3  # beyond, Booth's fixed digits are as good and the search is long
MOST_BITS = 10  # of a level


@dataclass(frozen=True)
class Plan:
    """How levels are made of rows.

    Attributes
    ----------
    rows : tuple of tuples
        Per row the exponents e of the ``2**e`` that it may choose, ascending.
    digits : dict
        Per level and row the signed power of two that is chosen, or 0.
    """

    rows: tuple[tuple[int, ...], ...]
    digits: dict[int, tuple[int, ...]]

    @property
    def width(self) -> int:
        """Bits of a recoded weight: per row one for each choice, and the sign above them."""
        return sum(len(row) + 1 for row in self.rows)

    def word(self, level: int) -> int:
        """The recoded weight of ``level``."""
        bits = []
        for exponents, digit in zip(self.rows, self.digits[level], strict=True):
            bits += [abs(digit) == 2**e for e in exponents]
            bits.append(digit < 0)
        return sum(bit << k for k, bit in enumerate(bits))


@lru_cache(maxsize=256)
def plan(levels: frozenset[int]) -> Plan | None:
    """The cheapest plan found for a set of levels; None if MOST_ROWS rows do not make them all.

    Each row has a window of exponents; two rows may overlap. What a row does not need is taken
    from it. Fewest rows win, then fewest choices.
    """
    top = max(map(abs, levels)).bit_length()
    if top > MOST_BITS:
        return None
    for count in range(1, MOST_ROWS + 1):
        found = [_pruned(rows, levels) for rows in _windows(count, top) if _digits(rows, levels)]
        if found:
            rows = min(found, key=lambda rows: (sum(map(len, rows)), rows))
            return Plan(rows, _digits(rows, levels))
    return None


def _windows(count: int, top: int) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Rows of exponents, 0 .. top together."""
    if count == 2:
        for first, second in product(range(top + 1), range(1, top + 1)):
            if second <= first + 1:
                yield tuple(range(first + 1)), tuple(range(second, top + 1))
        return
    for cuts in combinations(range(1, top + 1), count - 1):
        yield tuple(tuple(range(a, b)) for a, b in pairwise((0, *cuts, top + 1)))


def _pruned(rows, levels):
    """``rows`` without the choices that no level needs, the largest tried first."""
    for i, row in enumerate(rows):
        for e in reversed(row):
            fewer = (*rows[:i], tuple(x for x in rows[i] if x != e), *rows[i + 1 :])
            if _digits(fewer, levels):
                rows = fewer
    return tuple(row for row in rows if row)


def _digits(rows, levels) -> dict[int, tuple[int, ...]] | None:
    """Digits of each level, as few as possible and of the level's sign if possible; or None."""
    choices = [[0, *(sign * 2**e for e in row for sign in (1, -1))] for row in rows]
    best: dict[int, tuple] = {}
    for digits in product(*choices):
        level = sum(digits)
        if level in levels:
            opposed = sum(digit * level < 0 for digit in digits)
            rank = (sum(map(bool, digits)), opposed, digits)
            best[level] = min(best.get(level, rank), rank)
    return {level: rank[-1] for level, rank in best.items()} if len(best) == len(levels) else None


def _levels(fmt: Format) -> frozenset[int]:
    """Every level, at every zero point."""
    if not fmt.zero_pointed:
        return frozenset(fmt.levels)
    fixed = {fmt.levels[c] for c in range(2**fmt.width) if c not in fmt.affine}
    return frozenset(fixed | {d << fmt.frac_bits for d in _distances(fmt)})


def _distances(fmt: Format) -> range:
    """Every ``code - z`` of the codes that move with the zero point."""
    return range(min(fmt.affine) - fmt.zero_points[-1], max(fmt.affine) + 1)


def _refuses(spec) -> str:
    fmt = spec.weights
    if fmt.level_width <= MOST_BITS + 1 and plan(_levels(fmt)):
        return ""
    return f"some levels of {fmt.name} need more than {MOST_ROWS} signed powers of two"


@MULTIPLIERS.add("digits", refuses=_refuses)
class Digits(Scheme):
    """A row for each signed power of two that the weight's level is a sum of, by table.

    ``recode`` gives per row one bit for each of its choices, the lowest power first, and a sign;
    there is no decoder before it. Zero-pointed: the table is of the distance from the zero point.
    """

    def __init__(self, spec):
        super().__init__(spec)
        self.plan = plan(_levels(spec.weights))

    def recode(self, m, w, z, name="w"):
        fmt, words = self.spec.weights, self.plan.width
        choices = Signal(words, name=f"{name}_digits")
        if not fmt.zero_pointed:
            table = [self.plan.word(level) for level in fmt.levels]
            m.d.comb += choices.eq(look_up(m, w, table, words))
            return choices

        distance = Signal(signed(fmt.width + 1), name=f"{name}_distance")
        table = [0] * 2 ** len(distance)  # negative distances from the end, as in two's complement
        for d in _distances(fmt):
            table[d] = self.plan.word(d << fmt.frac_bits)
        moving = look_up(m, distance, table, words)
        m.d.comb += [distance.eq(w - z), choices.eq(moving)]
        for code in sorted(set(range(2**fmt.width)) - fmt.affine):
            with m.If(w == code):
                m.d.comb += choices.eq(self.plan.word(fmt.levels[code]))
        return choices

    def rows(self, m, heap, weight, activation, name):
        for i, exponents in enumerate(self.plan.rows):
            *bits, negative = weight[: len(exponents) + 1]
            weight = weight[len(exponents) + 1 :]
            low, width = exponents[0], len(activation) + exponents[-1] - exponents[0]
            multiples = (activation.shift_left(e - low) for e in exponents)
            number = selected(zip(bits, multiples, strict=True), width)
            heap.add_signed(m, f"{name}_{i}", width, number, negative, low)
