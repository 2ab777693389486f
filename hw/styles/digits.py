"""Digit multiplier: each weight is a sum of few signed powers of two, read off its code.

Booth's digits belong to integers. A format is any table of levels, and often needs no more rows
than its integers would: dINT4's levels 0, 1, -1, 2, -2, 4, .. 14 are sums of one of {0, 2, -2, -4}
and one of {0, -1, 8, -8, 16}, where INT4 needs one of {0, 1, -1, -2} and one of {0, 4, -4, 8, -8}.
So the special codes are one more choice in a row's multiplexer (1 is 2 - 1), and dINT4 costs nearly
what INT4 costs. A choice of its own for a negative multiple is cheaper than a sign for the whole
row, which takes an exclusive or for each bit.
"""

from collections.abc import Iterator, Sequence

from amaranth import Cat, Module, Signal, Value, signed

from macsmith.hw.bits import extended, look_up, selected
from macsmith.hw.digit_plan import MOST_BITS, MOST_ROWS, Plan, Row, plan
from macsmith.hw.heap import PartialProduct
from macsmith.hw.likely import ones
from macsmith.hw.multiplier import MULTIPLIERS, Scheme
from macsmith.sim.formats import Format

__all__ = ["Digits", "Planned", "lowest"]


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
    if fmt.level_width > MOST_BITS + 1:
        return f"levels of {fmt.name} have more than {MOST_BITS} bits"
    if any(fmt.levels[code] != code << fmt.frac_bits for code in fmt.affine):
        return f"the codes of {fmt.name} that move with its zero point are no distances from it"
    if plan(_levels(fmt)) is None:
        return f"some levels of {fmt.name} need more than {MOST_ROWS} signed powers of two"
    return ""


class Planned(Scheme):
    """Rows of a `Plan`, each a choice among multiples of the activation.

    Attributes
    ----------
    plan : Plan
    """

    plan: Plan

    def taken(self, level: int) -> Sequence[int]:
        """What each row takes for a level of the weight."""
        return self.plan.digits[level]

    def planned(
        self, m: Module, name: str, weight: Value, size: int
    ) -> Iterator[tuple[Row, Value, PartialProduct]]:
        """Each row, its bits of a recoded weight, and what it is in a heap.

        ``size`` is that of the activation.
        """
        fmt = self.spec.weights
        often = ones(fmt, self.taken)
        odds = ones(fmt, lambda level: self.plan.lowest(self.taken(level)))
        for i, (row, half, odd) in enumerate(zip(self.plan.rows, often, odds, strict=True)):
            bits, weight = weight[: row.width], weight[row.width :]
            width = size + max(map(abs, row.choices)).bit_length() - 1 - row.low
            yield row, bits, PartialProduct(m, f"{name}_{i}", width, row.low, half, odd)


def lowest(row: Row, bits: Value, activation: Value) -> Value:
    """Of what a row without a sign takes, the lowest bit: the activation's, where not shifted."""
    choices = zip(bits, row.choices, strict=True)
    return Cat(bit for bit, x in choices if abs(x) == 2**row.low).any() & activation[0]


@MULTIPLIERS.add("digits", refuses=_refuses)
class Digits(Planned):
    """A row for each signed power of two that the weight's level is a sum of, by table.

    ``recode`` gives per row one bit for each of its choices, in ascending order, and where the row
    has one a sign above them (`hw.digit_plan`); there is no decoder before it. A negative choice is
    the complement of the shifted activation, and a 1 at the row's lowest bit. Zero-pointed: the
    table is of the distance from the zero point.
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
        for row, bits, product in self.planned(m, name, weight, len(activation)):
            multiples = [_multiple(activation, x, row.low, product.width) for x in row.choices]
            number = selected(zip(bits, multiples, strict=False), product.width)
            if row.signed:
                heap.add_signed(product, number, bits[-1])
            else:
                minus = Cat(bit for bit, x in zip(bits, row.choices, strict=True) if x < 0).any()
                heap.add_turned(product, number, lowest(row, bits, activation), minus)


def _multiple(activation, choice: int, low: int, width: int):
    """``activation * choice / 2**low`` of ``width`` bits; of a negative choice less 1."""
    multiple = extended(activation.shift_left(abs(choice).bit_length() - 1 - low), width)
    return ~multiple if choice < 0 else multiple
