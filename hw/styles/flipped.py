"""Digit multiplier of magnitudes: the activation is complemented once, by the weight's sign.

A level is its magnitude and a sign. Magnitudes need fewer choices than levels of both signs, and
one exclusive or for each bit of the activation serves all rows: dINT4's magnitudes up to 12, as
sign and rank has them, are sums of one of {0, 1, 2, -2, 4} and one of {0, 8}.
"""

from amaranth import Cat, Signal, signed

from macsmith.hw.bits import extended, look_up, only_if, selected
from macsmith.hw.digit_plan import MOST_BITS, MOST_ROWS, Plan, plan
from macsmith.hw.multiplier import MULTIPLIERS
from macsmith.hw.styles.digits import Planned, lowest
from macsmith.sim.formats import Format

__all__ = ["Flipped"]


def _plan(fmt: Format) -> Plan | None:
    """Of the magnitudes."""
    return plan(frozenset(map(abs, fmt.levels)))


def _refuses(spec) -> str:
    fmt = spec.weights
    if fmt.zero_pointed:
        return f"the signs of {fmt.name} depend on its zero point"
    if fmt.level_width > MOST_BITS + 1:
        return f"levels of {fmt.name} have more than {MOST_BITS} bits"
    found = _plan(fmt)
    if found is None:
        return f"some magnitudes of {fmt.name} need more than {MOST_ROWS} signed powers of two"
    if any(row.signed for row in found.rows):
        return f"the rows of {fmt.name} need signs of their own besides the weight's"
    return ""


@MULTIPLIERS.add("flipped", refuses=_refuses)
class Flipped(Planned):
    """A row for each signed power of two that the weight's magnitude is a sum of, by table.

    ::

        a ---(^)--- x --[choices of row 0]-- + 1 if what was chosen of a is negative
              |      '--[choices of row 1]-- + 1 ..
        sign -'

    ``recode`` gives per row one bit for each of its choices, in ascending order (`hw.digit_plan`),
    and the sign above them all. ``x`` is the activation or its complement; shifted up, it is filled
    with the sign. A negative choice is the complement of that.
    """

    def __init__(self, spec):
        super().__init__(spec)
        self.plan = _plan(spec.weights)

    def recode(self, m, w, z, name="w"):
        words = self.plan.width + 1
        choices = Signal(words, name=f"{name}_digits")
        table = [
            self.plan.word(abs(level)) | (level < 0) << self.plan.width
            for level in self.spec.weights.levels
        ]
        m.d.comb += choices.eq(look_up(m, w, table, words))
        return choices

    def taken(self, level):
        return super().taken(abs(level))

    def rows(self, m, heap, weight, activation, name):
        negative = weight[-1]
        flipped = Signal(signed(len(activation)), name=f"{name}_flipped")
        m.d.comb += flipped.eq(activation ^ negative.replicate(len(activation)))
        for row, bits, product in self.planned(m, name, weight, len(activation)):
            choices, width = list(zip(bits, row.choices, strict=True)), product.width
            number = selected(
                ((bit, _multiple(flipped, negative, x, row.low, width)) for bit, x in choices),
                width,
            )
            down, up = (Cat(bit for bit, x in choices if (x < 0) == low) for low in (True, False))
            minus = only_if(negative, up.any()) | only_if(~negative, down.any())
            heap.add_turned(product, number, lowest(row, bits, activation), minus)


def _multiple(flipped, negative, choice: int, low: int, width: int):
    """``choice / 2**low`` times the activation with its sign, less 1 where that is negative."""
    shift = abs(choice).bit_length() - 1 - low
    multiple = extended(Cat(negative.replicate(shift), flipped), width)
    return ~multiple if choice < 0 else multiple
