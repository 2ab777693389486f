"""Multiply-accumulate unit."""

from amaranth import Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macsmith.hw.multiplier import Multiplier
from macsmith.hw.style import Styles
from macsmith.sim.spec import MacSpec

__all__ = ["MACS", "Mac", "clamp"]

MACS = Styles("mac")


class Mac(wiring.Component):
    """Sum of products, one per cycle: what `MacSpec` says, after n products, for every n.

    Throughput is one product per cycle in which ``en`` is high. With ``spec.lanes`` > 1 the
    products of a group enter one after the other, are summed exactly, and overflow applies to the
    sum before the group plus the group so far, as if the group ended there.

    ========  =======  ======================================================================
    style     latency  structure
    ========  =======  ======================================================================
    plain     1        plain `Multiplier`, adder, accumulator; no register before the product
    ========  =======  ======================================================================

    Parameters
    ----------
    spec : MacSpec
        "exact" is built as "wrap": that the width suffices is checked where the depth is known.
    style : str

    Members
    -------
    clk, rst
        Of the domain ``sync``. ``rst`` is synchronous, active high, and comes before ``en``: it
        sets ``acc`` to 0, and the next product starts a group.
    en : In(1)
        A product enters in this cycle. While it is low, ``acc`` holds and the operands may be
        anything.
    clear : In(1)
        With ``en``: start a new sum, and a new group, with this product. Alone it does nothing.
    w : In(unsigned(spec.weights.width))
    a : In(unsigned(spec.activations.width))
    z : In(unsigned(spec.weights.width))
        Zero point of the weights; only where they are zero-pointed. Belongs to its product.
    acc : Out(signed(spec.acc_width))
        In units of ``2**-spec.frac_bits``; shows a product ``latency`` rising edges after it
        entered.

    Attributes
    ----------
    latency : int

    Raises
    ------
    ValueError
        If there is no such style, or it cannot serve this spec.
    """

    def __init__(self, spec: MacSpec, style: str = "plain"):
        self._style = MACS.get(style, spec)
        self.spec = spec
        self.style = style
        self.latency = self._style.latency
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
        self._style.build(m, self)
        return m


@MACS.add("plain", latency=1)
def plain(m: Module, mac: Mac) -> None:
    """Multiplier and adder before the accumulator's register.

    ::

        w, z --[decoder]--(*)--(+)--[overflow]--[acc]--+--
        a -----[decoder]---'    '-- 0 if clear --------'
    """
    m.submodules.multiplier = multiplier = Multiplier(mac.spec)
    m.d.comb += [
        multiplier.w.eq(mac.w),
        multiplier.a.eq(mac.a),
    ]
    if mac.spec.weights.zero_pointed:
        m.d.comb += multiplier.z.eq(mac.z)
    accumulate(m, mac, multiplier.product)


def accumulate(m: Module, mac: Mac, product: Value) -> None:
    """Add ``product`` to ``mac.acc`` at the next edge, as ``mac.spec`` and the strobes say."""
    spec = mac.spec
    if spec.overflow != "saturate":  # wrapping does not care where a group ends
        with m.If(mac.en):
            m.d.sync += mac.acc.eq(Mux(mac.clear, 0, mac.acc) + product)
        return

    if spec.lanes == 1:
        total = Signal(signed(spec.sum_width))
        m.d.comb += total.eq(Mux(mac.clear, 0, mac.acc) + product)
        with m.If(mac.en):
            m.d.sync += mac.acc.eq(clamp(total, spec.acc_width))
        return

    # The register keeps the total of sum and group *before* the clamp, wide enough for a group
    # that starts from a full accumulator; `acc` is its clamp, and so is what a new group starts at.
    total_reg = Signal(signed(spec.sum_width))
    lane = Signal(range(spec.lanes))  # products already in this group
    base = Signal(signed(spec.sum_width))
    m.d.comb += [
        mac.acc.eq(clamp(total_reg, spec.acc_width)),
        base.eq(Mux(mac.clear, 0, Mux(lane == 0, mac.acc, total_reg))),
    ]
    with m.If(mac.en):
        m.d.sync += total_reg.eq(base + product)
        with m.If(mac.clear):
            m.d.sync += lane.eq(1)
        with m.Elif(lane == spec.lanes - 1):
            m.d.sync += lane.eq(0)
        with m.Else():
            m.d.sync += lane.eq(lane + 1)


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
