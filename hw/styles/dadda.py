"""Array multiplier: an AND gate for each pair of bits, summed by the compressor tree."""

from macsmith.hw.bits import even_bits
from macsmith.hw.multiplier import MULTIPLIERS, Scheme

__all__ = ["Dadda"]


@MULTIPLIERS.add("dadda")
class Dadda(Scheme):
    """An AND gate for each pair of bits of the two levels, signs as Baugh and Wooley have them."""

    def rows(self, m, heap, weight, activation, name):
        for i in range(even_bits(self.spec.weights), len(weight)):
            for j in range(even_bits(self.spec.activations), len(activation)):
                negative = (i == len(weight) - 1) != (j == len(activation) - 1)
                put = heap.subtract_bit if negative else heap.add_bit
                put(weight[i] & activation[j], i + j)
