"""Multiply-accumulate unit."""

from amaranth import Module, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macsmith.hw.accumulator import Operands, accumulate
from macsmith.hw.multiplier import Plain
from macsmith.hw.style import Styles
from macsmith.sim.spec import MacSpec

__all__ = ["MACS", "MOST_STAGES", "Mac", "check_pipeline"]

MACS = Styles("mac")
MOST_STAGES = 2


class Mac(wiring.Component):
    """Sum of products, one per cycle: what `MacSpec` says, after n products, for every n.

    Throughput is one product per cycle in which ``en`` is high. With ``spec.lanes`` > 1 the
    products of a group enter one after the other, are summed exactly, and overflow applies to the
    sum before the group plus the group so far, as if the group ended there.

    ::

        w, z --[1]--[recode]---.
                               +--[rows]--[2]--(+)--[overflow]--[acc]--+--
        a -----[1]--[prepare]--'                '-- 0 if clear --------'

        [1]  operands, registered with pipeline 1 and 2
        [2]  the product, registered with pipeline 2 (its two rows, where it is not one number)

    Parameters
    ----------
    spec : MacSpec
        "exact" is built as "wrap": that the width suffices is checked where the depth is known.
    style : str
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
        1 + pipeline.

    Raises
    ------
    ValueError
        If there is no such style, it cannot serve this spec, or pipeline is out of range.
    """

    def __init__(self, spec: MacSpec, style: str = "plain", pipeline: int = 0):
        self._style = MACS.get(style, spec)
        self.spec = spec
        self.style = style
        self.pipeline = check_pipeline(pipeline)
        self.latency = self._style.latency + pipeline
        z = {"z": In(unsigned(spec.weights.width))} if spec.weights.zero_pointed else {}
        super().__init__({
            "en": In(1),
            "clear": In(1),
            "w": In(unsigned(spec.weights.width)),
            "a": In(unsigned(spec.activations.width)),
            **z,
            "acc": Out(signed(spec.acc_width)),
        })

    def elaborate(self, platform):
        m = Module()
        x = Operands.of(self)
        if self.pipeline >= 1:
            x = x.registered(m, "in")
        self._style.build(m, self, x)
        return m


def check_pipeline(pipeline: int) -> int:
    """``pipeline`` itself; ValueError unless it is a number of stages."""
    if isinstance(pipeline, bool) or pipeline not in range(MOST_STAGES + 1):
        raise ValueError(f"pipeline must be 0 to {MOST_STAGES} stages, not {pipeline!r}")
    return pipeline


@MACS.add("plain", latency=1)
def plain(m: Module, mac: Mac, x: Operands) -> None:
    """``acc + w * a``, as one would write it: synthesis sees product and sum and may fuse them."""
    scheme = Plain(mac.spec)
    product = scheme.product(m, *scheme.factors(m, x))
    if mac.pipeline >= 2:
        x = x.with_rows(product).registered(m, "product")
        (product,) = x.rows
    accumulate(m, mac.spec, mac.acc, x, lambda base, width: base + product)
