"""Dot product: several products in one cycle, summed with the accumulator."""

from amaranth import Module, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from macsmith.hw.accumulator import Add, accumulate_groups
from macsmith.hw.operands import Operands
from macsmith.hw.style import Styles
from macsmith.hw.sum_unit import SumUnit, plain
from macsmith.sim.spec import MacSpec

__all__ = ["DOTS", "LANES", "DotProduct"]

DOTS = Styles("dot", MacSpec)
LANES = range(2, 33)


class DotProduct(SumUnit):
    """Sum of groups of products, a whole group each cycle: what `MacSpec` says after each group.

    Throughput is ``spec.lanes`` products per cycle in which ``en`` is high. The group is summed
    exactly; overflow applies once, to accumulator plus group.

    ::

        w[k], z --[1]--[recode]---.
                                  +--[rows]-.
        a[k] -----[1]--[prepare]--'         +--[2]--(+)--[overflow]--[acc]--+--
                      .. other lanes ..  ---'        '-- 0 if clear --------'

        [1]  operands, registered with pipeline 1 and 2, and once more in gated styles
        [2]  the sum of the group (its two rows, where it is not one number), with pipeline 2

    A group with fewer products has weights of level 0, or activations of level 0, in the rest.

    Parameters
    ----------
    spec : MacSpec
        2 to 32 lanes. "exact" is built as "wrap".
    style : str
        Microarchitecture: a name of the table of styles; all compute the same.
    pipeline : int
        Stages of registers before the accumulator, 0 to 2.

    Members
    -------
    clk, rst
        Of the domain ``sync``. ``rst`` is synchronous, active high, and comes before ``en``: it
        sets ``acc`` to 0 and drops what is in the pipeline.
    en : In(1)
        A group enters in this cycle. While it is low, ``acc`` holds and the operands may be
        anything.
    clear : In(1)
        With ``en``: start a new sum with this group. Alone it does nothing.
    w : In(data.ArrayLayout(unsigned(spec.weights.width), spec.lanes))
        Codes of the weights; lane 0 in the lowest bits.
    a : In(data.ArrayLayout(unsigned(spec.activations.width), spec.lanes))
        Codes of the activations; lane 0 in the lowest bits.
    z : In(unsigned(spec.weights.width))
        Zero point of all weights of the group; only where they are zero-pointed.
    acc : Out(signed(spec.acc_width))
        In units of ``2**-spec.frac_bits``; shows a group ``latency`` rising edges after it
        entered.

    Attributes
    ----------
    latency : int
        1 + pipeline, and one more in ``gated-`` styles.

    Raises
    ------
    ValueError
        If there is no such style, it cannot serve this spec, or pipeline or lanes are out of range.
    """

    def __init__(self, spec: MacSpec, style: str = "plain", pipeline: int = 0):
        DOTS.require(spec)
        if spec.lanes not in LANES:
            raise ValueError(f"a dot product has {LANES[0]} to {LANES[-1]} lanes, not {spec.lanes}")
        z = {"z": In(unsigned(spec.weights.width))} if spec.weights.zero_pointed else {}
        members = {
            "en": In(1),
            "clear": In(1),
            "w": In(data.ArrayLayout(unsigned(spec.weights.width), spec.lanes)),
            "a": In(data.ArrayLayout(unsigned(spec.activations.width), spec.lanes)),
            **z,
            "acc": Out(signed(spec.acc_width)),
        }
        super().__init__(DOTS, spec, style, pipeline, members)

    @property
    def bound(self) -> int:
        return self.spec.group_width

    def products(self, x: Operands) -> list[tuple[str, Value, Value]]:
        weights, activations = self.spec.weights.width, self.spec.activations.width
        return [
            (f"_{k}", x.w.word_select(k, weights), x.a.word_select(k, activations))
            for k in range(self.spec.lanes)
        ]

    def accumulate(self, m: Module, x: Operands, add: Add, acc: Signal | None = None) -> None:
        accumulate_groups(m, self.spec, self.acc if acc is None else acc, x, add)


DOTS.add("plain", latency=1)(plain)
