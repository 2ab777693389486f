"""What units that sum products have in common: `Mac`, `DotProduct` and `SharedMultiples`."""

from abc import abstractmethod
from functools import reduce
from operator import add

from amaranth import Module, Signal, Value
from amaranth.lib import wiring

from macsmith.hw.accumulator import Add
from macsmith.hw.multiplier import Plain, Scheme
from macsmith.hw.operands import Operands
from macsmith.hw.style import Styles, check_stages
from macsmith.sim.spec import MacSpec

__all__ = ["StagedUnit", "SumUnit", "plain"]

MOST_STAGES = 2


class StagedUnit(wiring.Component):
    """A unit with the ports ``en``, ``clear``, ``w``, ``a``, ``z`` and ``acc``.

    A style builds what is behind the first registers: ``build(m, unit, x)`` with the `Operands`
    ``x``. Pipeline stage 1 registers the operands, stage 2 is the style's.

    Parameters
    ----------
    styles : Styles
        Of the subclass.
    spec, style, pipeline
        As the subclass says.
    members : dict
        Of its signature.

    Raises
    ------
    ValueError
        If there is no such style, it cannot serve this spec, or pipeline is not 0, 1 or 2.
    """

    def __init__(self, styles: Styles, spec: MacSpec, style: str, pipeline: int, members: dict):
        self._style = styles.get(style, spec)
        self.spec = spec
        self.style = style
        self.pipeline = check_stages(pipeline, MOST_STAGES)
        self.latency = self._style.latency + pipeline
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        x = Operands.of(self)
        if self.pipeline >= 1:
            x = x.registered(m, "in")
        self._style.build(m, self, x)
        return m


class SumUnit(StagedUnit):
    """A `StagedUnit` with one sum; its stage 2 registers what enters the sum."""

    @property
    @abstractmethod
    def bound(self) -> int:
        """Bits of what enters the sum in one cycle, signed."""

    @abstractmethod
    def products(self, x: Operands) -> list[tuple[str, Value, Value]]:
        """The products of one cycle: a suffix for names, and the codes of weight and activation."""

    @abstractmethod
    def accumulate(self, m: Module, x: Operands, add: Add, acc: Signal | None = None) -> None:
        """The step of the accumulator, which is the port ``acc`` or a register in its place."""

    def factors(self, m: Module, scheme: Scheme, x: Operands) -> list[tuple[str, Value, Value]]:
        """Per product a name, and what ``scheme`` makes of its weight and of its activation."""
        return [
            (
                f"product{k}",
                scheme.recode(m, w, x.z, f"w{k}"),
                scheme.prepare(m, a, f"a{k}"),
            )
            for k, w, a in self.products(x)
        ]

    def late(self, m: Module, x: Operands, *rows: Value) -> Operands:
        """``rows``, which add up to what enters the sum, behind the registers of stage 2."""
        x = Operands(x.en, x.clear, rows=rows)
        return x.registered(m, "sum") if self.pipeline >= 2 else x


def plain(m: Module, unit: SumUnit, x: Operands) -> None:
    """``acc + w * a``, as one would write it: synthesis sees product and sum and may fuse them."""
    scheme = Plain(unit.spec)
    products = [scheme.product(m, w, a) for _, w, a in unit.factors(m, scheme, x)]
    entering = Signal.like(reduce(add, products), name="entering")
    if unit.pipeline >= 2:
        m.d.comb += entering.eq(reduce(add, products))
        x = unit.late(m, x, entering)
        products = x.rows
    unit.accumulate(m, x, lambda base, width: reduce(add, products, base))
