"""MAC whose accumulator is two numbers: carries move on by one place in each cycle."""

from amaranth import Module, Signal

from macsmith.hw.accumulator import Operands
from macsmith.hw.bits import only_if
from macsmith.hw.mac import MACS, Mac
from macsmith.hw.multiplier import MULTIPLIERS
from macsmith.hw.style import Style
from macsmith.hw.styles.fused import product_heap
from macsmith.sim.spec import MacSpec

__all__ = ["carry_save", "refuses"]


def refuses(spec: MacSpec) -> str:
    """Why a carry-save accumulator cannot serve ``spec``."""
    if spec.overflow == "saturate":
        return "to clamp, the sum must be known in every cycle"
    return ""


@MACS.add("carrysave", over=MULTIPLIERS, latency=1, refuses=refuses)
def carry_save(multiplier: Style, m: Module, mac: Mac, x: Operands) -> None:
    """The accumulator is a sum and a carry register, added behind them only.

    Invariant: ``acc = sum_reg + carry_reg`` modulo ``2**acc_width``.
    """
    width = mac.spec.acc_width
    heap, x = product_heap(multiplier, m, mac, x)
    sum_reg, carry_reg = Signal(width), Signal(width)
    for reg in (sum_reg, carry_reg):
        heap.add(only_if(~x.clear, reg))
    with m.If(x.en):
        m.d.sync += [
            reg.eq(row) for reg, row in zip((sum_reg, carry_reg), heap.rows(width), strict=True)
        ]
    m.d.comb += mac.acc.eq(sum_reg + carry_reg)
