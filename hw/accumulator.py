"""The accumulator's step: base, plus what enters, through the overflow, into the register."""

from collections.abc import Callable

from amaranth import Const, Module, Mux, Signal, Value, signed

from macsmith.hw.operands import Operands
from macsmith.sim.spec import MacSpec

__all__ = ["Add", "accumulate", "accumulate_groups", "clamp"]

#: ``add(base, width)`` gives ``base`` plus the product (or the group) of this cycle, modulo
#: ``2**width``.
Add = Callable[[Value, int], Value]


def accumulate(m: Module, spec: MacSpec, acc: Signal, x: Operands, add: Add) -> None:
    """One product each cycle into ``acc``, in groups of ``spec.lanes``.

    With "saturate" and lanes > 1 overflow applies to the sum before the group plus the group so
    far, as if the group ended with this product.
    """
    if spec.overflow != "saturate" or spec.lanes == 1:  # wrapping does not see where a group ends
        accumulate_groups(m, spec, acc, x, add)
        return

    # The register keeps the total of sum and group *before* the clamp, wide enough for a group
    # that starts from a full accumulator; `acc` is its clamp, and so is what a new group starts at.
    total_reg = Signal(signed(spec.sum_width))
    lane = Signal(range(spec.lanes))  # products already in this group
    base = Signal(signed(spec.sum_width))
    m.d.comb += [
        acc.eq(clamp(total_reg, spec.acc_width)),
        base.eq(Mux(x.clear, 0, Mux(lane == 0, acc, total_reg))),
    ]
    total = add(base, spec.sum_width)  # outside: what it adds to m is not to depend on en
    with m.If(x.en):
        m.d.sync += total_reg.eq(total)
        with m.If(x.clear):
            m.d.sync += lane.eq(1)
        with m.Elif(lane == spec.lanes - 1):
            m.d.sync += lane.eq(0)
        with m.Else():
            m.d.sync += lane.eq(lane + 1)


def accumulate_groups(m: Module, spec: MacSpec, acc: Signal, x: Operands, add: Add) -> None:
    """A whole group each cycle into ``acc``, overflow after it."""
    base = Signal(signed(spec.acc_width))
    m.d.comb += base.eq(Mux(x.clear, 0, acc))
    if spec.overflow != "saturate":
        total = add(base, spec.acc_width)  # outside: what it adds to m is not to depend on en
        with m.If(x.en):
            m.d.sync += acc.eq(total)
        return
    total = Signal(signed(spec.sum_width))
    m.d.comb += total.eq(add(base, spec.sum_width))
    with m.If(x.en):
        m.d.sync += acc.eq(clamp(total, spec.acc_width))


def clamp(x: Value, width: int) -> Value:
    """``x``, a signed value, clamped to ``width`` bits of two's complement.

    It fits where the bits from the new sign upwards are all equal.
    """
    if len(x) <= width:
        return x
    sign = x[-1]
    upper = x[width - 1 :]
    limit = Mux(sign, Const(-(2 ** (width - 1)), signed(width)), 2 ** (width - 1) - 1)
    return Mux(upper.all() | ~upper.any(), x[:width].as_signed(), limit)
