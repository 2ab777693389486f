"""Requantizer with a multiplier of Booth digits in a compressor tree."""

from amaranth import Cat, Const, Module, Signal, Value

from macsmith.hw.heap import Heap
from macsmith.hw.requantizer import REQUANTIZERS, Requantizer, datapath
from macsmith.hw.styles.booth import add_radix4, radix4

__all__ = ["booth4"]


@REQUANTIZERS.add("booth4")
def booth4(m: Module, unit: Requantizer) -> None:
    """Radix-4 Booth digits of the multiplier, their rows in one compressor tree."""

    def multiply(x: Value, y: Value, addend: Value) -> Value:
        heap = Heap(m)
        bits = Cat(Const(0, 1), y, Const(0, 2))  # the digit above an unsigned number is 0 or 1
        for i in range(len(y) // 2 + 1):
            digit = [Signal(name=f"{word}_{i}") for word in ("one", "two", "negative")]
            m.d.comb += Cat(*digit).eq(Cat(*radix4(*bits[2 * i : 2 * i + 3])))
            add_radix4(m, heap, Cat(*digit), x, f"row_{i}", 2 * i)
        if not isinstance(addend, Const):
            heap.add(addend)
        return heap.total(unit.numbers.product_width)

    datapath(m, unit, multiply)
