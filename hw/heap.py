"""A heap of weighted bits, and the compressor tree that adds them up.

Everything that is summed in one step (partial products of one product or of many, an accumulator)
goes into one heap as bits with weights, and only the two rows that are left at the end meet in an
adder that propagates carries.
"""

from dataclasses import dataclass
from itertools import chain

from amaranth import Cat, Const, Module, Signal, Value, signed

from macsmith.hw.adders import FullAdder, HalfAdder
from macsmith.hw.bits import extended

__all__ = ["HALF", "Heap", "PartialProduct"]

HALF = 0.5  # how often a bit is 1 of which nothing is known


@dataclass(frozen=True, eq=False)
class _Bit:
    """``value`` is one bit, or None for a constant 1; ``depth`` the adders before it; ``ones`` how
    often it is 1, as far as that is known."""

    value: Value | None
    depth: int = 0
    ones: float = HALF

    @property
    def noise(self) -> float:
        """How often it changes from one sum to the next; equal numbers are equal here."""
        return round(2 * self.ones * (1 - self.ones), 6)


@dataclass(frozen=True, eq=False)
class PartialProduct:
    """A row of a heap: ``width`` bits of two's complement, times ``2**shift``.

    Attributes
    ----------
    m, name : Module, str
        Where the row is a signal, and what it is called.
    width, shift : int
    ones, odd : float
        How often a bit of it is 1, and its lowest one: hints, see `Heap`.
    """

    m: Module
    name: str
    width: int
    shift: int = 0
    ones: float = HALF
    odd: float = HALF

    def wire(self, bits: Value) -> Signal:
        """Signal ``name``, which is ``bits``."""
        row = Signal(signed(self.width), name=self.name)
        self.m.d.comb += row.eq(bits)
        return row


class Heap:
    """A sum of bits under construction; one of `rows`, `total` and `onto` ends it.

    Adders of bits that seldom change seldom change themselves, so that the least noisy bits meet
    first. How often they are 1, ``ones``, is a hint: it only decides the order.

    Signs cost one bit each: a negative bit of weight k is its complement at k and a constant
    ``-2**k``, and all constants together are one number, added at the end.

    Parameters
    ----------
    m : Module
        Gets the tree as submodule ``name``.
    name : str
    """

    def __init__(self, m: Module, name: str = "tree"):
        self._tree = Module()
        m.submodules[name] = self._tree
        self._bits: dict[int, list[_Bit]] = {}
        self._constant = 0
        self._adders = 0

    def add(self, number: Value, shift: int = 0, ones: float = HALF) -> None:
        """Add ``number * 2**shift``; its own shape says whether it is signed.

        It is made of signals: its bits go different ways, and each would repeat an operator.
        """
        number = Value.cast(number)
        for k, bit in enumerate(number):
            if number.shape().signed and k == len(number) - 1:
                self.subtract_bit(bit, shift + k, ones)
            else:
                self.add_bit(bit, shift + k, ones)

    def add_bit(self, bit: Value, weight: int, ones: float = HALF) -> None:
        """Add ``bit * 2**weight``."""
        if isinstance(bit, Const):
            self.add_constant(bit.value << weight)
        else:
            self._bits.setdefault(weight, []).append(_Bit(bit, ones=ones))

    def subtract_bit(self, bit: Value, weight: int, ones: float = HALF) -> None:
        """Subtract ``bit * 2**weight``."""
        if isinstance(bit, Const):
            self.add_constant(-(bit.value << weight))
            return
        self.add_bit(~bit, weight, 1 - ones)
        self.add_constant(-(2**weight))

    def add_constant(self, number: int) -> None:
        """Add an integer of either sign."""
        self._constant += number

    def add_signed(self, row: PartialProduct, number: Value, negative: Value) -> None:
        """Add ``number``, two's complement, in its place; subtract it where ``negative`` is 1.

        What ``row`` becomes is the number or its complement; `add_turned` has the rest.
        """
        turned = number ^ negative.replicate(row.width)
        self.add_turned(row, turned, number[0], negative)

    def add_turned(
        self, row: PartialProduct, turned: Value, lowest: Value, negative: Value
    ) -> None:
        """Add ``turned`` in its place, and a 1 at its lowest bit where ``negative`` is 1.

        ``turned`` is a number, or its complement where ``negative`` is 1; ``lowest`` is the
        number's lowest bit, which is also that of the number negated. So the 1 that makes a
        complement a negative number is added there and then, and at most a carry of it enters the
        next column:

        ::

            -n = ~n + 1:   lowest n[0]: 1 -> 1, no carry;   0 -> 0, carry
        """
        bits, shift = row.wire(turned), row.shift
        if row.width == 1:
            self.add(bits, shift, row.ones)
            self.add_bit(negative, shift, row.ones)
            return
        carry = Signal(name=f"{row.name}_carry")
        low = Signal(name=f"{row.name}_lowest")
        row.m.d.comb += [low.eq(lowest), carry.eq(negative & ~low)]
        self.add_bit(low, shift, row.odd)
        self.add(bits[1:].as_signed(), shift + 1, row.ones)
        self.add_bit(carry, shift + 1, row.ones)

    def rows(self, width: int) -> tuple[Value, Value]:
        """Two unsigned numbers of ``width`` bits whose sum modulo ``2**width`` is the heap's."""
        columns, _ = self._reduced(self._columns(width, self._constant))
        return _row(columns, 0), _row(columns, 1)

    def exact_rows(self, bound: int) -> tuple[Value, Value, int]:
        """Two unsigned numbers and a constant that add up to the sum, which fits ``bound`` bits.

        Unlike those of `rows` they are the sum at any width.
        """
        n = self._offset_width(bound)
        columns, _ = self._reduced(self._columns(n, self._constant + 2 ** (n - 1)))
        return _row(columns, 0), _row(columns, 1), -(2 ** (n - 1))

    def total(self, width: int) -> Value:
        """The sum modulo ``2**width``, signed.

        Bits below the first column with two stay as they are.
        """
        columns, _ = self._reduced(self._columns(width, self._constant))
        return self._propagated(_row(columns, 0), _row(columns, 1), columns)

    def onto(self, base: Value, width: int, bound: int) -> Value:
        """``base`` plus the sum, modulo ``2**width``, signed.

        The sum itself is known to fit ``bound`` bits, signed. Then no more than one carry leaves
        its columns, and above them ``base`` only goes up or down by one:

        ::

            T = sum + 2**(n-1), bits without a sign, fits the low n bits for an n of bound at least
            base - 2**(n-1):    bit n-1 inverted, and as inverted taken from what is above

             base[n:] + (~base[n-1] in every bit)  |  base[:n] + T, in the tree

        What leaves the tree on the left is added to the upper part of the second row, which is 0 or
        -1, before the two rows meet in one adder.
        """
        n = self._offset_width(bound)
        base = extended(base, max(width, len(base)))[:width]
        if n >= width:
            self.add(base)
            return self.total(width)
        down = ~base[n - 1]
        self.add(base[: n - 1])
        self.add_bit(down, n - 1)
        columns, carries = self._reduced(self._columns(n, self._constant + 2 ** (n - 1)))
        carry = Signal(name="carry")
        self._tree.d.comb += carry.eq(Cat(*carries).any())
        above = Cat(down ^ carry, (down & ~carry).replicate(width - n - 1))
        return self._propagated(
            Cat(_row(columns, 0), base[n:]), Cat(_row(columns, 1), above), columns
        )

    def _propagated(self, first: Value, second: Value, columns: list[list[_Bit]]) -> Value:
        """``first + second``, signed, as wide as they; bits below the first pair stay."""
        low = next((k for k, column in enumerate(columns) if len(column) > 1), len(columns))
        if low == len(first):
            return first.as_signed()
        high = Signal(len(first) - low, name="sum")
        self._tree.d.comb += high.eq(first[low:] + second[low:])
        return Cat(first[:low], high).as_signed()

    def _offset_width(self, bound: int) -> int:
        """The least n, bound at least, for which ``2**(n-1)`` makes sum and constants positive."""
        return max(bound, (-self._constant).bit_length() + 1 if self._constant < 0 else 0)

    def _columns(self, width: int, constant: int) -> list[list[_Bit]]:
        return [
            [*self._bits.get(weight, ()), *([_Bit(None)] if constant >> weight & 1 else ())]
            for weight in range(width)
        ]

    def _reduced(self, columns: list[list[_Bit]]) -> tuple[list[list[_Bit]], list[Value]]:
        """Columns of at most two bits with the same sum, and the carries that leave the last one.

        Dadda's order: in each stage every column is brought down to the next smaller height of
        2, 3, 4, 6, 9, 13, .. by as few adders as that takes, those bits first that have
        the fewest adders behind them, of these the least noisy, of these those that came first. A
        constant 1 turns a full adder into two gates.
        """
        beyond: list[_Bit] = []
        for target in reversed(_heights(max(map(len, columns), default=0))):
            for column, following in zip(columns, chain(columns[1:], [beyond]), strict=True):
                while len(column) > target:
                    column.sort(key=lambda bit: (bit.value is None, bit.depth, bit.noise))
                    self._add_up(column, following, target)
        return columns, [bit.value for bit in beyond]

    def _add_up(self, column: list[_Bit], following: list[_Bit], target: int) -> None:
        """Replace the first bits of a column by their sum, with the carry in the next one."""
        if column[-1].value is None:
            column.pop()
            taken, kind = column[:2], {"one": 1}
        else:
            taken, kind = column[: 2 if len(column) == target + 1 else 3], {}
        adder = (FullAdder if len(taken) == 3 else HalfAdder)(*(b.value for b in taken), **kind)
        self._tree.submodules[f"adder_{self._adders}"] = adder
        self._adders += 1
        depth = 1 + max(bit.depth for bit in taken)
        total, carry = _ones([bit.ones for bit in taken], bool(kind))
        column[: len(taken)] = [_Bit(adder.sum, depth, total)]
        following.append(_Bit(adder.carry, depth, carry))


def _heights(tallest: int) -> list[int]:
    """Dadda's heights below ``tallest``, from 2 upwards."""
    heights = [2]
    while heights[-1] * 3 // 2 < tallest:
        heights.append(heights[-1] * 3 // 2)
    return heights


def _row(columns: list[list[_Bit]], row: int) -> Value:
    """One of the two numbers that columns of at most two bits are."""
    bits = [column[row].value if row < len(column) else Const(0, 1) for column in columns]
    return Cat(Const(1, 1) if bit is None else bit for bit in bits)


def _ones(operands: list[float], one: bool) -> tuple[float, float]:
    """How often sum and carry of an adder are 1, of independent operands and a 1 besides."""
    counts = [0.0, 1.0] if one else [1.0]  # how often so many operands are 1
    for p in operands:
        counts = [
            stay * (1 - p) + up * p for stay, up in zip([*counts, 0.0], [0.0, *counts], strict=True)
        ]
    return sum(counts[1::2]), sum(counts[2:])
