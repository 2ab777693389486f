"""Sums whose products are numbers of their own."""

from amaranth import Module

from macsmith.hw.dot import DOTS
from macsmith.hw.heap import Heap
from macsmith.hw.mac import MACS
from macsmith.hw.multiplier import MULTIPLIERS
from macsmith.hw.operands import Operands
from macsmith.hw.style import Style
from macsmith.hw.sum_unit import SumUnit

__all__ = ["separate"]


@DOTS.add("separate", over=MULTIPLIERS, but=["picked", "flipped"], latency=1)
@MACS.add("separate", over=MULTIPLIERS, but=["picked", "flipped"], latency=1)
def separate(multiplier: Style, m: Module, unit: SumUnit, x: Operands) -> None:
    """Each product is one number before it is added."""
    scheme = multiplier.build(unit.spec)
    products = [scheme.product(m, w, a, name) for name, w, a in unit.factors(m, scheme, x)]
    x = unit.late(m, x, *products)

    def add(base, width):
        # Through a heap, whose way with signs keeps synthesis from fusing product and sum.
        heap = Heap(m, "sum")
        for product in x.rows:
            heap.add(product)
        return heap.onto(base, width, unit.bound)

    unit.accumulate(m, x, add)
