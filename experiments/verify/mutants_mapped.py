"""Mutants of mapped netlists: faults at cells of a library, scored in the bit-parallel simulation.

A mutant is killed by the stream that the unit's bench is driven with, or its agent where there is a
handshake, or by what goes on from sums that are placed in it. One that survives is put to the
proof: the same next state and outputs as the netlist without the fault, in all states, or in those
that a reset leads to.
"""

import random
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.faults_mapped import Faults
from macsmith.experiments.verify.gates_check import check_placed
from macsmith.experiments.verify.gates_streams import followed
from macsmith.experiments.verify.mutants_subjects import Mutant, Subject, swapped
from macsmith.experiments.verify.mutants_verdict import Verdict, judge
from macsmith.experiments.verify.proof_problem import INNER
from macsmith.experiments.verify.stimulus import Stream, make_stream
from macsmith.experiments.verify.sums_cases import drive_sums
from macsmith.hw import gatesim
from macsmith.hw.aig_netlist import to_aig
from macsmith.hw.aig_yosys import to_aigs
from macsmith.hw.gatesim_steps import Steps
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import Netlist
from macsmith.hw.synth import synthesize

__all__ = ["LEVEL", "Circuit", "make_mutants", "score"]

LEVEL = "netlist"
_CLOCK_PS = 10_000.0  # easily met: faults are looked for and not speed
_LANES = 64
_FIRST = 512  # cycles that find most faults; the others see the whole stream


class Circuit:
    """A subject as it is mapped, with what drives it and what it must answer."""

    def __init__(self, subject: Subject, library: Library) -> None:
        self.subject, self.cells = subject, library
        self.component = subject.make()
        self.instance = subject.instance("top")
        self.netlist = self.map(self.component)

    def map(self, component) -> Netlist:
        return synthesize(component, self.cells, clock_ps=_CLOCK_PS, name="top").netlist

    @cached_property
    def stream(self) -> Stream:
        return make_stream(self.instance)

    @cached_property
    def _codes(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Operands and wanted results by port: int64 [cycles], or without state [64, cycles]."""
        one, stream = self.instance, self.stream
        driven = [one.unpack(word) for word in stream.stim]
        operands = {p.name: np.array([row[p.name] for row in driven]) for p in one.inputs}
        wanted = {
            p.name: np.array([w >> one.result_shifts[p.name] & (2**p.width - 1)
                              for w in stream.want])
            for p in one.outputs
        }  # fmt: skip
        if one.latency == 0:  # no state: the stream in 64 parts at once, the last value repeated
            size = -(-len(stream) // _LANES) * _LANES
            at = np.minimum(np.arange(size), len(stream) - 1).reshape(_LANES, -1)
            operands = {name: codes[at] for name, codes in operands.items()}
            wanted = {name: codes[at] for name, codes in wanted.items()}
        return operands, wanted

    def killed(self, netlist: Netlist) -> bool:
        """Whether agent, stream or placed sums tell the netlist from what golden says."""
        if get_unit(self.subject.unit).handshake:
            steps = Steps(netlist, self.cells)
            return bool(followed(self.instance, steps, until_wrong=True)[0].wrong)
        cycles = next(iter(self._codes[0].values())).shape[-1]
        lengths = dict.fromkeys((min(_FIRST, cycles), cycles))
        return any(self._differs(netlist, n) for n in lengths) or bool(
            get_unit(self.subject.unit).driver() is drive_sums
            and check_placed(self.instance, netlist, self.cells).failure
        )

    def _differs(self, netlist: Netlist, cycles: int) -> bool:
        operands, wanted = self._codes
        stimulus = {name: codes[..., :cycles] for name, codes in operands.items()}
        shown = gatesim.run(netlist, self.cells, stimulus).outputs
        return any(
            ((shown[name] ^ codes[..., :cycles]) & (2 ** self.instance.widths[name] - 1)).any()
            for name, codes in wanted.items()
        )


def make_mutants(
    subjects: Sequence[Subject], count: int, seed: int, library: Library
) -> tuple[list[Mutant], dict[Subject, Circuit]]:
    """``count`` different mutants, spread evenly, the swapped specials besides; and the circuits.

    The same for a seed. AssertionError where a netlist without a fault is not what golden says.
    """
    circuits = {subject: Circuit(subject, library) for subject in subjects}
    for subject, circuit in circuits.items():
        if circuit.killed(circuit.netlist):
            raise AssertionError(f"{subject.label}: its netlist is wrong without a fault")
    rng = random.Random(seed)
    faults = {subject: Faults(circuit.netlist, library) for subject, circuit in circuits.items()}
    mutants, seen, tries = [], set(), 0
    while len(mutants) < count and tries < 50 * count:
        subject = subjects[tries % len(subjects)]
        tries += 1
        drawn = faults[subject].draw(rng)
        if drawn is not None and (subject, *drawn[:2]) not in seen:
            seen.add((subject, *drawn[:2]))
            mutants.append(Mutant(f"{LEVEL}_{len(mutants)}", subject, LEVEL, *drawn))
    for subject, circuit in circuits.items():
        for place, component in swapped(subject):
            name, netlist = f"{LEVEL}_{len(mutants)}", circuit.map(component)
            mutants.append(Mutant(name, subject, LEVEL, "swapped special", place, netlist))
    return mutants, circuits


def score(
    mutants: Sequence[Mutant], circuits: Mapping[Subject, Circuit], limit_s: float
) -> dict[str, Verdict]:
    """The verdict on each mutant, by name."""
    found = {}
    for mutant in mutants:
        circuit = circuits[mutant.subject]
        if circuit.killed(mutant.circuit):
            found[mutant.name] = Verdict("killed")
        else:
            found[mutant.name] = _prove(mutant, circuit, limit_s)
    return found


def _prove(mutant: Mutant, circuit: Circuit, limit_s: float) -> Verdict:
    try:
        whole, faulty = (to_aig(one, circuit.cells) for one in (circuit.netlist, mutant.circuit))
        plain = to_aigs({"plain": mutant.subject.plain()}, {"plain": INNER["sums"]})["plain"]
    except ValueError as error:
        return Verdict("survived", str(error))
    return judge(mutant, whole, faulty, plain, circuit.component, limit_s)
