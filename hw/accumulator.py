"""The accumulator that `Mac`, `DotProduct` and their kin share, and the registers before it."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from amaranth import Const, Module, Mux, Signal, Value, signed

from macsmith.sim.spec import MacSpec

__all__ = ["Operands", "accumulate", "accumulate_groups", "clamp"]

#: ``add(base, width)`` gives ``base`` plus the product (or the group) of this cycle, modulo
#: ``2**width``.
Add = Callable[[Value, int], Value]


@dataclass(frozen=True)
class Operands:
    """What enters in one cycle, at the ports or behind registers.

    ``en`` and ``clear`` are the strobes; ``w``, ``a`` and ``z`` the codes (``z`` None without zero
    point), or instead of them ``rows``: signed numbers whose sum is the product.
    """

    en: Value
    clear: Value
    w: Value | None = None
    a: Value | None = None
    z: Value | None = None
    rows: tuple[Value, ...] = ()

    @classmethod
    def of(cls, unit) -> "Operands":
        """Those at the ports of a unit."""
        z = getattr(unit, "z", None)
        return cls(unit.en, unit.clear, *(Value.cast(p) for p in (unit.w, unit.a)), z)

    def with_rows(self, *rows: Value) -> "Operands":
        """Their product in place of the codes."""
        return Operands(self.en, self.clear, rows=rows)

    def registered(self, m: Module, stage: str) -> "Operands":
        """The same one cycle later. Only ``en`` has a reset: without it nothing else counts."""

        def register(value: Value, name: str, reset_less: bool = True) -> Signal:
            reg = Signal(value.shape(), name=f"{name}_{stage}", reset_less=reset_less)
            m.d.sync += reg.eq(value)
            return reg

        late = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                late[field.name] = tuple(register(row, f"row_{k}") for k, row in enumerate(value))
            elif value is not None:
                late[field.name] = register(Value.cast(value), field.name, field.name != "en")
        return replace(self, **late)


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
    with m.If(x.en):
        m.d.sync += total_reg.eq(add(base, spec.sum_width))
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
        with m.If(x.en):
            m.d.sync += acc.eq(add(base, spec.acc_width))
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
