"""What is to be proven of two circuits: words that ought to be equal, in one graph.

A large sum inside the plain circuit, such as an accumulator's before its overflow, is often found
again in the other one. Proven equal by itself, it is a lemma, and the plain circuit is built once
more with the other one's word in its place: what then is left to prove is mostly the same gates.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from macsmith.experiments.verify.proof_space import EXHAUSTIVE_BITS, Space
from macsmith.experiments.verify.proof_words import Words
from macsmith.hw.aig import FALSE, TRUE, Aig, Graph

__all__ = ["INNER", "Case", "Lits", "Problem", "cut_at_sums", "free_words", "require_same_ports"]

#: The wire of a plain unit that is found again in others, and shown as an output for the proof.
INNER = {"sums": "total", "requantizer": "product"}
_SHOWN = re.compile(rf"(.*\.)?({'|'.join(INNER.values())})(\$.*)?")
_PATTERNS = 1024  # of 64 random values: an overflow by a small product must be among them
_SPARSEST = 6  # in eighths of them a bit is 1 in 4, 8, .. 64 cases: a factor of 0 must be, too

#: Literals of words, lowest bit first.
Lits = dict[str, list[int]]


@dataclass(frozen=True)
class Problem:
    """Words to prove, and what the free variables of the graph are.

    Attributes
    ----------
    graph : Graph
    pairs : list of Words
    lemmas, cut : list of Words
        Where the lemmas hold, ``cut`` stands for ``pairs``: the same with the lemmas' words, sums
        inside the plain unit, taken from the other one.
    variables : list of (name, bit)
        Of the graph's free variables.
    """

    graph: Graph
    pairs: list[Words]
    variables: list[tuple[str, int]]
    lemmas: list[Words] = field(default_factory=list)
    cut: list[Words] = field(default_factory=list)
    cases: int = 1

    def named(self, words: Words, model: Sequence[int]) -> dict[str, int]:
        """Values by name, in a model, of what two words depend on and of what was given."""
        matter = Space(self.graph).support(words.left + words.right)
        values: dict[str, int] = dict(words.given)
        for var, ((name, bit), one) in enumerate(zip(self.variables, model, strict=True), 1):
            if matter >> var & 1:
                values[name] = values.get(name, 0) | one << bit
        return values


@dataclass(frozen=True)
class Case:
    """Words of one case, and those inside the plain circuit that may be cut.

    ``rebuild`` gives the words again, with other literals in place of some of the plain circuit's
    variables.
    """

    pairs: list[Words]
    inner: list[list[int]]
    rebuild: Callable[[Mapping[int, int]], list[Words]]


def cut_at_sums(graph: Graph, cases: Sequence[Case]) -> tuple[list[Words], list[Words]]:
    """Lemmas, and the words of all cases cut at them; none of both where there is nothing inside.

    What few inputs decide is gone through as it is, and alike for most of their values: no lemma.
    """
    if not any(case.inner for case in cases):
        return [], []
    space = Space(graph)
    find = _Finder(graph, [lit for case in cases for pair in case.pairs for lit in pair.right])
    lemmas, cut = [], []
    for case in cases:
        large = [w for w in case.inner if space.support(w).bit_count() > EXHAUSTIVE_BITS]
        found = [words for word in large if (words := find.match(word))]
        lemmas += found
        instead = {
            x >> 1: y ^ (x & 1)
            for words in found
            for x, y in zip(words.left, words.right, strict=True)
            if x > TRUE
        }
        cut += case.rebuild(instead)
    return lemmas, cut


@dataclass
class _Finder:
    """Finds words of one circuit in another, by what they are for random values."""

    graph: Graph
    roots: list[int]

    def __post_init__(self):
        rng = np.random.default_rng(1)
        inputs = range(1, self.graph.inputs + 1)
        self.values = {var: rng.integers(0, 2**64, _PATTERNS, np.uint64) for var in inputs}
        eighth = _PATTERNS // 8
        for words in self.values.values():
            for k in range(1, _SPARSEST):
                words[k * eighth :] &= rng.integers(0, 2**64, (8 - k) * eighth, np.uint64)
        lits = [FALSE, *(2 * var for var in self.graph.cone(self.roots))]
        self.known = {}
        # Of several the last: a sum's top bit comes after what happens to be the same.
        for lit, seen in zip(lits, self.graph.simulate(lits, self.values, _PATTERNS), strict=True):
            self.known[seen.tobytes()] = lit
            self.known[(~seen).tobytes()] = lit ^ 1

    def match(self, word: list[int]) -> Words | None:
        """The word and what looks like it bit by bit; None if a bit is not there."""
        seen = self.graph.simulate(word, self.values, _PATTERNS)
        found = [self.known.get(bits.tobytes()) for bits in seen]
        if None in found or found == word:
            return None
        return Words("a sum inside", tuple(word), tuple(found))


def free_words(variables: Sequence[tuple[str, int]]) -> Lits:
    """Literals of a graph's free variables, by word."""
    found: Lits = {}
    for k, (name, _) in enumerate(variables):
        found.setdefault(name, []).append(2 * (k + 1))
    return found


def require_same_ports(plain: Aig, unit: Aig, besides: Sequence[str] = ()) -> None:
    """ValueError unless inputs and outputs are the same, but for what `INNER` shows of the plain
    one's inside, and inputs ``besides`` of the unit."""
    inputs = {name: n for name, n in unit.input_widths.items() if name not in besides}
    outputs = {
        name: width
        for name, width in plain.output_widths.items()
        if name in unit.output_widths or not _SHOWN.fullmatch(name)
    }
    for left, right in ((plain.input_widths, inputs), (outputs, unit.output_widths)):
        if left != right:
            raise ValueError(f"ports differ: {left} and {right}")
