"""Multiplier: two codes in, the product of their levels out; and how a product is made of bits."""

from amaranth import Module, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macsmith.hw.decoder import Decoder
from macsmith.hw.heap import Heap
from macsmith.hw.style import Styles
from macsmith.sim.spec import MacSpec

__all__ = ["MULTIPLIERS", "Multiplier", "Plain", "Scheme"]

MULTIPLIERS = Styles("multiplier", MacSpec)


class Multiplier(wiring.Component):
    """Combinational: ``product = level(w) * level(a)``, exact.

    The operands are codes and not levels, so that a style may recode them in its own way. A style
    is a `Scheme`; what it makes of the two operands goes through one compressor tree.

    Parameters
    ----------
    spec : MacSpec
        Its formats count; accumulator, overflow and lanes do not.
    style : str
        Microarchitecture: a name of the table of styles; all compute the same.

    Members
    -------
    w : In(unsigned(spec.weights.width))
        Code of the weight.
    a : In(unsigned(spec.activations.width))
        Code of the activation.
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
        scheme = self._style.build(self.spec)
        weight = scheme.recode(m, self.w, getattr(self, "z", None))
        m.d.comb += self.product.eq(scheme.product(m, weight, scheme.prepare(m, self.a)))
        return m


class Scheme:
    """How one kind of multiplier makes a product: a style of `MULTIPLIERS` is a subclass.

    The work has three parts, so that an array does each where it is needed least often:

    ::

        w, z --[recode]---- weight -----.
                                        +--[rows]--> bits of a `Heap`
        a -----[prepare]--- activation -'

    ``recode`` looks at a weight alone and ``prepare`` at an activation alone: at the edge of an
    array they are done once for a whole row or column, and what they return travels. This class
    has the ones that most schemes want: the two levels.

    Parameters
    ----------
    spec : MacSpec
    """

    def __init__(self, spec: MacSpec):
        self.spec = spec

    def recode(self, m: Module, w: Value, z: Value | None, name: str = "w") -> Value:
        """What ``rows`` needs of a weight, from its code (and zero point); here its level.

        Adds to ``m``, where everything is called ``name`` or starts so.
        """
        return _decode(m, self.spec.weights, w, z, name)

    def prepare(self, m: Module, a: Value, name: str = "a") -> Value:
        """What ``rows`` needs of an activation, from its code; here its level."""
        return _decode(m, self.spec.activations, a, None, name)

    def rows(self, m: Module, heap: Heap, weight: Value, activation: Value, name: str) -> None:
        """Add the product, as bits, to ``heap``."""
        raise NotImplementedError

    def product(self, m: Module, weight: Value, activation: Value, name: str = "product") -> Value:
        """The product itself, signed, of ``spec.product_width`` bits."""
        heap = Heap(m, name)
        self.rows(m, heap, weight, activation, f"{name}_rows")
        return heap.total(self.spec.product_width)


@MULTIPLIERS.add("plain")
class Plain(Scheme):
    """A plain `Decoder` per operand and ``*``: synthesis picks the rest."""

    def rows(self, m, heap, weight, activation, name):
        heap.add(self.product(m, weight, activation, name))

    def product(self, m, weight, activation, name="product"):
        # A wire of its own: its bits go different ways, and each would repeat the product.
        product = Signal(signed(self.spec.product_width), name=name)
        m.d.comb += product.eq(weight * activation)
        return product


def _decode(m: Module, fmt, code: Value, z: Value | None, name: str) -> Value:
    m.submodules[f"{name}_dec"] = decoder = Decoder(fmt)
    m.d.comb += decoder.code.eq(code)
    if fmt.zero_pointed:
        m.d.comb += decoder.z.eq(z)
    return decoder.level
