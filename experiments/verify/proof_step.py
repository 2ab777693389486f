"""What a clocked unit must do at each edge, as words to be proven equal.

The specification is the plain unit without pipeline, whose latency is 1: one step takes its state
from before a product to after it. A unit of latency L shows the same L - 1 edges later. So from any
state whatever, let L - 1 edges pass with any inputs; what it now shows is the sum before the first
of these inputs, and at the next edge it must take the plain unit's step with them:

::

    any state --edge 0--> .. --edge L-2--> S --edge L-1--> S'
        inputs 0 ..                        |               |
                                    view(S) --plain step--> view(S')
                                         with inputs 0

``view`` gives each register of the plain unit as the unit has it: the register of the same name, or
else the output of the same name (the sum of a carry-save accumulator's two registers). A reset at
any of the edges drops the product. By induction the outputs agree for ever, from L edges of reset
onwards; and since the state is any, no invariant has to be known beforehand.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from macsmith.experiments.verify.proof_space import EXHAUSTIVE_BITS, Space
from macsmith.experiments.verify.proof_words import Words
from macsmith.hw.aig import FALSE, TRUE, Aig, Graph

__all__ = ["Problem", "combinational", "step"]

STROBES = ("rst", "en", "clear")
WORDS = 1024  # of 64 random patterns: an overflow by a small product must be among them
RELATED = "total"  # a word of the plain unit that is found again in others, and cut there

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


def combinational(plain: Aig, unit: Aig) -> Problem:
    """Every output for every input. ValueError where the ports differ."""
    _require_same_ports(plain, unit)
    variables = [(name, k) for name, n in plain.input_widths.items() for k in range(n)]
    graph = Graph(len(variables))
    inputs = _words(variables, 0)
    left, *_ = graph.copy(plain, inputs, {})
    right, *_ = graph.copy(unit, inputs, {})
    pairs = [Words(name, tuple(left[name]), tuple(right[name])) for name in left]
    return Problem(graph, pairs, variables)


def step(plain: Aig, unit: Aig, latency: int, elements: Mapping[str, int]) -> Problem:
    """The step of a unit of ``latency`` edges against the plain unit's, in every state.

    ``elements`` gives, for outputs of several numbers, the bits of one. ValueError where the ports
    differ, or a register of the plain unit is not to be seen in the other one.
    """
    _require_same_ports(plain, unit)
    state_bits = [
        (f"state {name}", k) for name, n in unit.register_widths.items() for k in range(n)
    ]
    frames = latency + 1  # outputs show a state and no input; the last frame's inputs prove it
    variables = state_bits + [
        (f"{name} at edge {t}", k)
        for t in range(frames)
        for name, n in unit.input_widths.items()
        for k in range(n)
    ]
    graph = Graph(len(variables))
    lits = _words(variables, 0)
    state = {name: lits[f"state {name}"] for name in unit.register_widths}
    builder = _Steps(plain, unit, latency, elements, graph, state)
    free = [
        {name: lits[f"{name} at edge {t}"] for name in unit.input_widths} for t in range(frames)
    ]
    strobes = [(t, name) for t in range(latency) for name in STROBES if name in unit.input_widths]
    # Only strobes that matter are told apart, case by case.
    whole = builder.build(free).pairs
    space = Space(graph)
    support = space.support([lit for pair in whole for lit in (*pair.left, *pair.right)])
    strobes = [(t, name) for t, name in strobes if support >> (free[t][name][0] >> 1) & 1]
    pairs, built = [], []
    for values in itertools.product((FALSE, TRUE), repeat=len(strobes)):
        chosen = [dict(frame) for frame in free]
        for (t, name), value in zip(strobes, values, strict=True):
            chosen[t][name] = [value]
        given = tuple(
            (f"{name} at edge {t}", int(value == TRUE))
            for (t, name), value in zip(strobes, values, strict=True)
        )
        case = builder.build(chosen)
        pairs += _with(case.pairs, given)
        built.append((chosen, given, case))
    lemmas, cut = [], []
    if builder.inner:
        find = _Finder(graph, [lit for pair in pairs for lit in pair.right])
        for chosen, given, case in built:
            # What few inputs decide is gone through as it is, and alike for most of their values.
            large = [w for w in case.inner if space.support(w).bit_count() > EXHAUSTIVE_BITS]
            found = [words for word in large if (words := find.match(word))]
            lemmas += found
            instead = {
                x >> 1: y ^ (x & 1)
                for words in found
                for x, y in zip(words.left, words.right, strict=True)
                if x > TRUE
            }
            cut += _with(builder.build(chosen, instead).pairs, given)
    return Problem(graph, pairs, variables, lemmas, cut, 2 ** len(strobes))


def _with(pairs: Iterable[Words], given: tuple[tuple[str, int], ...]) -> list[Words]:
    return [replace(pair, given=given) for pair in pairs]


@dataclass
class _Finder:
    """Finds words of one circuit in another, by what they are for random values."""

    graph: Graph
    roots: list[int]

    def __post_init__(self):
        rng = np.random.default_rng(1)
        inputs = range(1, self.graph.inputs + 1)
        self.values = {var: rng.integers(0, 2**64, WORDS, np.uint64) for var in inputs}
        lits = [FALSE, *(2 * var for var in self.graph.cone(self.roots))]
        self.known = {}
        for lit, seen in zip(lits, self.graph.simulate(lits, self.values, WORDS), strict=True):
            self.known.setdefault(seen.tobytes(), lit)
            self.known.setdefault((~seen).tobytes(), lit ^ 1)

    def match(self, word: list[int]) -> Words | None:
        """The word and what looks like it bit by bit; None if a bit is not there."""
        seen = self.graph.simulate(word, self.values, WORDS)
        found = [self.known.get(bits.tobytes()) for bits in seen]
        if None in found or found == word:
            return None
        return Words(RELATED, tuple(word), tuple(found))


@dataclass(frozen=True)
class _Case:
    """Pairs of one case, and the words of the plain unit's exposed signals."""

    pairs: list[Words]
    inner: list[list[int]]


@dataclass
class _Steps:
    """Copies of the two circuits, edge after edge."""

    plain: Aig
    unit: Aig
    latency: int
    elements: Mapping[str, int]
    graph: Graph
    state: Lits

    @property
    def inner(self) -> list[str]:
        """Signals of the plain unit that are outputs only for the proof."""
        return [name for name in self.plain.output_widths if name not in self.unit.output_widths]

    def build(self, inputs: list[Lits], instead: Mapping[int, int] | None = None) -> _Case:
        """What must be equal, for these inputs by edge."""
        graph, states = self.graph, [self.state]
        for t in range(self.latency):
            _, after, _ = graph.copy(self.unit, inputs[t], states[-1])
            states.append(after)
        shown, after = (
            graph.copy(self.unit, inputs[t], states[t])[0] for t in (self.latency - 1, self.latency)
        )
        before = self.view(states[-2], shown)
        resets = [frame["rst"][0] for frame in inputs[: self.latency]]
        entering = dict(inputs[0])
        entering["rst"] = [resets[-1]]
        if "en" in entering:
            entering["en"] = [graph.and_(entering["en"][0], graph.any(resets) ^ 1)]
        wanted, stepped, _ = graph.copy(self.plain, entering, before, instead)
        inner = [wanted.pop(name) for name in self.inner]
        pairs = [
            *self.pairs("", wanted, shown),
            *self.pairs("next ", stepped, self.view(states[-1], after)),
        ]
        return _Case(pairs, inner)

    def view(self, state: Lits, outputs: Lits) -> Lits:
        """The plain unit's registers as the unit has them."""
        found = {}
        for name, width in self.plain.register_widths.items():
            word = state.get(name, outputs.get(name))
            if word is None or len(word) != width:
                raise ValueError(
                    f"the plain unit's register {name!r} of {width} bits is neither a register nor "
                    "an output of the unit: its state cannot be compared"
                )
            found[name] = word
        return found

    def pairs(self, prefix: str, left: Lits, right: Lits) -> Iterable[Words]:
        for name, word in left.items():
            size = self.elements.get(name, len(word))
            for low in range(0, len(word), size):
                part = slice(low, low + size)
                label = f"{prefix}{name}" + (f" {low // size}" if size < len(word) else "")
                yield Words(label, tuple(word[part]), tuple(right[name][part]))


def _words(variables: list[tuple[str, int]], first: int) -> Lits:
    """Literals of the free variables, by word."""
    found: Lits = {}
    for k, (name, _) in enumerate(variables):
        found.setdefault(name, []).append(2 * (first + k + 1))
    return found


def _require_same_ports(plain: Aig, unit: Aig) -> None:
    outputs = {name: plain.output_widths.get(name) for name in unit.output_widths}
    for left, right in ((plain.input_widths, unit.input_widths), (outputs, unit.output_widths)):
        if left != right:
            raise ValueError(f"ports differ: {left} and {right}")
