"""Words of a graph: equal or not, and by which argument.

Three arguments, each complete: all values of the inputs (bit-parallel, where there are few), the
algebra of adders (`proof_adders`), and ABC's SAT solver for what is left. A word that differs gives
the values of the inputs for which it does.
"""

import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from macsmith.experiments.verify.proof_adders import Adders, Form, rewrite
from macsmith.hw.aig import Graph
from macsmith.hw.cec import Undecided, satisfy

__all__ = ["Differ", "Space", "Words", "prove_words"]

EXHAUSTIVE_BITS = 24  # inputs gone through: 16 million values, a second or two
_CHUNK_BITS = 16
_RANDOM_WORDS = 64
_PATTERNS = tuple(
    np.uint64(sum(1 << i for i in range(64) if i >> k & 1)) for k in range(6)
)  # bit i is bit k of i


@dataclass(frozen=True)
class Words:
    """Two words that ought to be equal; literals, lowest bit first."""

    name: str
    left: tuple[int, ...]
    right: tuple[int, ...]


class Differ(Exception):
    """Two words differ: ``model`` has the values of the graph's free variables."""

    def __init__(self, words: Words, model: list[int]):
        super().__init__(words.name)
        self.words, self.model = words, model


@dataclass
class Space:
    """What is known about a graph: supports of its variables."""

    graph: Graph
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

    def chunks(self, lits: list[int], inputs: list[int]):
        """Every value of the free variables ``inputs``: (first value, words of each literal)."""
        n = max(len(inputs), 6)
        low = min(n, _CHUNK_BITS)
        words = 1 << (low - 6)
        index = np.arange(words, dtype=np.uint64)
        values = {}
        for k, var in enumerate(inputs[:low]):
            if k < 6:
                values[var] = np.full(words, _PATTERNS[k])
            else:
                values[var] = -(index >> np.uint64(k - 6) & np.uint64(1))
        for upper in range(1 << (n - low)):
            for k, var in enumerate(inputs[low:]):
                values[var] = np.full(words, -(upper >> k & 1), np.int64).view(np.uint64)
            yield upper << low, self.graph.simulate(lits, values, words)

    def extremes(self, terms: list[tuple[int, int]], inputs: list[int], modulus: int | None):
        """Least and greatest ``sum(weight * variable)`` over all values of the inputs."""
        lits = [2 * var for var, _ in terms]
        least, greatest = None, None
        for _, words in self.chunks(lits, inputs):
            total = np.zeros(64 * len(words[0]), np.int64)
            for (_, weight), bits in zip(terms, words, strict=True):
                ones = np.unpackbits(bits.view(np.uint8), bitorder="little").view(np.bool_)
                total[ones] += np.int64(weight)
            if modulus:
                total &= np.int64(modulus - 1)
            lo, hi = int(total.min()), int(total.max())
            least = lo if least is None else min(least, lo)
            greatest = hi if greatest is None else max(greatest, hi)
        return least, greatest

    def groups(self, form: Form) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Terms that share inputs, together: (inputs, terms)."""
        found: list[tuple[int, list[tuple[int, int]]]] = []
        for var, weight in form.weights.items():
            support, terms = self.support([2 * var]), [(var, weight)]
            apart = []
            for other, others in found:
                if other & support:
                    support |= other
                    terms += others
                else:
                    apart.append((other, others))
            found = [*apart, (support, terms)]
        return [(_members(support), terms) for support, terms in found]


def prove_words(graph: Graph, pairs: list[Words], deadline: float) -> Counter:
    """Prove all pairs equal, before ``deadline`` (of `time.monotonic`): how many in which way.

    `Differ` with the first difference found, `cec.Undecided` where time ran out.
    """
    how: Counter = Counter()
    left = [pair for pair in dict.fromkeys(pairs) if pair.left != pair.right]
    how["structure"] += len(pairs) - len(left)
    _refute(graph, left)
    space = Space(graph)
    hard = []
    for pair in left:
        if time.monotonic() > deadline:
            raise Undecided("out of time")
        support = _members(space.support(pair.left + pair.right))
        if len(support) <= EXHAUSTIVE_BITS:
            _exhaust(space, pair, support)
            how["exhaustion"] += 1
        elif _equal_sums(space, pair):
            how["algebra"] += 1
        else:
            hard.append(pair)
    if hard:
        differ = [
            graph.xor(x, y)
            for pair in hard
            for x, y in zip(pair.left, pair.right, strict=True)
            if x != y
        ]
        model = satisfy(graph, graph.any(differ), deadline - time.monotonic())
        if model is not None:
            raise Differ(_differing(graph, hard, model), model)
        how["SAT"] += len(hard)
    return how


def _refute(graph: Graph, pairs: list[Words]) -> None:
    """`Differ` if random values show a difference."""
    rng = np.random.default_rng(0)
    n = 2 * _RANDOM_WORDS
    # of half of the patterns all bits are random, of the others most are 0
    values = {}
    for var in range(1, graph.inputs + 1):
        words = rng.integers(0, 2**64, n, np.uint64)
        words[_RANDOM_WORDS:] &= rng.integers(0, 2**64, _RANDOM_WORDS, np.uint64)
        words[_RANDOM_WORDS:] &= rng.integers(0, 2**64, _RANDOM_WORDS, np.uint64)
        values[var] = words
    lits = [lit for pair in pairs for lit in (*pair.left, *pair.right)]
    seen = dict(zip(lits, graph.simulate(lits, values, n), strict=True))
    for pair in pairs:
        for x, y in zip(pair.left, pair.right, strict=True):
            wrong = seen[x] ^ seen[y]
            if wrong.any():
                word = int(np.flatnonzero(wrong)[0])
                bit = int(wrong[word]) & -int(wrong[word])
                model = [int(bool(int(values[v][word]) & bit)) for v in range(1, graph.inputs + 1)]
                raise Differ(pair, model)


def _exhaust(space: Space, pair: Words, support: list[int]) -> None:
    lits = [*pair.left, *pair.right]
    n = len(pair.left)
    for first, words in space.chunks(lits, support):
        wrong = np.zeros_like(words[0])
        for x, y in zip(words[:n], words[n:], strict=True):
            wrong |= x ^ y
        if wrong.any():
            word = int(np.flatnonzero(wrong)[0])
            lowest = int(wrong[word]) & -int(wrong[word])
            value = first + 64 * word + lowest.bit_length() - 1
            model = [0] * space.graph.inputs
            for k, var in enumerate(support):
                model[var - 1] = value >> k & 1
            raise Differ(pair, model)


def _equal_sums(space: Space, pair: Words) -> bool:
    """Whether the algebra of adders proves the words equal."""
    width = len(pair.left)
    if width > 62:
        return False
    modulus = 1 << width
    lits = [*pair.left, *pair.right]
    adders = Adders(space.graph, lits)

    def exclusive(carries: list[int], weight: int, form: Form) -> bool:
        return _at_most_one(space, adders, carries, weight, form, modulus)

    sides = [
        rewrite(Form.of_word(list(side)), adders, modulus, exclusive)
        for side in (pair.left, pair.right)
    ]
    rest = sides[0].minus(sides[1]).reduced(modulus)
    total = rest.constant
    for inputs, terms in space.groups(rest):
        if len(inputs) > EXHAUSTIVE_BITS:
            return False
        lo, hi = space.extremes(terms, inputs, modulus)
        if lo != hi:
            return False
        total += lo
    return total % modulus == 0


def _at_most_one(
    space: Space, adders: Adders, carries: list[int], weight: int, form: Form, modulus: int
) -> bool:
    """Whether the carries out of a sum's low bits exclude each other.

    With the low bits they are ``weight * sum(carries) + low``, an integer. The algebra says what it
    is in terms of the operands, and so how large it can be: below ``2 * weight``, one at most is 1.
    """
    if weight & (weight - 1) or weight < 2:
        return False
    centred = {var: w if w < modulus // 2 else w - modulus for var, w in form.weights.items()}
    low = {var: w for var, w in centred.items() if abs(w) < weight}
    whole = Form(0, dict(low))
    for lit in carries:
        whole.add_literal(lit, weight)
    exact = 1 << 200  # beyond every sum: integers
    whole = rewrite(whole, adders, exact, lambda *_: False)
    greatest = whole.constant if whole.constant < exact // 2 else whole.constant - exact
    whole.weights = {v: w if w < exact // 2 else w - exact for v, w in whole.weights.items()}
    for inputs, terms in space.groups(whole):
        if len(inputs) <= EXHAUSTIVE_BITS and len(terms) > 1:
            greatest += space.extremes(terms, inputs, None)[1]
        else:
            greatest += sum(max(w, 0) for _, w in terms)
    least_low = sum(min(w, 0) for w in low.values())
    return greatest - least_low < 2 * weight


def _differing(graph: Graph, pairs: list[Words], model: list[int]) -> Words:
    """The first pair that the model tells apart, by simulation."""
    values = {k: np.full(1, -bit, np.int64).view(np.uint64) for k, bit in enumerate(model, 1)}
    for pair in pairs:
        n = len(pair.left)
        bits = graph.simulate([*pair.left, *pair.right], values, 1)
        if any((x ^ y)[0] & np.uint64(1) for x, y in zip(bits[:n], bits[n:], strict=True)):
            return pair
    raise AssertionError("ABC's counterexample does not tell the words apart")


def _members(support: int) -> list[int]:
    """Variables of a support."""
    return [k for k in range(support.bit_length()) if support >> k & 1]
