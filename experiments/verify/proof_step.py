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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from macsmith.experiments.verify.proof_problem import (
    Case,
    Lits,
    Problem,
    cut_at_sums,
    free_words,
    require_same_ports,
)
from macsmith.experiments.verify.proof_space import Space
from macsmith.experiments.verify.proof_words import Words
from macsmith.hw.aig import FALSE, TRUE, Aig, Graph

__all__ = ["step"]

STROBES = ("rst", "en", "clear")


def step(plain: Aig, unit: Aig, latency: int, elements: Mapping[str, int]) -> Problem:
    """The step of a unit of ``latency`` edges against the plain unit's, in every state.

    ``elements`` gives, for outputs of several numbers, the bits of one. ValueError where the ports
    differ, or a register of the plain unit is not to be seen in the other one.
    """
    require_same_ports(plain, unit)
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
    lits = free_words(variables)
    state = {name: lits[f"state {name}"] for name in unit.register_widths}
    builder = _Steps(plain, unit, latency, elements, graph, state)
    free = [
        {name: lits[f"{name} at edge {t}"] for name in unit.input_widths} for t in range(frames)
    ]
    strobes = [(t, name) for t in range(latency) for name in STROBES if name in unit.input_widths]
    # Only strobes that matter are told apart, case by case.
    whole, _ = builder.build(free)
    support = Space(graph).support([lit for pair in whole for lit in (*pair.left, *pair.right)])
    strobes = [(t, name) for t, name in strobes if support >> (free[t][name][0] >> 1) & 1]
    cases = [
        builder.case(free, dict(zip(strobes, values, strict=True)))
        for values in itertools.product((FALSE, TRUE), repeat=len(strobes))
    ]
    pairs = [pair for case in cases for pair in case.pairs]
    lemmas, cut = cut_at_sums(graph, cases)
    return Problem(graph, pairs, variables, lemmas, cut, len(cases))


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

    def case(self, free: list[Lits], strobes: Mapping[tuple[int, str], int]) -> Case:
        """What must be equal where some strobes, by edge and name, are constants."""
        chosen = [dict(frame) for frame in free]
        for (t, name), value in strobes.items():
            chosen[t][name] = [value]
        given = tuple(
            (f"{name} at edge {t}", int(value == TRUE)) for (t, name), value in strobes.items()
        )

        def words(instead: Mapping[int, int]) -> list[Words]:
            return [replace(pair, given=given) for pair in self.build(chosen, instead)[0]]

        pairs, inner = self.build(chosen)
        return Case([replace(pair, given=given) for pair in pairs], inner, words)

    def build(
        self, inputs: list[Lits], instead: Mapping[int, int] | None = None
    ) -> tuple[list[Words], list[list[int]]]:
        """What must be equal, for these inputs by edge; and the plain unit's inner sums."""
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
        return pairs, inner

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
