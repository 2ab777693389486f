"""What becomes of a mutant that no bench kills: proven to be no fault, or a survivor."""

import time
from dataclasses import dataclass

from amaranth.lib import wiring

from macsmith.experiments.verify.mutants_subjects import Mutant
from macsmith.experiments.verify.proof import decide, pose
from macsmith.experiments.verify.proof_step import Problem
from macsmith.experiments.verify.proof_words import Words
from macsmith.hw.aig import Aig, Graph

__all__ = ["Verdict", "judge", "same_machine"]


@dataclass(frozen=True)
class Verdict:
    """``word`` is "killed", "equivalent" or "survived"; ``detail`` says why."""

    word: str
    detail: str = ""


def judge(
    mutant: Mutant, whole: Aig, faulty: Aig, plain: Aig, component: wiring.Component, limit_s: float
) -> Verdict:
    """The verdict on a mutant that was not killed.

    It is proven equal to the circuit without the fault, ``whole``, register by register; or else,
    because a fault may change registers that nothing shows, to the ``plain`` unit as styles are.
    ``component`` is the unit itself.
    """
    what = mutant.subject.unit, mutant.subject.style, mutant.name, 0
    line = ""
    for make in (lambda: same_machine(whole, faulty), lambda: pose(plain, faulty, component)):
        try:
            problem = make()
        except ValueError as error:
            line = line or str(error)
            continue
        proof = decide(problem, what, time.monotonic(), limit_s)
        line = proof.line
        if proof.verdict == "proven":
            return Verdict("equivalent", line)
    return Verdict("survived", line)


def same_machine(left: Aig, right: Aig) -> Problem:
    """The same outputs and next states, register by register, for every input in every state.

    ValueError where they do not have the same ports and registers.
    """
    for name in ("input_widths", "output_widths", "register_widths"):
        if getattr(left, name) != getattr(right, name):
            raise ValueError("the fault changes ports or registers")
    words = [*left.input_widths.items(),
             *((f"state {name}", n) for name, n in left.register_widths.items())]  # fmt: skip
    variables = [(name, k) for name, n in words for k in range(n)]
    graph = Graph(len(variables))
    lits: dict[str, list[int]] = {}
    for k, (name, _) in enumerate(variables):
        lits.setdefault(name, []).append(graph.input(k))
    state = {name: lits[f"state {name}"] for name in left.register_widths}
    (out_left, next_left, _), (out_right, next_right, _) = (
        graph.copy(aig, lits, state) for aig in (left, right)
    )
    pairs = [Words(name, tuple(bits), tuple(out_right[name])) for name, bits in out_left.items()]
    pairs += [
        Words(f"next {name}", tuple(bits), tuple(next_right[name]))
        for name, bits in next_left.items()
    ]
    return Problem(graph, pairs, variables)
