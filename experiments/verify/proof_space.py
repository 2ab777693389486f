"""Linear forms over a graph: which inputs matter, and between which bounds a form stays."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from macsmith.experiments.verify.proof_adders import Form
from macsmith.hw.aig import Graph
from macsmith.hw.cec import Undecided

__all__ = ["EXHAUSTIVE_BITS", "MOST_BITS", "Space", "members"]

EXHAUSTIVE_BITS = 24  # inputs gone through: 16 million values, a second or two
MOST_BITS = 62  # of a sum whose values are gone through as int64
_SPLIT_BITS = 20  # of independent terms together with what they share
_CHUNK_BITS = 16
_MOST_SHARED = 8  # inputs that terms share, each value of which is a case
_PATTERNS = tuple(
    np.uint64(sum(1 << i for i in range(64) if i >> k & 1)) for k in range(6)
)  # bit i is bit k of i

Term = tuple[int, int]  # variable, weight


@dataclass
class Space:
    """What is known about a graph: supports of its variables."""

    graph: Graph
    deadline: float = math.inf  # of `time.monotonic`, for what goes through values
    _support: dict[int, int] = field(default_factory=dict)

    def support(self, lits: list[int] | tuple[int, ...]) -> int:
        """Free variables of the literals, one bit of the result each."""
        known = self._support
        for var in self.graph.cone(lits):
            if var not in known:
                pair = self.graph.operands(var)
                known[var] = (
                    known.get(pair[0] >> 1, 0) | known.get(pair[1] >> 1, 0) if pair else 1 << var
                )
        result = 0
        for lit in lits:
            result |= known.get(lit >> 1, 0)
        return result

    def chunks(self, lits: list[int], inputs: list[int]) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Every value of the free variables ``inputs``: (first value, words of each literal).

        `Undecided` where the deadline has passed.
        """
        n = max(len(inputs), 6)
        low = min(n, _CHUNK_BITS)
        words = 1 << (low - 6)
        index = np.arange(words, dtype=np.uint64)
        values, order = {}, self.graph.cone(lits)
        for k, var in enumerate(inputs[:low]):
            if k < 6:
                values[var] = np.full(words, _PATTERNS[k])
            else:
                values[var] = -(index >> np.uint64(k - 6) & np.uint64(1))
        for upper in range(1 << (n - low)):
            if time.monotonic() > self.deadline:
                raise Undecided("out of time")
            for k, var in enumerate(inputs[low:]):
                values[var] = np.full(words, -(upper >> k & 1), np.int64).view(np.uint64)
            yield upper << low, self.graph.simulate(lits, values, words, order)

    def constant(self, form: Form, modulus: int) -> int | None:
        """The value of a form that is the same for all inputs, modulo a power of two; else None."""
        found = self._bounds(form, modulus)
        if found is None or (found[0] != found[1]).any() or (found[0] != found[0][0]).any():
            return None
        return int(found[0][0])

    def bounds(self, form: Form) -> tuple[int, int]:
        """Bounds of an integer, attained where its terms are few enough to be gone through."""
        least = greatest = form.constant
        for inputs, terms in self.groups(form.weights.items()):
            part = Form(0, dict(terms))
            fits = sum(abs(w) for _, w in terms) < 1 << MOST_BITS  # the int64 of `extremes`
            found = self._bounds(part, None) if len(terms) > 1 and inputs and fits else None
            if found is None:
                least += sum(min(w, 0) for _, w in terms)
                greatest += sum(max(w, 0) for _, w in terms)
            else:
                least += int(found[0].min())
                greatest += int(found[1].max())
        return least, greatest

    def _bounds(self, form: Form, modulus: int | None) -> tuple[np.ndarray, np.ndarray] | None:
        """Least and greatest value of a form, for every value of the inputs its terms share.

        Terms that share no other input are independent of each other. None where there is no such
        set of inputs, or a modulus and a term that is not a constant for each of its values.
        """
        shared, groups = self._split(list(form.weights.items()))
        if shared is None:
            return None
        least = np.full(1 << len(shared), form.constant, object)
        greatest = least.copy()
        for inputs, terms in groups:
            low, high = self.extremes(terms, inputs, shared, modulus)
            if modulus and (low != high).any():
                return None
            least, greatest = least + low, greatest + high
        if modulus:
            least, greatest = least % modulus, greatest % modulus
        return least, greatest

    def _split(self, terms: list[Term]):
        """Inputs that many terms share, and groups of terms that share no others."""
        shared: list[int] = []
        while True:
            groups = self.groups(terms, shared)
            most = _SPLIT_BITS if shared else EXHAUSTIVE_BITS
            large = [g for g in groups if len(g[0]) + len(shared) > most]
            if not large:
                return shared, groups
            if len(shared) == _MOST_SHARED:
                return None, []
            # the one that meets the most others: it belongs to several lanes
            meets: dict[int, int] = {}
            for _, mine in large:
                for var, _ in mine:
                    support = self.support([2 * var])
                    for one in members(support):
                        meets[one] = meets.get(one, 0) | support
            shared.append(
                max((v for v in meets if v not in shared), key=lambda v: meets[v].bit_count())
            )

    def extremes(
        self, terms: list[Term], inputs: list[int], shared: list[int], modulus: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest ``sum(weight * variable)`` for each value of the shared inputs."""
        lits = [2 * var for var, _ in terms]
        own = max(len(inputs), 6)
        padded = [*inputs, *range(-1, len(inputs) - own - 1, -1)]  # with variables that are none
        least = np.full(1 << len(shared), 1 << 62, np.int64)
        greatest = np.full(1 << len(shared), -(1 << 62), np.int64)
        for first, words in self.chunks(lits, [*padded, *shared]):
            total = np.zeros(64 * len(words[0]), np.int64)
            for (_, weight), bits in zip(terms, words, strict=True):
                # a product is several times faster here than a sum under a mask
                ones = np.unpackbits(bits.view(np.uint8), bitorder="little")
                total += ones * np.int64(weight)
            if modulus:
                total &= np.int64(modulus - 1)
            rows = total.reshape(-1, min(len(total), 1 << own))
            place = slice(first >> own, (first >> own) + len(rows))
            least[place] = np.minimum(least[place], rows.min(axis=1))
            greatest[place] = np.maximum(greatest[place], rows.max(axis=1))
        return least, greatest

    def groups(self, terms, shared: list[int] = ()) -> list[tuple[list[int], list[Term]]]:
        """Terms that share inputs, other than ``shared``, together: (inputs, terms)."""
        apart_from = ~sum(1 << var for var in shared)
        found: list[tuple[int, list[Term]]] = []
        for var, weight in terms:
            support, mine = self.support([2 * var]) & apart_from, [(var, weight)]
            apart = []
            for other, others in found:
                if other & support:
                    support |= other
                    mine += others
                else:
                    apart.append((other, others))
            found = [*apart, (support, mine)]
        return [(members(support), mine) for support, mine in found]


def members(support: int) -> list[int]:
    """Variables of a support."""
    return [k for k in range(support.bit_length()) if support >> k & 1]
