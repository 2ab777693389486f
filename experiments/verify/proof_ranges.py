"""What the ranges of sums say about their bits, for the algebra of adders.

Two facts need more than local truth tables. Carries that leave a sum exclude each other where the
sum is too small for two. And the top bit of a sum that fits its width is not only the parity of
what enters its column: with the bits below it is the sum as an integer, so that for a signed sum
``top = a + b - carry``.
"""

from collections import defaultdict
from itertools import product

from macsmith.experiments.verify.proof_adders import Adders, Form, rewrite
from macsmith.experiments.verify.proof_space import Space

__all__ = ["Facts"]

_EXACT = 1 << 200  # beyond every sum: integers


class Facts:
    """Facts about the bits of a graph, each proven when it is asked for and then kept."""

    def __init__(self, space: Space, adders: Adders):
        self.space, self.adders = space, adders
        self._tops: dict[int, Form | None] = {}
        self._by_carry = defaultdict(list)
        for found in adders.at.values():
            for adder in found:
                self._by_carry[adder.carry >> 1].append(adder)

    def exclusive(self, carries: list[int], weight: int, form: Form, modulus: int) -> bool:
        """Whether at most one of the carries out of a sum's low bits can be 1.

        With the low bits they are ``weight * sum(carries) + low``, an integer. The algebra says
        what it is in terms of the operands, and so how large it can be: below ``2 * weight``, one
        at most is 1.
        """
        if weight & (weight - 1) or weight < 2 or modulus == _EXACT:
            return False
        low = {var: w for var, w in form.centred(modulus).weights.items() if abs(w) < weight}
        whole = Form(0, dict(low))
        for lit in carries:
            whole.add_literal(lit, weight)
        greatest = self._range(whole)[1]
        least_low = sum(min(w, 0) for w in low.values())
        return greatest - least_low < 2 * weight

    def top(self, var: int, form: Form, modulus: int) -> Form | None:
        """A parity of ``form`` as a linear form of its operands, where it is the top of a sum.

        The sum's lower bits are those that the carries lead to. All its bits together, and the same
        with the parity's operands in place of it, are congruent modulo twice the top's weight;
        where both together range over less than that, they are equal.
        """
        if var in self._tops:
            return self._tops[var]
        weights = form.centred(modulus).weights
        if var not in weights:
            return None
        for operands in self.adders.parities[var]:
            for carry in operands:
                lower = self._lower_bits(carry >> 1, weights[var], weights)
                if lower is None:
                    continue
                self._tops[var] = None  # while it is being proven
                found = self._linear(var, operands, carry, weights[var], lower)
                if found:
                    self._tops[var] = found
                    return found
        return None

    def _lower_bits(self, carry: int, weight: int, weights: dict[int, int]):
        """The carry's literal and, downwards, the sum's bits below it, with their weights."""
        first, bits, half = None, {}, abs(weight) // 2
        sign = 0
        while half:
            for adder in self._by_carry.get(carry, ()):
                own = weights.get(adder.sum >> 1, 0) * (-1 if adder.sum & 1 else 1)
                if abs(own) == half and own * sign >= 0:
                    break
            else:
                break
            first = first or adder.carry
            sign = 1 if own > 0 else -1
            bits[adder.sum] = own
            half //= 2
            # the next one down: the operand that is a carry whose sum is there
            carry = next(
                (lit >> 1 for lit in adder.operands if self._goes_on(lit, half, weights)), 0
            )
        return (first, bits, sign) if bits else None

    def _goes_on(self, lit: int, half: int, weights: dict[int, int]) -> bool:
        return any(
            abs(weights.get(adder.sum >> 1, 0)) == half
            for adder in self._by_carry.get(lit >> 1, ())
        )

    def _linear(self, var: int, operands: tuple[int, ...], carry: int, weight: int, lower):
        """The parity as a linear form, proven; None if it is not."""
        positive, bits, sign = lower
        others = [lit for lit in operands if lit != carry]
        odd = (carry ^ positive) & 1
        rest = Form(0, {})
        for lit, own in bits.items():
            rest.add_literal(lit, own)
        low, high = (sum(f(own, 0) for own in bits.values()) for f in (min, max))
        low, high = low + min(weight, 0), high + max(weight, 0)
        size = abs(weight)
        for signs in product((1, -1), repeat=len(others)):
            linear = Form(0, {})
            linear.add_literal(positive, sign if weight > 0 else -sign)
            for lit, one in zip(others, signs, strict=True):
                linear.add_literal(lit, one)
            whole = Form(rest.constant, dict(rest.weights)).plus(linear, weight)
            least, greatest = self._range(whole)
            for constant in range(odd - 2, 4, 2):
                moved = weight * constant
                if max(high, greatest + moved) - min(low, least + moved) < 2 * size:
                    linear.constant += constant
                    return linear
        return None

    def _range(self, form: Form) -> tuple[int, int]:
        """Bounds of an integer, from what it is in terms of the operands."""
        whole = rewrite(form, self.adders, _EXACT, self).centred(_EXACT)
        return self.space.bounds(whole)
