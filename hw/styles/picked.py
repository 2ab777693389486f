"""Multiplier that picks among ready-made multiples of the activation.

Its worth is in what several outputs can share: the multiples belong to the activation alone.
"""

from amaranth import Cat, Signal, Value, signed

from macsmith.hw.bits import even_bits, extended, look_up, selected
from macsmith.hw.heap import PartialProduct
from macsmith.hw.multiplier import MULTIPLIERS, Scheme

__all__ = ["Picked"]

MOST = 8  # multiples that one pick chooses from: what a digit of radix 16 needs
DIGIT = 4  # bits of a digit


@MULTIPLIERS.add("picked")
class Picked(Scheme):
    """One of the multiples 1a .. 8a for each nibble of the weight, or for the whole of it.

    Odd multiples (3a = a + 2a, 5a = a + 4a, 7a = 8a - a) are made by ``prepare``, once for all
    weights that share the activation; the others are shifts. A format of at most 8 magnitudes picks
    once, by its code (INT4, dINT4); others once for each radix-16 Booth digit of the level, so that
    INT8 picks twice.

    ``recode`` gives for each pick one bit a multiple, ascending, and a sign above them.
    """

    def __init__(self, spec):
        super().__init__(spec)
        fmt = spec.weights
        magnitudes = sorted({abs(level) for level in fmt.levels} - {0})
        self.whole = not fmt.zero_pointed and len(magnitudes) <= MOST
        self.shift = 0 if self.whole else even_bits(fmt)
        #: What a pick chooses from, and the odd ones that takes besides a itself.
        self.magnitudes = magnitudes if self.whole else list(range(1, MOST + 1))
        self.odd = sorted({_odd_part(x) for x in self.magnitudes} - {1})

    def recode(self, m, w, z, name="w"):
        picks = len(self.magnitudes) + 1
        if self.whole:
            words = [self._word(level) for level in self.spec.weights.levels]
            chosen = Signal(picks, name=f"{name}_pick")
            m.d.comb += chosen.eq(look_up(m, w, words, picks))
            return chosen
        level = super().recode(m, w, z, name)[self.shift :].as_signed()
        count = -(-len(level) // DIGIT)
        padded = Cat(0, extended(level, count * DIGIT))
        words = [self._word(_booth_digit(bits)) for bits in range(2 ** (DIGIT + 1))]
        chosen = Signal(count * picks, name=f"{name}_pick")
        for i in range(count):
            digit = padded[DIGIT * i : DIGIT * (i + 1) + 1]
            m.d.comb += chosen[picks * i : picks * (i + 1)].eq(look_up(m, digit, words, picks))
        return chosen

    def prepare(self, m, a, name="a"):
        level = super().prepare(m, a, name)
        made = [level]
        for odd in self.odd:
            multiple = Signal(signed(len(level) + odd.bit_length()), name=f"{name}_x{odd}")
            terms = [
                level.shift_left(e) if sign > 0 else -level.shift_left(e)
                for sign, e in _signed_powers(odd)
            ]
            m.d.comb += multiple.eq(sum(terms[1:], terms[0]))
            made.append(multiple)
        return Cat(*made)

    def rows(self, m, heap, weight, activation, name):
        multiples = self._multiples(activation)
        picks = len(self.magnitudes) + 1
        width = max(map(len, multiples.values()))
        for i in range(len(weight) // picks):
            *bits, negative = weight[picks * i : picks * (i + 1)]
            choices = zip(bits, (multiples[x] for x in self.magnitudes), strict=True)
            row = PartialProduct(m, f"{name}_{i}", width, self.shift + DIGIT * i)
            heap.add_signed(row, selected(choices, width), negative)

    def _word(self, level: int) -> int:
        """The pick of ``level``."""
        one_hot = sum((abs(level) == x) << k for k, x in enumerate(self.magnitudes))
        return one_hot | (level < 0) << len(self.magnitudes)

    def _multiples(self, activation: Value) -> dict[int, Value]:
        """Signed multiples by magnitude, from what ``prepare`` made."""
        extra = sum(odd.bit_length() for odd in self.odd)
        width = (len(activation) - extra) // (len(self.odd) + 1)
        made, at = {}, 0
        for odd in (1, *self.odd):
            bits = width + (odd.bit_length() if odd > 1 else 0)
            made[odd] = activation[at : at + bits].as_signed()
            at += bits
        shifts = {x: x.bit_length() - _odd_part(x).bit_length() for x in self.magnitudes}
        return {x: made[_odd_part(x)].shift_left(shift) for x, shift in shifts.items()}


def _odd_part(x: int) -> int:
    return x // (x & -x)


def _signed_powers(x: int) -> list[tuple[int, int]]:
    """``x`` as (sign, exponent)s: its bits if they are two at most, else no two neighbours."""
    if x.bit_count() <= 2:
        return [(1, e) for e in range(x.bit_length()) if x >> e & 1]
    powers, e = [], 0
    while x:
        if x & 1:
            sign = 2 - x % 4
            powers.append((sign, e))
            x -= sign
        x, e = x >> 1, e + 1
    return powers[::-1]


def _booth_digit(bits: int) -> int:
    """-8 b3 + 4 b2 + 2 b1 + b0 + b of the digit below, which is the lowest of the five bits."""
    digit = bits >> 1
    return (digit - 2**DIGIT if digit >= 2 ** (DIGIT - 1) else digit) + (bits & 1)
