"""Sums whose accumulator is two numbers: carries move on by one place in each cycle."""

from amaranth import Module, Signal

from macsmith.hw.bits import only_if
from macsmith.hw.dot import DOTS
from macsmith.hw.mac import MACS
from macsmith.hw.multiplier import MULTIPLIERS
from macsmith.hw.operands import Operands
from macsmith.hw.style import Style
from macsmith.hw.styles.fused import entering
from macsmith.hw.sum_unit import SumUnit
from macsmith.sim.spec import MacSpec

__all__ = ["carry_save", "refuses"]


def refuses(spec: MacSpec) -> str:
    """Why a carry-save accumulator cannot serve ``spec``."""
    if spec.overflow == "saturate":
        return "to clamp, the sum must be known in every cycle"
    return ""


@DOTS.add("carrysave", over=MULTIPLIERS, latency=1, refuses=refuses)
@MACS.add("carrysave", over=MULTIPLIERS, latency=1, refuses=refuses)
def carry_save(multiplier: Style, m: Module, unit: SumUnit, x: Operands) -> None:
    """The accumulator is a sum and a carry register, added behind them only.

    Invariant: ``acc = sum_reg + carry_reg`` modulo ``2**acc_width``.
    """
    width = unit.spec.acc_width
    heap, x = entering(multiplier, m, unit, x)
    sum_reg = Signal(width)
    carry_reg = Signal(width)
    for reg in (sum_reg, carry_reg):
        base = Signal(width, name=f"{reg.name}_base")
        m.d.comb += base.eq(only_if(~x.clear, reg))
        heap.add(base)
    with m.If(x.en):
        m.d.sync += [
            reg.eq(row) for reg, row in zip((sum_reg, carry_reg), heap.rows(width), strict=True)
        ]
    m.d.comb += unit.acc.eq(sum_reg + carry_reg)
