"""How levels are sums of a few signed powers of two: the cheapest rows for a set of levels."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import combinations, product
from operator import or_

__all__ = ["MOST_BITS", "MOST_ROWS", "Plan", "Row", "plan"]

MOST_ROWS = 3  # beyond, Booth's fixed digits are as good and the search is long
MOST_BITS = 10  # of a level
_MOST_CHOICES = 4  # of a row; more cost more than another row
_SMALL = 4  # bits of levels up to which choices with signs of their own are searched
#: What a bit of a row costs, in tenths of a choice's gate, as areas on ASAP7: a choice, the sign of
#: a row, the full adder that adds the bit. Other libraries are near: only the order matters.
_CHOICE, _SIGN, _ADDER = 10, 24, 37
_BITS = 8  # of the activation


@dataclass(frozen=True, order=True)
class Row:
    """Numbers of which a level takes one or none.

    Attributes
    ----------
    choices : tuple of int
        Powers of two, ascending; of either sign, unless ``signed``.
    signed : bool
        Whether a sign is chosen besides, for all choices alike.
    """

    choices: tuple[int, ...]
    signed: bool

    @property
    def width(self) -> int:
        """Bits of a digit: one for each choice, and the sign above them."""
        return len(self.choices) + self.signed

    @property
    def low(self) -> int:
        """The least exponent."""
        return min(_exponent(choice) for choice in self.choices)

    @property
    def digits(self) -> tuple[int, ...]:
        """Every value of the row, 0 first."""
        return 0, *self.choices, *(-choice for choice in self.choices if self.signed)

    @property
    def cost(self) -> int:
        """Of choosing and adding, with activations of a usual width; in tenths of a gate."""
        exponents = sorted(map(_exponent, self.choices))
        subtracts = self.signed or min(self.choices) < 0
        cost = _ADDER if subtracts else 0
        for place in range(exponents[0], exponents[-1] + _BITS):
            reaching = sum(e <= place for e in exponents)
            cost += _ADDER + _CHOICE * reaching + (_SIGN if self.signed else 0)
        return cost

    def code(self, digit: int) -> int:
        """The bits of a digit."""
        if not self.signed:
            return sum((choice == digit) << k for k, choice in enumerate(self.choices))
        chosen = sum((choice == abs(digit)) << k for k, choice in enumerate(self.choices))
        return chosen | (digit < 0) << len(self.choices)


@dataclass(frozen=True)
class Plan:
    """How levels are made of rows.

    Attributes
    ----------
    rows : tuple of Row
    digits : dict
        Per level and row the signed power of two that is chosen, or 0.
    """

    rows: tuple[Row, ...]
    digits: dict[int, tuple[int, ...]]

    @property
    def width(self) -> int:
        """Bits of a recoded weight."""
        return sum(row.width for row in self.rows)

    def word(self, level: int) -> int:
        """The recoded weight of ``level``, the first row in the lowest bits."""
        word = at = 0
        for row, digit in zip(self.rows, self.digits[level], strict=True):
            word |= row.code(digit) << at
            at += row.width
        return word

    def lowest(self, digits: Sequence[int]) -> list[bool]:
        """Of a level's digits: which take the activation unshifted, in their row's lowest place."""
        return [abs(digit) == 2**row.low for row, digit in zip(self.rows, digits, strict=True)]


@lru_cache(maxsize=256)
def plan(levels: frozenset[int]) -> Plan | None:
    """The cheapest plan for a set of levels; None if MOST_ROWS rows do not make them all.

    Fewest rows win, then the cost. Up to two rows have four choices at most, with signs of their
    own only if the levels are small; three choose signs and neighbouring powers of two, and what
    no level needs is taken from them afterwards.
    """
    top = max(map(abs, levels)).bit_length()
    if top > MOST_BITS:
        return None
    for count in range(max(map(_fewest, levels), default=1) or 1, MOST_ROWS + 1):
        pool = sorted(_pool(count, top), key=lambda row: (row.cost, row))
        if rows := _cheapest(pool, count, levels):
            rows = tuple(sorted(_pruned(rows, levels), key=lambda row: (row.low, row)))
            return Plan(rows, _digits(rows, levels))
    return None


def _pool(count: int, top: int) -> Iterator[Row]:
    """Rows to combine ``count`` of, with exponents up to ``top``."""
    if count > 2:
        for first, last in combinations(range(top + 2), 2):
            yield Row(tuple(2**e for e in range(first, last)), True)
        return
    powers = [2**e for e in range(top + 1)]
    either = sorted([*powers, *(-power for power in powers)])
    for size in range(1, _MOST_CHOICES + 1):
        yield from (Row(choices, True) for choices in combinations(powers, size))
        if top <= _SMALL:
            yield from (Row(choices, False) for choices in combinations(either, size))


def _cheapest(pool: Sequence[Row], count: int, levels: Collection[int]) -> tuple[Row, ...]:
    """The cheapest ``count`` rows of a pool, in order of cost, that make every level; or ()."""
    # A set of numbers is the bits of one number: sums with a row's digits are its shifts.
    span = max(max(row.choices) for row in pool)
    wanted = sum(1 << (level + count * span) for level in levels)
    best, bound = (), count * pool[-1].cost + 1
    most = max(len(row.digits) for row in pool)

    def extend(rows: tuple[Row, ...], sums: int, first: int, cost: int) -> None:
        nonlocal best, bound
        left = count - len(rows)
        for k, row in enumerate(pool[first:], first):
            if cost + left * row.cost >= bound:
                return
            if sums.bit_count() * len(row.digits) * most ** (left - 1) < len(levels):
                continue
            more = reduce(or_, (sums << (span + digit) for digit in row.digits))
            if left > 1:
                extend((*rows, row), more, k, cost + row.cost)
            elif not wanted & ~more:
                best, bound = (*rows, row), cost + row.cost

    extend((), 1, 0, 0)
    return best


def _pruned(rows: tuple[Row, ...], levels: Collection[int]) -> tuple[Row, ...]:
    """``rows`` without the choices that no level needs, the largest tried first."""
    for i, row in enumerate(rows):
        for choice in reversed(row.choices):
            if len(rows[i].choices) > 1:
                fewer = tuple(c for c in rows[i].choices if c != choice)
                changed = (*rows[:i], Row(fewer, row.signed), *rows[i + 1 :])
                if _digits(changed, levels):
                    rows = changed
    return rows


def _digits(rows: tuple[Row, ...], levels: Collection[int]) -> dict[int, tuple[int, ...]] | None:
    """Digits of each level, as few as possible and as few negative ones; None if one has none."""
    best: dict[int, tuple] = {}
    for digits in product(*(row.digits for row in rows)):
        level = sum(digits)
        if level in levels:
            rank = (sum(map(bool, digits)), sum(digit < 0 for digit in digits), digits)
            best[level] = min(best.get(level, rank), rank)
    return {level: rank[-1] for level, rank in best.items()} if len(best) == len(levels) else None


def _fewest(level: int) -> int:
    """The least number of signed powers of two that add up to a level: its digits in the form in
    which no two neighbours are other than 0."""
    return (3 * abs(level) ^ abs(level)).bit_count()


def _exponent(choice: int) -> int:
    return abs(choice).bit_length() - 1
