"""Sums in one compressor tree, the accumulator being one more row of it."""

from dataclasses import replace

from amaranth import Module, Signal

from macsmith.hw.bits import only_if
from macsmith.hw.dot import DOTS
from macsmith.hw.heap import Heap
from macsmith.hw.mac import MACS
from macsmith.hw.multiplier import MULTIPLIERS
from macsmith.hw.operands import Operands
from macsmith.hw.style import Style
from macsmith.hw.sum_unit import SumUnit

__all__ = ["SELDOM", "entering", "fused", "isolated"]

#: Multipliers that are worth it in few units, and not in a MAC or dot product that saves power.
SELDOM = ("picked", "radix4", "flipped")


@DOTS.add("fused", over=MULTIPLIERS, latency=1)
@MACS.add("fused", over=MULTIPLIERS, but=["plain"], latency=1)
def fused(multiplier: Style, m: Module, unit: SumUnit, x: Operands) -> None:
    """All partial products and the accumulator in one tree; one adder propagates carries."""
    heap, x = entering(multiplier, m, unit, x)
    unit.accumulate(m, x, lambda base, width: heap.onto(base, width, unit.bound))


@DOTS.add("isolated", over=MULTIPLIERS, but=SELDOM, latency=1)
@MACS.add("isolated", over=MULTIPLIERS, but=["plain", *SELDOM], latency=1)
def isolated(multiplier: Style, m: Module, unit: SumUnit, x: Operands) -> None:
    """Fused, with the operands held at 0 while nothing enters: then nothing moves in the tree."""
    w, a = Signal.like(x.w, name="w_held"), Signal.like(x.a, name="a_held")
    m.d.comb += [w.eq(only_if(x.en, x.w)), a.eq(only_if(x.en, x.a))]
    fused(multiplier, m, unit, replace(x, w=w, a=a))


def entering(multiplier: Style, m: Module, unit: SumUnit, x: Operands) -> tuple[Heap, Operands]:
    """A heap with the bits of what enters the sum, behind the registers of stage 2."""
    scheme = multiplier.build(unit.spec)
    heap = Heap(m)
    for name, weight, activation in unit.factors(m, scheme, x):
        scheme.rows(m, heap, weight, activation, name)
    if unit.pipeline < 2:
        return heap, x
    *rows, offset = heap.exact_rows(unit.bound)
    x = unit.late(m, x, *rows)
    heap = Heap(m, "sum")
    for row in x.rows:
        heap.add(row)
    heap.add_constant(offset)
    return heap, x
