"""Booth multipliers: the weight's level as digits of radix 4 or 8, a row of the activation each."""

from amaranth import Cat, Module, Mux, Signal, Value, signed

from macsmith.hw.bits import even_bits, extended, only_if, selected
from macsmith.hw.heap import HALF, Heap, PartialProduct
from macsmith.hw.likely import ones
from macsmith.hw.multiplier import MULTIPLIERS, Scheme

__all__ = ["Booth4", "Booth8", "add_radix4", "radix4"]


def radix4(below: Value, low: Value, high: Value) -> tuple[Value, Value, Value]:
    """(one, two, negative) of the digit ``-2 high + low + below``: its multiple, and its sign."""
    return low ^ below, Mux(high, ~low & ~below, low & below), high & ~(low & below)


def add_radix4(
    m: Module,
    heap: Heap,
    digit: Value,
    x: Value,
    name: str,
    shift: int,
    often: float = HALF,
) -> None:
    """Add ``x * digit * 2**shift``, x signed; row ``name`` of a digit as `radix4` has it."""
    one, two, negative = digit
    width = len(x) + 1
    number = only_if(one, extended(x, width)) | only_if(two, x.shift_left(1))
    row = PartialProduct(m, name, width, shift, often, often / 2)
    heap.add_signed(row, number, negative)


@MULTIPLIERS.add("booth4")
class Booth4(Scheme):
    """Radix-4 Booth digits of the weight, each choosing 0, a or 2a and a sign.

    Digit i is ``-2 b[2i+1] + b[2i] + b[2i-1]``. ``recode`` gives three bits a digit, from the
    lowest on: one, two, negative. A negative row is the complement plus 1 at its lowest bit.
    """

    def recode(self, m, w, z, name="w"):
        level = super().recode(m, w, z, name)
        bits = _digits(level, even_bits(self.spec.weights), 2)
        choices = Signal(3 * len(bits), name=f"{name}_digits")
        for i, digit in enumerate(bits):
            m.d.comb += choices[3 * i : 3 * i + 3].eq(Cat(*radix4(*digit)))
        return choices

    def rows(self, m, heap, weight, activation, name):
        shift = even_bits(self.spec.weights)
        count = len(weight) // 3
        often = ones(self.spec.weights, lambda level: _radix4_digits(level >> shift, count))
        for i in range(count):
            digit = weight[3 * i : 3 * i + 3]
            add_radix4(m, heap, digit, activation, f"{name}_{i}", shift + 2 * i, often[i])


@MULTIPLIERS.add("booth8")
class Booth8(Scheme):
    """Radix-8 Booth digits of the weight, each choosing 0, a, 2a, 3a or 4a and a sign.

    Digit i is ``-4 b[3i+2] + 2 b[3i+1] + b[3i] + b[3i-1]``. ``prepare`` makes 3a, once for all
    weights that share the activation; ``recode`` gives five bits a digit: one, two, three, four,
    negative.
    """

    def recode(self, m, w, z, name="w"):
        level = super().recode(m, w, z, name)
        bits = _digits(level, even_bits(self.spec.weights), 3)
        choices = Signal(5 * len(bits), name=f"{name}_digits")
        for i, (below, low, middle, high) in enumerate(bits):
            odd, both, none = low ^ below, low & below, ~low & ~below
            m.d.comb += choices[5 * i : 5 * i + 5].eq(
                Cat(
                    odd & ~(middle ^ high),
                    Mux(middle, none, both),
                    odd & (middle ^ high),
                    Mux(high, ~middle & none, middle & both),
                    high & ~(middle & both),
                )
            )
        return choices

    def prepare(self, m, a, name="a"):
        level = super().prepare(m, a, name)
        triple = Signal(signed(len(level) + 2), name=f"{name}_triple")
        m.d.comb += triple.eq(level + level.shift_left(1))
        return Cat(level, triple)

    def rows(self, m, heap, weight, activation, name):
        shift = even_bits(self.spec.weights)
        width = len(activation) // 2 - 1
        once, triple = activation[:width].as_signed(), activation[width:].as_signed()
        for i in range(len(weight) // 5):
            one, two, three, four, negative = weight[5 * i : 5 * i + 5]
            choices = (
                (one, once), (two, once.shift_left(1)), (three, triple), (four, once.shift_left(2))
            )  # fmt: skip
            number = selected(choices, width + 2)
            row = PartialProduct(m, f"{name}_{i}", width + 2, shift + 3 * i)
            heap.add_signed(row, number, negative)


def _radix4_digits(level: int, count: int) -> list[int]:
    """The values of the digits, lowest first."""
    bits = [0, *(level >> i & 1 for i in range(2 * count))]
    return [bits[i] + bits[i + 1] - 2 * bits[i + 2] for i in range(0, 2 * count, 2)]


def _digits(level: Value, shift: int, bits: int) -> list[tuple[Value, ...]]:
    """Per digit its bits, lowest first, after the top bit of the digit below (0 at the bottom)."""
    level = level[shift:].as_signed()
    count = -(-len(level) // bits)
    padded = Cat(0, level, level[-1].replicate(count * bits - len(level)))
    return [tuple(padded[bits * i : bits * i + bits + 1]) for i in range(count)]
