"""Radix-4 digits without signs of their own: -1, 0, 1 and 2 are choices of one multiplexer."""

from amaranth import Cat, Const, Module, Mux, Signal, Value

from macsmith.hw.bits import even_bits, extended, selected
from macsmith.hw.heap import PartialProduct
from macsmith.hw.multiplier import MULTIPLIERS, Scheme

__all__ = ["Radix4"]


@MULTIPLIERS.add("radix4")
class Radix4(Scheme):
    """Digits -1 .. 2 of the weight, the top one -2 .. 2, each choosing among a, 2a and complements.

    Booth's digits need a sign, and that an exclusive or for each bit of a row. These need a choice
    more and no sign, but each takes a carry from the digit below: ``recode`` is slower, and is best
    done at the edge of an array or before a register.

    ``recode`` gives three bits a digit, from the lowest on (1, 2, -1), and a fourth for the top
    one's -2. A negative row is the complement, and a 1 at its lowest bit.
    """

    def recode(self, m, w, z, name="w"):
        level = super().recode(m, w, z, name)[even_bits(self.spec.weights) :].as_signed()
        count = -(-len(level) // 2)
        bits, carry, choices = extended(level, 2 * count), Const(0, 1), []
        for i in range(count):
            low, high = bits[2 * i], bits[2 * i + 1]
            top = i == count - 1
            one, two, less, following = _digit(m, f"{name}_{i}", low, high, carry, top)
            choices += [one, two, *less]
            carry = following
        chosen = Signal(len(choices), name=f"{name}_digits")
        m.d.comb += chosen.eq(Cat(choices))
        return chosen

    def rows(self, m, heap, weight, activation, name):
        shift, width = even_bits(self.spec.weights), len(activation) + 1
        once, twice = extended(activation, width), activation.shift_left(1)
        multiples = (once, twice, ~once, ~twice)
        count = len(weight) // 3
        for i in range(count):
            bits = weight[3 * i :] if i == count - 1 else weight[3 * i : 3 * i + 3]
            number = selected(zip(bits, multiples, strict=False), width)
            row = PartialProduct(m, f"{name}_{i}", width, shift + 2 * i)
            heap.add(row.wire(number), row.shift)
            heap.add_bit(Cat(bits[2:]).any(), row.shift)


def _digit(m: Module, name: str, low: Value, high: Value, carry, top: bool):
    """Of ``low + 2 * high + carry``: is it 1, is it 2, is it negative (by 1; by 2), and the carry.

    3 is -1 and 4 is 0, with a carry. In the top digit ``high`` is -2 and nothing is carried.
    """
    odd, both = low ^ carry, low & carry
    if top:
        return ~high & odd, ~high & both, (high & odd, high & ~low & ~carry), None
    following = Signal(name=f"{name}_carry")
    m.d.comb += following.eq(high & (low | carry))
    return ~high & odd, Mux(high, ~low & ~carry, both), (high & odd,), following
