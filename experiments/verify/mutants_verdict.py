"""What becomes of a mutant that no bench kills: proven to be no fault, or a survivor."""

import time
from dataclasses import dataclass

from amaranth.lib import wiring

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.mutants_subjects import Mutant
from macsmith.experiments.verify.proof import decide, pose
from macsmith.experiments.verify.proof_machine import same_machine
from macsmith.experiments.verify.proof_reset import first_difference
from macsmith.hw.aig import Aig
from macsmith.hw.cec import Undecided

__all__ = ["Verdict", "judge"]


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
    because a fault may change registers that nothing shows, to the ``plain`` unit as styles are; or
    else, because it may show only in states that are never reached, to ``whole`` from the reset on.
    ``component`` is the unit itself, and ``limit_s`` the time for each of the three.
    """
    what = mutant.subject.unit, mutant.subject.style, mutant.name, 0
    handshake = get_unit(mutant.subject.unit).handshake
    line = ""
    for make in (
        lambda: same_machine(whole, faulty),
        lambda: pose(plain, faulty, component, handshake=handshake),
    ):
        try:
            problem = make()
        except ValueError as error:
            line = line or str(error)
            continue
        proof = decide(problem, what, time.monotonic(), limit_s)
        line = proof.line
        if proof.verdict == "proven":
            return Verdict("equivalent", line)
    if not whole.registers:
        return Verdict("survived", line)
    begun = time.monotonic()
    try:
        clock = first_difference(whole, faulty, limit_s)
    except (ValueError, Undecided) as error:
        return Verdict("survived", f"{line}; from the reset on: {error}")
    if clock is None:
        seconds = time.monotonic() - begun
        return Verdict("equivalent", f"in all states that are reached ({seconds:.1f} s)")
    return Verdict("survived", f"{line}; outputs can differ {clock} clocks after a reset")
