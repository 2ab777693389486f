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
from macsmith.experiments.verify.proof_polynomials import Polynomials
from macsmith.experiments.verify.proof_ranges import Facts
from macsmith.experiments.verify.proof_space import EXHAUSTIVE_BITS, MOST_BITS, Space, members
from macsmith.hw.aig import Graph
from macsmith.hw.cec import Undecided, satisfy

__all__ = ["Differ", "Words", "prove_words", "values_of"]

_RANDOM_WORDS = 64


@dataclass(frozen=True)
class Words:
    """Two words that ought to be equal, by name; literals, lowest bit first.

    ``given`` are inputs that have these values in both words, as constants.
    """

    name: str
    left: tuple[int, ...]
    right: tuple[int, ...]
    given: tuple[tuple[str, int], ...] = field(default=(), compare=False)


class Differ(Exception):
    """Two words differ: ``model`` has the values of the graph's free variables."""

    def __init__(self, words: Words, model: list[int]):
        super().__init__(words.name)
        self.words, self.model = words, model


def prove_words(graph: Graph, pairs: list[Words], deadline: float) -> Counter:
    """Prove all pairs equal, before ``deadline`` (of `time.monotonic`): how many in which way.

    `Differ` with the first difference found, `cec.Undecided` where time ran out.
    """
    how: Counter = Counter()
    left = [pair for pair in dict.fromkeys(pairs) if pair.left != pair.right]
    how["structure"] += len(pairs) - len(left)
    _refute(graph, left)
    space = Space(graph, deadline)
    hard = []
    for pair in left:
        if time.monotonic() > deadline:
            raise Undecided("out of time")
        support = members(space.support(pair.left + pair.right))
        if len(support) <= EXHAUSTIVE_BITS:
            _exhaust(space, pair, support)
            how["exhaustion"] += 1
        elif _equal_sums(graph, pair, (time.monotonic() + deadline) / 2):
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
        if (left_s := deadline - time.monotonic()) <= 0:
            raise Undecided("out of time before ABC began")
        model = satisfy(graph, graph.any(differ), left_s)
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


def _equal_sums(graph: Graph, pair: Words, deadline: float) -> bool:
    """Whether the algebra of adders proves the words equal before ``deadline``.

    Most sums need no more than the adders and the polynomials of what enters them; facts about
    ranges take longer.
    """
    space = Space(graph, deadline)
    modulus = 1 << len(pair.left)
    adders = Adders(graph, [*pair.left, *pair.right])
    polynomials = Polynomials(space, adders)
    facts = Facts(space, adders)
    try:
        for knowledge, partly in ((None, False), (facts, False), (facts, True)):
            left, right = (
                rewrite(Form.of_word(list(side)), adders, modulus, knowledge, partly=partly)
                for side in (pair.left, pair.right)
            )
            differ = left.plus(right, -1).reduced(modulus)
            if polynomials.vanishes(differ, modulus):
                return True
            if len(pair.left) <= MOST_BITS and space.constant(differ, modulus) == 0:
                return True
    except Undecided:  # ABC has the other half of the time
        pass
    return False


def values_of(graph: Graph, words: Words, model: list[int]) -> tuple[int, int]:
    """Both words, as unsigned numbers, for the values of the graph's free variables."""
    values = {k: np.full(1, -bit, np.int64).view(np.uint64) for k, bit in enumerate(model, 1)}
    bits = graph.simulate([*words.left, *words.right], values, 1)
    ones = [int(bit[0]) & 1 for bit in bits]
    n = len(words.left)
    left, right = (sum(b << k for k, b in enumerate(side)) for side in (ones[:n], ones[n:]))
    return left, right


def _differing(graph: Graph, pairs: list[Words], model: list[int]) -> Words:
    """The first pair that the model tells apart, by simulation."""
    for pair in pairs:
        left, right = values_of(graph, pair, model)
        if left != right:
            return pair
    raise AssertionError("ABC's counterexample does not tell the words apart")
