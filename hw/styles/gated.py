"""Sums on a clock that stops while nothing enters."""

from dataclasses import replace

from amaranth import (
    ClockDomain,
    ClockSignal,
    Const,
    DomainRenamer,
    Module,
    Mux,
    ResetSignal,
    Signal,
)

from macsmith.hw.dot import DOTS
from macsmith.hw.mac import MACS
from macsmith.hw.multiplier import MULTIPLIERS
from macsmith.hw.operands import Operands
from macsmith.hw.style import Style
from macsmith.hw.styles.fused import SELDOM, entering
from macsmith.hw.sum_unit import SumUnit

__all__ = ["gated"]


@DOTS.add("gated", over=MULTIPLIERS, but=SELDOM, latency=2)
@MACS.add("gated", over=MULTIPLIERS, but=["plain", *SELDOM], latency=2)
def gated(multiplier: Style, m: Module, unit: SumUnit, x: Operands) -> None:
    """Fused, behind registers that hold while nothing enters, the accumulator on a gated clock.

    ::

        en, rst --[reg]--+--[reg, falling edge]-- enable --.
                         |                                 +--(and)-- clock of the accumulator
        clk ------------------------------------------------'

    The enable changes while the clock is low only. A reset reaches the accumulator's register one
    cycle after the others; meanwhile ``acc`` is held at 0.
    """
    held = _held(m, x)
    heap, x = entering(multiplier, m, unit, held)
    m.domains.falling = ClockDomain(local=True, clk_edge="neg", reset_less=True)
    m.domains.gated = ClockDomain(local=True)
    reset = Signal(reset_less=True)
    enable = Signal(reset_less=True)
    m.d.sync += reset.eq(ResetSignal())
    m.d.falling += enable.eq(x.en | reset)
    m.d.comb += [
        ClockSignal("falling").eq(ClockSignal()),
        ClockSignal("gated").eq(ClockSignal() & enable),
        ResetSignal("gated").eq(reset),
    ]
    core, acc = Module(), Signal.like(unit.acc, name="acc_reg")
    m.submodules.core = DomainRenamer("gated")(core)
    unit.accumulate(
        core,
        replace(x, en=Const(1)),
        lambda base, width: heap.onto(base, width, unit.bound),
        acc,
    )
    m.d.comb += unit.acc.eq(Mux(reset, 0, acc))


def _held(m: Module, x: Operands) -> Operands:
    """``x`` one cycle later, its operands as they were when something entered last."""

    def register(value, name):
        reg = Signal(value.shape(), name=f"{name}_held", reset_less=True)
        with m.If(x.en):
            m.d.sync += reg.eq(value)
        return reg

    en = Signal(name="en_held")
    m.d.sync += en.eq(x.en)
    z = None if x.z is None else register(x.z, "z")
    return Operands(en, register(x.clear, "clear"), register(x.w, "w"), register(x.a, "a"), z)
