"""Several sums that share one activation: what belongs to the activation alone is made once."""

from amaranth import Module, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from macsmith.hw.accumulator import accumulate
from macsmith.hw.heap import Heap
from macsmith.hw.multiplier import MULTIPLIERS, Plain, Scheme
from macsmith.hw.operands import Operands
from macsmith.hw.style import Style, Styles, check_count
from macsmith.hw.sum_unit import StagedUnit
from macsmith.sim.spec import MacSpec

__all__ = ["SHARED", "SharedMultiples"]

SHARED = Styles("shared", MacSpec)
MOST_OUTPUTS = 256


class SharedMultiples(StagedUnit):
    """One activation times many weights, each product into a sum of its own.

    Output n computes what a `Mac` computes from ``w[n]``, ``a`` and ``z[n]``. Throughput is
    ``outputs`` products per cycle in which ``en`` is high.

    ::

        a ----------[1]--[prepare: decode, or 1a .. 8a]--+------------ .. all outputs
                                                         |
        w[n], z[n] -[1]--[recode: which multiple]--[rows: pick]--(+)--[overflow]--[acc[n]]--+--
                                                                  '-- 0 if clear -----------'

        [1]  operands, registered with pipeline 1 and 2; pipeline 2 registers what was recoded and
             prepared as well

    Parameters
    ----------
    spec : MacSpec
        lanes must be 1. "exact" is built as "wrap".
    outputs : int
        1 to 256.
    style : str
        Microarchitecture: a name of the table of styles; all compute the same.
    pipeline : int
        Stages of registers before the accumulators, 0 to 2.

    Members
    -------
    clk, rst
        Of the domain ``sync``. ``rst`` is synchronous, active high, and comes before ``en``: it
        sets every sum to 0 and drops what is in the pipeline.
    en : In(1)
        Products enter in this cycle. While it is low, ``acc`` holds and the operands may be
        anything.
    clear : In(1)
        With ``en``: start new sums with these products. Alone it does nothing.
    a : In(unsigned(spec.activations.width))
        Code of the activation.
    w : In(data.ArrayLayout(unsigned(spec.weights.width), outputs))
        Codes of the weights; output 0 in the lowest bits.
    z : In(data.ArrayLayout(unsigned(spec.weights.width), outputs))
        Zero points of the weights; only where they are zero-pointed.
    acc : Out(data.ArrayLayout(signed(spec.acc_width), outputs))
        In units of ``2**-spec.frac_bits``; shows products ``latency`` rising edges after they
        entered.

    Attributes
    ----------
    latency : int
        1 + pipeline.

    Raises
    ------
    ValueError
        If there is no such style, it cannot serve this spec, or a number is out of range.
    """

    def __init__(self, spec: MacSpec, outputs: int = 4, style: str = "plain", pipeline: int = 0):
        SHARED.require(spec)
        if spec.lanes != 1:
            raise ValueError(f"shared multiples need a spec of 1 lane, not {spec.lanes}")
        self.outputs = check_count("outputs", outputs, MOST_OUTPUTS)
        codes = data.ArrayLayout(unsigned(spec.weights.width), outputs)
        members = {
            "en": In(1),
            "clear": In(1),
            "a": In(unsigned(spec.activations.width)),
            "w": In(codes),
            **({"z": In(codes)} if spec.weights.zero_pointed else {}),
            "acc": Out(data.ArrayLayout(signed(spec.acc_width), outputs)),
        }
        super().__init__(SHARED, spec, style, pipeline, members)

    def factors(
        self, m: Module, scheme: Scheme, x: Operands
    ) -> tuple[Operands, list[Value], Value]:
        """The strobes, each weight recoded, and the activation prepared, behind stage 2."""
        width = self.spec.weights.width
        weights = [
            scheme.recode(
                m,
                x.w.word_select(n, width),
                None if x.z is None else x.z.word_select(n, width),
                f"w_{n}",
            )
            for n in range(self.outputs)
        ]
        activation = scheme.prepare(m, x.a)
        x = Operands(x.en, x.clear, rows=(*weights, activation))
        if self.pipeline >= 2:
            x = x.registered(m, "factor")
        return x, list(x.rows[:-1]), x.rows[-1]

    def accumulate(self, m: Module, n: int, x: Operands, add) -> None:
        """The step of output ``n``."""
        acc = Signal(signed(self.spec.acc_width), name=f"acc_{n}")
        m.d.comb += self.acc[n].eq(acc)
        accumulate(m, self.spec, acc, x, add)


@SHARED.add("plain", latency=1)
def plain(m: Module, unit: SharedMultiples, x: Operands) -> None:
    """``acc[n] + w[n] * a`` for each output, as one would write it."""
    scheme = Plain(unit.spec)
    x, weights, activation = unit.factors(m, scheme, x)
    for n, weight in enumerate(weights):
        product = scheme.product(m, weight, activation, f"product_{n}")
        unit.accumulate(m, n, x, lambda base, width, product=product: base + product)


@SHARED.add("fused", over=MULTIPLIERS, latency=1)
def fused(multiplier: Style, m: Module, unit: SharedMultiples, x: Operands) -> None:
    """Each output in one compressor tree with its accumulator."""
    scheme, bound = multiplier.build(unit.spec), unit.spec.product_width
    x, weights, activation = unit.factors(m, scheme, x)
    for n, weight in enumerate(weights):
        heap = Heap(m, f"tree_{n}")
        scheme.rows(m, heap, weight, activation, f"product_{n}")
        unit.accumulate(m, n, x, lambda base, width, heap=heap: heap.onto(base, width, bound))
