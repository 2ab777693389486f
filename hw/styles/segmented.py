"""Sums that save a carry every few bits: fewer registers than carry-save, nearly as fast."""

from amaranth import Cat, Const, Module, Signal

from macsmith.hw.bits import only_if
from macsmith.hw.dot import DOTS
from macsmith.hw.multiplier import MULTIPLIERS
from macsmith.hw.operands import Operands
from macsmith.hw.style import Style
from macsmith.hw.styles.carry_save import refuses
from macsmith.hw.styles.fused import entering
from macsmith.hw.sum_unit import SumUnit

__all__ = ["segment2", "segment3"]

#: Multipliers that are never the best ones in a dot product.
_BUT = ("plain", "booth8", "signmag", "nibble", "picked")


@DOTS.add("segment2", over=MULTIPLIERS, but=_BUT, latency=1, refuses=refuses)
def segment2(multiplier: Style, m: Module, unit: SumUnit, x: Operands) -> None:
    """All in one tree, the accumulator with a carry saved every 2 bits."""
    _segmented(2, multiplier, m, unit, x)


@DOTS.add("segment3", over=MULTIPLIERS, but=_BUT, latency=1, refuses=refuses)
def segment3(multiplier: Style, m: Module, unit: SumUnit, x: Operands) -> None:
    """All in one tree, the accumulator with a carry saved every 3 bits."""
    _segmented(3, multiplier, m, unit, x)


def _segmented(length: int, multiplier: Style, m: Module, unit: SumUnit, x: Operands) -> None:
    """The two rows that leave the tree are added in segments of ``length`` bits.

    Invariant: ``acc = sum_reg + sum(carry_reg[i] << (length * (i + 1)))`` modulo
    ``2**acc_width``.
    """
    width = unit.spec.acc_width
    firsts = range(0, width, length)
    heap, x = entering(multiplier, m, unit, x)
    sum_reg = Signal(width)
    carry_reg = Signal(len(firsts) - 1)
    base = Signal.like(sum_reg)
    carried = Signal.like(carry_reg)
    m.d.comb += [base.eq(only_if(~x.clear, sum_reg)), carried.eq(only_if(~x.clear, carry_reg))]
    heap.add(base)
    for first, bit in zip(firsts[1:], carried, strict=True):
        heap.add_bit(bit, first)

    first_row, second_row = heap.rows(width)
    sums, carries = [], []
    for first in firsts:
        here = slice(first, min(first + length, width))
        part = Signal(here.stop - first + 1, name=f"segment_{first}")
        m.d.comb += part.eq(first_row[here] + second_row[here])
        sums.append(part[:-1])
        carries.append(part[-1])
    with m.If(x.en):
        m.d.sync += [sum_reg.eq(Cat(sums)), carry_reg.eq(Cat(carries[:-1]))]

    late = Cat(Cat(bit, Const(0, length - 1)) for bit in (Const(0, 1), *carry_reg))
    m.d.comb += unit.acc.eq(sum_reg + late)
