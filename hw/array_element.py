"""The elements of a systolic array: what they compute, and where their operands are decoded."""

from dataclasses import dataclass

from amaranth import Cat, Module, Signal, Value, signed

from macsmith.hw.heap import Heap
from macsmith.hw.multiplier import MULTIPLIERS, Plain, Scheme
from macsmith.hw.style import Style, Styles
from macsmith.sim.spec import MacSpec

__all__ = ["ARRAYS", "DECODES", "Element"]

ARRAYS = Styles("array", MacSpec)
DECODES = ("element", "edge")


@dataclass(frozen=True)
class Element:
    """``base + weight * activation``, and what of it is done before the operands travel.

    Parameters
    ----------
    scheme : Scheme
    fused : bool
        Whether the product's rows and the sum meet in one compressor tree.
    decode : str
        "element": codes travel (a weight with its zero point). "edge": what the scheme makes of
        each operand alone travels, so that it is made once for a whole row or column.
    """

    scheme: Scheme
    fused: bool
    decode: str

    def weight_at_edge(self, m: Module, w: Value, z: Value | None, name: str) -> Value:
        """What travels of a weight."""
        if self.decode == "edge":
            return self.scheme.recode(m, w, z, name)
        return w if z is None else Cat(w, z)

    def activation_at_edge(self, m: Module, a: Value, name: str) -> Value:
        """What travels of an activation."""
        return self.scheme.prepare(m, a, name) if self.decode == "edge" else a

    def add(self, m: Module, weight: Value, activation: Value, base: Value, width: int) -> Value:
        """The sum modulo ``2**width``, signed, of operands that have travelled."""
        total = Signal(signed(width), name="total")
        m.d.comb += total.eq(self._total(m, weight, activation, base, width))
        return total

    def _total(self, m: Module, weight: Value, activation: Value, base: Value, width: int) -> Value:
        spec = self.scheme.spec
        if self.decode == "element":
            w = weight[: spec.weights.width]
            z = weight[spec.weights.width :] if spec.weights.zero_pointed else None
            weight, activation = self.scheme.recode(m, w, z), self.scheme.prepare(m, activation)
        if not self.fused:
            return base + self.scheme.product(m, weight, activation)
        heap = Heap(m)
        self.scheme.rows(m, heap, weight, activation, "product")
        return heap.onto(base, width, spec.product_width)


@ARRAYS.add("plain")
def plain(spec: MacSpec, decode: str) -> Element:
    """``sum + w * a``, as one would write it: synthesis sees product and sum and may fuse them."""
    return Element(Plain(spec), False, decode)


@ARRAYS.add("separate", over=MULTIPLIERS, but=["plain", "picked", "flipped"])
def separate(multiplier: Style, spec: MacSpec, decode: str) -> Element:
    """The product is one number before it is added to the sum."""
    return Element(multiplier.build(spec), False, decode)


@ARRAYS.add("fused", over=MULTIPLIERS, but=["plain"])
def fused(multiplier: Style, spec: MacSpec, decode: str) -> Element:
    """Partial products and sum in one compressor tree."""
    return Element(multiplier.build(spec), True, decode)
