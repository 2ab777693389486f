"""MAC with product and sum apart."""

from amaranth import Module

from macsmith.hw.accumulator import Operands, accumulate
from macsmith.hw.heap import Heap
from macsmith.hw.mac import MACS, Mac
from macsmith.hw.multiplier import MULTIPLIERS
from macsmith.hw.style import Style

__all__ = ["separate"]


@MACS.add("separate", over=MULTIPLIERS, latency=1)
def separate(multiplier: Style, m: Module, mac: Mac, x: Operands) -> None:
    """The product is one number before the accumulator is added to it."""
    scheme = multiplier.build(mac.spec)
    product = scheme.product(m, *scheme.factors(m, x))
    if mac.pipeline >= 2:
        x = x.with_rows(product).registered(m, "product")
        (product,) = x.rows

    def add(base, width):
        # Through a heap, whose way with signs keeps synthesis from fusing product and sum.
        heap = Heap(m, "sum")
        heap.add(product)
        return heap.onto(base, width, mac.spec.product_width)

    accumulate(m, mac.spec, mac.acc, x, add)
