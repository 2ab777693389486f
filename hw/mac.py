"""Multiply-accumulate unit."""

from amaranth import Module, Signal, Value, signed, unsigned
from amaranth.lib.wiring import In, Out

from macsmith.hw.accumulator import Add, accumulate
from macsmith.hw.operands import Operands
from macsmith.hw.style import Styles
from macsmith.hw.sum_unit import SumUnit, plain
from macsmith.sim.spec import MacSpec

__all__ = ["MACS", "Mac"]

MACS = Styles("mac", MacSpec)


class Mac(SumUnit):
    """Sum of products, one per cycle: what `MacSpec` says, after n products, for every n.

    Throughput is one product per cycle in which ``en`` is high. With ``spec.lanes`` > 1 the
    products of a group enter one after the other, are summed exactly, and overflow applies to the
    sum before the group plus the group so far, as if the group ended there.

    ::

        w, z --[1]--[recode]---.
                               +--[rows]--[2]--(+)--[overflow]--[acc]--+--
        a -----[1]--[prepare]--'                '-- 0 if clear --------'

        [1]  operands, registered with pipeline 1 and 2, and once more in gated styles
        [2]  the product, registered with pipeline 2 (its two rows, where it is not one number)

    Parameters
    ----------
    spec : MacSpec
        "exact" is built as "wrap": that the width suffices is checked where the depth is known.
    style : str
        Microarchitecture: a name of the table of styles; all compute the same.
    pipeline : int
        Stages of registers before the accumulator, 0 to 2.

    Members
    -------
    clk, rst
        Of the domain ``sync``. ``rst`` is synchronous, active high, and comes before ``en``: it
        sets ``acc`` to 0, drops what is in the pipeline, and the next product starts a group.
    en : In(1)
        A product enters in this cycle. While it is low, ``acc`` holds and the operands may be
        anything.
    clear : In(1)
        With ``en``: start a new sum, and a new group, with this product. Alone it does nothing.
    w : In(unsigned(spec.weights.width))
        Code of the weight.
    a : In(unsigned(spec.activations.width))
        Code of the activation.
    z : In(unsigned(spec.weights.width))
        Zero point of the weights; only where they are zero-pointed. Belongs to its product.
    acc : Out(signed(spec.acc_width))
        In units of ``2**-spec.frac_bits``; shows a product ``latency`` rising edges after it
        entered.

    Attributes
    ----------
    latency : int
        1 + pipeline, and one more in ``gated-`` styles.

    Raises
    ------
    ValueError
        If there is no such style, it cannot serve this spec, or pipeline is out of range.
    """

    def __init__(self, spec: MacSpec, style: str = "plain", pipeline: int = 0):
        MACS.require(spec)
        z = {"z": In(unsigned(spec.weights.width))} if spec.weights.zero_pointed else {}
        members = {
            "en": In(1),
            "clear": In(1),
            "w": In(unsigned(spec.weights.width)),
            "a": In(unsigned(spec.activations.width)),
            **z,
            "acc": Out(signed(spec.acc_width)),
        }
        super().__init__(MACS, spec, style, pipeline, members)

    @property
    def bound(self) -> int:
        return self.spec.product_width

    def products(self, x: Operands) -> list[tuple[str, Value, Value]]:
        return [("", x.w, x.a)]

    def accumulate(self, m: Module, x: Operands, add: Add, acc: Signal | None = None) -> None:
        accumulate(m, self.spec, self.acc if acc is None else acc, x, add)


MACS.add("plain", latency=1)(plain)
