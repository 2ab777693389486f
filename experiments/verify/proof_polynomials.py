"""Linear forms over a graph as polynomials of a few bits: products of any width.

A bit is a polynomial of the bits it is made of, in which no variable is squared: ``~x`` is
``1 - x``, ``x & y`` is ``x * y``. What recodings and partial products make of operands are small
polynomials of these; their weighted sum is the product, and two multipliers are equal where all
coefficients of the difference vanish. Where a polynomial would grow, as along a chain of carries,
it starts anew with the bit itself.
"""

from dataclasses import dataclass, field

from macsmith.experiments.verify.proof_adders import Adders, Form
from macsmith.experiments.verify.proof_space import Space

__all__ = ["Polynomials"]

_MOST_TERMS = 512  # of a polynomial
_MOST_PRODUCTS = 2**14  # of two polynomials' terms
_FEW = 4  # inputs of a sum that is taken apart

#: Coefficient by monomial: the set of the bits that it multiplies, a bit each.
Polynomial = dict[int, int]


@dataclass
class Polynomials:
    """Polynomials of a graph's variables, by variable; each is made once."""

    space: Space
    adders: Adders
    _known: dict[int, Polynomial] = field(default_factory=dict)
    _bits: int = 0  # that monomials are made of

    def vanishes(self, form: Form, modulus: int) -> bool:
        """Whether the form is 0 for all inputs, by its polynomial; False where that does not say.

        ``modulus`` is a power of two.
        """
        total: Polynomial = {0: form.constant}
        for var, weight in form.weights.items():
            for monomial, times in self.of(var).items():
                total[monomial] = total.get(monomial, 0) + weight * times
        return all(coefficient % modulus == 0 for coefficient in total.values())

    def of(self, var: int) -> Polynomial:
        """The polynomial of a variable of the graph."""
        known, graph = self._known, self.space.graph
        stack = [var]
        while stack:
            one = stack[-1]
            pair = graph.operands(one)
            if one in known:
                stack.pop()
            elif pair is None or self._starts_anew(one):
                known[one] = self._bit()
            elif missing := [lit >> 1 for lit in pair if lit >> 1 not in known]:
                stack += missing
            else:
                factors = [_of_literal(known[lit >> 1], lit) for lit in pair]
                product = _product(*factors)
                known[one] = self._bit() if product is None else product
        return known[var]

    def _bit(self) -> Polynomial:
        self._bits += 1
        return {1 << self._bits: 1}

    def _starts_anew(self, var: int) -> bool:
        """Whether the variable is a sum or a carry in a chain of adders."""
        carries = self.adders.carries
        chained = var in carries or any(
            lit >> 1 in carries for lits in self.adders.parities.get(var, ()) for lit in lits
        )
        return chained and self.space.support([2 * var]).bit_count() > _FEW


def _of_literal(polynomial: Polynomial, lit: int) -> Polynomial:
    """That of a variable, or of its complement."""
    if not lit & 1:
        return polynomial
    negated = {monomial: -times for monomial, times in polynomial.items()}
    negated[0] = negated.get(0, 0) + 1
    return negated


def _product(left: Polynomial, right: Polynomial) -> Polynomial | None:
    """None where it is too large."""
    if len(left) * len(right) > _MOST_PRODUCTS:
        return None
    found: Polynomial = {}
    for x, times_x in left.items():
        for y, times_y in right.items():
            found[x | y] = found.get(x | y, 0) + times_x * times_y
    found = {monomial: times for monomial, times in found.items() if times}
    return found if len(found) <= _MOST_TERMS else None
