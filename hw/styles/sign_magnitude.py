"""Sign-magnitude multiplier: an unsigned product of magnitudes, negated where the signs differ."""

from amaranth import Cat, Mux, Signal

from macsmith.hw.bits import even_bits
from macsmith.hw.heap import Heap
from macsmith.hw.multiplier import MULTIPLIERS, Scheme

__all__ = ["SignMagnitude"]


@MULTIPLIERS.add("signmag")
class SignMagnitude(Scheme):
    """Magnitudes through an array of AND gates, and the sum negated where the signs differ.

    What travels is a magnitude and, above it, its sign. Few bits change where small numbers
    change their sign.
    """

    def recode(self, m, w, z, name="w"):
        return _signed_magnitude(m, super().recode(m, w, z, name), name)

    def prepare(self, m, a, name="a"):
        return _signed_magnitude(m, super().prepare(m, a, name), name)

    def rows(self, m, heap, weight, activation, name):
        (w, w_sign), (a, a_sign) = ((x[:-1], x[-1]) for x in (weight, activation))
        magnitude = Heap(m, f"{name}_magnitude")
        for i in range(even_bits(self.spec.weights), len(w)):
            for j in range(even_bits(self.spec.activations), len(a)):
                magnitude.add_bit(w[i] & a[j], i + j)
        total = magnitude.total(len(w) + len(a))
        negative = Signal(name=f"{name}_negative")
        flipped = Signal(len(total), name=f"{name}_flipped")
        m.d.comb += [
            negative.eq(w_sign ^ a_sign),
            flipped.eq(total.as_unsigned() ^ negative.replicate(len(total))),
        ]
        heap.add(Cat(flipped, negative).as_signed())
        heap.add_bit(negative, 0)


def _signed_magnitude(m, level, name):
    """Bits of ``|level|``, as many as ``level`` has, and the sign above them."""
    magnitude = Signal(len(level), name=f"{name}_magnitude")
    sign = level[-1]
    m.d.comb += magnitude.eq(Mux(sign, -level, level))
    return Cat(magnitude, sign)
