"""Nibble-split multiplier: a product of four bits of the weight at a time."""

from amaranth import Cat, Const, Signal

from macsmith.hw.multiplier import MULTIPLIERS, Scheme

__all__ = ["Nibble"]

BITS = 4


def _refuses(spec) -> str:
    if (width := spec.weights.level_width) <= BITS:
        return f"the levels of {spec.weights.name} have {width} bits, one nibble at most"
    return ""


@MULTIPLIERS.add("nibble", refuses=_refuses)
class Nibble(Scheme):
    """The weight's level as nibbles, the top one signed: a ``*`` each, summed by the tree.

    It is how a multiplier for 4-bit weights serves 8-bit ones in two halves.
    """

    def rows(self, m, heap, weight, activation, name):
        for low in range(0, len(weight), BITS):
            nibble = weight[low : low + BITS]
            last = low + BITS >= len(weight)
            nibble = nibble.as_signed() if last else Cat(nibble, Const(0, 1)).as_signed()
            # A wire of its own: its bits go different ways, and each would repeat the product.
            product = Signal((nibble * activation).shape(), name=f"{name}_{low}")
            m.d.comb += product.eq(nibble * activation)
            heap.add(product, low)
