"""Operands of a requantizer whose product has chosen bits: a tie and one more, or one out of range.

A bit that the rounding or the clamp overlooks shows only where no other one says the same. So each
stands alone below a tie, and alone beyond the result; and beside its neighbour, where an exclusive
or in place of an or would miss both.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from macsmith.sim.requantize import RequantizeSpec

__all__ = ["Lone", "beyond", "beyond_bin", "factors", "lone_bits", "sticky", "sticky_bin"]

#: (bin or "", shift, difference, multiplier)
Lone = tuple[str, int, int, int]

_ONE, _TWO = 0b1, 0b11
_TRIALS = 2**12  # odd divisors that are tried
_HALVES = range(-3, -64, -4)  # ties of negative numbers, above an even integer: see `sticky`


def sticky_bin(shift: int, bit: int) -> str:
    return f"shift {shift}: a tie and bit {bit}"


def beyond_bin(shift: int, bit: int) -> str:
    return f"shift {shift}: beyond by bit {bit} alone"


def sticky(numbers: RequantizeSpec) -> Iterator[Lone]:
    """Ties with a bit more, or two; the bin is of one.

    The tie is above an even integer and negative: so "half-even" and "half-away" ask for what is
    below it. "half-up" never does; "tflite" where it rounds twice, of what the first rounding left.
    """
    lowest = numbers.multiplier_width if numbers.rounding == "tflite" else 0
    if numbers.rounding == "half-up":
        return
    for shift in range(lowest + 2, numbers.max_shift + 1):
        for bit in range(lowest, shift - 1):
            for bits in (_ONE, _TWO):
                if bits << bit >= 1 << shift - 1:
                    continue
                products = ((odd << shift - 1) + (bits << bit) for odd in _HALVES)
                found = next(filter(None, (factors(numbers, p) for p in products)), None)
                if found:
                    yield sticky_bin(shift, bit) if bits == _ONE else "", shift, *found


def beyond(numbers: RequantizeSpec) -> Iterator[Lone]:
    """The same of results 2**bit and 3 * 2**bit, and of the negative ones with all bits inverted:
    no other bit says that they are out of range."""
    shifts = [0, *(2**k for k in range(numbers.shift_width)), numbers.max_shift]
    for shift in sorted(set(shifts)):
        for bit in range(numbers.out_width - 1, numbers.product_width - 1 - shift):
            for bits, negative in ((_ONE, False), (_ONE, True), (_TWO, False), (_TWO, True)):
                result = ~(bits << bit) if negative else bits << bit
                if found := factors(numbers, result << shift):
                    yield beyond_bin(shift, bit) if bits == _ONE else "", shift, *found


def lone_bits(numbers: RequantizeSpec, product: int, shift: int) -> Iterator[str]:
    """Bins of `sticky` and `beyond` that a product hits, where they are any."""
    floor, below = product >> shift, product % 2**shift
    more = below - 2**shift // 2
    if shift and product < 0 and floor % 2 == 0 and more > 0 and not more & more - 1:
        yield sticky_bin(shift, more.bit_length() - 1)
    far = ~floor if floor < 0 else floor
    if not below and far and not far & far - 1:
        yield beyond_bin(shift, far.bit_length() - 1)


def factors(numbers: RequantizeSpec, product: int) -> tuple[int, int] | None:
    """A (difference, multiplier) with just this product; None where none is found.

    The difference is one of an accumulator and a correction of their widths.
    """
    if not product:
        return None
    twos = (product & -product).bit_length() - 1
    greatest = 2 ** (numbers.acc_width - 1) - 1 + 2**numbers.correction_width // 2
    for divisor, cofactor in _divided(abs(product) >> twos, numbers.multiplier_width):
        in_difference = max(0, twos - (numbers.multiplier_width - cofactor.bit_length()))
        difference = divisor << in_difference
        if difference <= greatest and cofactor.bit_length() <= numbers.multiplier_width:
            sign = -1 if product < 0 else 1
            return sign * difference, cofactor << twos - in_difference
    return None


@lru_cache(maxsize=2**14)
def _divided(odd: int, width: int) -> tuple[tuple[int, int], ...]:
    """Divisors and cofactors of an odd number: 1, itself, and the least that is found with a
    cofactor of ``width`` bits."""
    found = [(1, odd), (odd, 1)]
    if 2**width <= odd < 2**63:
        first = -(-odd // (2**width - 1)) | 1
        divisors = np.arange(first, first + 2 * _TRIALS, 2)
        found += [(int(d), odd // int(d)) for d in divisors[odd % divisors == 0][:1]]
    return tuple(found)
