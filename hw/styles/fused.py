"""MAC in one compressor tree, the accumulator being one more row of it."""

from amaranth import Module

from macsmith.hw.accumulator import Operands, accumulate
from macsmith.hw.heap import Heap
from macsmith.hw.mac import MACS, Mac
from macsmith.hw.multiplier import MULTIPLIERS
from macsmith.hw.style import Style

__all__ = ["fused", "product_heap"]


@MACS.add("fused", over=MULTIPLIERS, but=["plain"], latency=1)
def fused(multiplier: Style, m: Module, mac: Mac, x: Operands) -> None:
    """Partial products and accumulator in one tree; one adder propagates carries."""
    spec = mac.spec
    heap, x = product_heap(multiplier, m, mac, x)
    accumulate(m, spec, mac.acc, x, lambda base, width: heap.onto(base, width, spec.product_width))


def product_heap(multiplier: Style, m: Module, mac: Mac, x: Operands) -> tuple[Heap, Operands]:
    """A heap with the bits of the product, after the registers that the pipeline asks for."""
    scheme = multiplier.build(mac.spec)
    heap = Heap(m)
    scheme.rows(m, heap, *scheme.factors(m, x), "product")
    if mac.pipeline < 2:
        return heap, x
    *rows, offset = heap.exact_rows(mac.spec.product_width)
    x = x.with_rows(*rows).registered(m, "product")
    heap = Heap(m, "sum")
    for row in x.rows:
        heap.add(row)
    heap.add_constant(offset)
    return heap, x
