"""Requantizer with a multiplier of Booth digits in a compressor tree."""

from amaranth import Cat, Const, Module, Signal, Value, signed

from macsmith.hw.bits import extended, only_if
from macsmith.hw.heap import Heap
from macsmith.hw.requantizer import REQUANTIZERS, Requantizer, datapath

__all__ = ["booth4"]


@REQUANTIZERS.add("booth4")
def booth4(m: Module, unit: Requantizer) -> None:
    """Radix-4 Booth digits of the multiplier, their rows in one compressor tree."""

    def multiply(x: Value, y: Value, addend: Value) -> Value:
        heap = Heap(m)
        bits = Cat(Const(0, 1), y, Const(0, 2))  # the digit above an unsigned number is 0 or 1
        for i in range(len(y) // 2 + 1):
            below, low, high = bits[2 * i : 2 * i + 3]
            row = Signal(signed(len(x) + 1), name=f"row_{i}")
            one, two, negative = (Signal(name=f"{word}_{i}") for word in ("one", "two", "negative"))
            once, twice = extended(x, len(row)), Cat(Const(0, 1), x)
            m.d.comb += [
                one.eq(low ^ below),
                two.eq((high ^ low) & ~one),
                negative.eq(high & ~(low & below)),
                row.eq((only_if(one, once) | only_if(two, twice)) ^ negative.replicate(len(row))),
            ]
            heap.add(row, 2 * i)
            heap.add_bit(negative, 2 * i)
        if not isinstance(addend, Const):
            heap.add(addend)
        return heap.total(unit.numbers.product_width)

    datapath(m, unit, multiply)
