"""Multiplier: two codes in, the product of their levels out."""

from amaranth import Module, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macsmith.hw.decoder import Decoder
from macsmith.hw.style import Styles
from macsmith.sim.spec import MacSpec

__all__ = ["MULTIPLIERS", "Multiplier"]

MULTIPLIERS = Styles("multiplier")


class Multiplier(wiring.Component):
    """Combinational: ``product = level(w) * level(a)``, exact.

    The operands are codes and not levels, so that a style may recode them in its own way.

    ========  =================================================================
    style     structure
    ========  =================================================================
    plain     a plain `Decoder` per operand and ``*``: synthesis picks the rest
    ========  =================================================================

    Parameters
    ----------
    spec : MacSpec
        Its formats count; accumulator, overflow and lanes do not.
    style : str

    Members
    -------
    w : In(unsigned(spec.weights.width))
    a : In(unsigned(spec.activations.width))
    z : In(unsigned(spec.weights.width))
        Zero point of the weights; only where they are zero-pointed.
    product : Out(signed(spec.product_width))
        In units of ``2**-spec.frac_bits``.

    Attributes
    ----------
    latency : int
        0.

    Raises
    ------
    ValueError
        If there is no such style, or it cannot serve this spec.
    """

    def __init__(self, spec: MacSpec, style: str = "plain"):
        self._style = MULTIPLIERS.get(style, spec)
        self.spec = spec
        self.style = style
        self.latency = self._style.latency
        z = {"z": In(unsigned(spec.weights.width))} if spec.weights.zero_pointed else {}
        super().__init__({
            "w": In(unsigned(spec.weights.width)),
            "a": In(unsigned(spec.activations.width)),
            **z,
            "product": Out(signed(spec.product_width)),
        })

    def elaborate(self, platform):
        m = Module()
        self._style.build(m, self)
        return m


@MULTIPLIERS.add("plain")
def plain(m: Module, mul: Multiplier) -> None:
    """``*`` between two decoders."""
    m.submodules.w_dec = w_dec = Decoder(mul.spec.weights)
    m.submodules.a_dec = a_dec = Decoder(mul.spec.activations)
    m.d.comb += [
        w_dec.code.eq(mul.w),
        a_dec.code.eq(mul.a),
        mul.product.eq(w_dec.level * a_dec.level),
    ]
    if mul.spec.weights.zero_pointed:
        m.d.comb += w_dec.z.eq(mul.z)
