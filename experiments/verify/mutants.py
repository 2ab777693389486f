"""Mutants: faults put into RTL and into mapped netlists, which the benches must find.

A mutant differs from the unit's own circuit in one place, drawn with a seed. RTL is simulated in
Icarus, a netlist bit-parallel, both with what the unit's bench drives; what survives is put to the
formal proof: one that is proven to be no fault is harmless, any other one is a hole in the bench.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import mutants_mapped, mutants_rtl
from macsmith.experiments.verify.mutants_subjects import MORE, SUBJECTS, Mutant, Subject
from macsmith.experiments.verify.mutants_verdict import Verdict
from macsmith.experiments.verify.simulators import environment
from macsmith.hw import pdk
from macsmith.hw.liberty import Library

__all__ = ["LEVELS", "SUBJECTS", "Mutant", "MutantReport", "Subject", "run", "subjects_of"]

LEVELS = mutants_rtl.LEVEL, mutants_mapped.LEVEL
#: Whose cells the netlists are of: any library will do, and this one a fresh machine has.
LIBRARY = "osu018"
MOST = 10_000  # faults of a level


@dataclass(frozen=True)
class MutantReport:
    """Verdicts by mutant, and the time of each level that was tried."""

    mutants: tuple[Mutant, ...]
    verdicts: Mapping[str, Verdict]
    pdk: str
    seconds: Mapping[str, float]

    @property
    def ok(self) -> bool:
        """None survived, and in every level more than none were killed."""
        killed = {m.level for m in self.mutants if self.verdicts[m.name].word == "killed"}
        return not self.survivors and killed == set(self.seconds)

    @property
    def survivors(self) -> list[Mutant]:
        """Neither killed nor proven to be no fault."""
        return [m for m in self.mutants if self.verdicts[m.name].word == "survived"]

    def counts(self, key: Callable[[Mutant], str]) -> dict[str, Counter]:
        """Verdicts, counted by ``key`` of the mutant."""
        found: dict[str, Counter] = {}
        for mutant in self.mutants:
            found.setdefault(key(mutant), Counter())[self.verdicts[mutant.name].word] += 1
        return found

    def as_dict(self) -> dict:
        """For JSON."""
        rows = [
            {
                "level": mutant.level,
                "unit": mutant.subject.unit,
                "style": mutant.subject.style,
                "operator": mutant.operator,
                "place": mutant.place,
                "verdict": self.verdicts[mutant.name].word,
                "detail": self.verdicts[mutant.name].detail,
            }
            for mutant in self.mutants
        ]
        return {"ok": self.ok, "library": self.pdk, "seconds": self.seconds, "mutants": rows}

    def lines(self) -> list[str]:
        """For a person."""
        lines = []
        for key in (
            lambda mutant: f"{mutant.level}: {mutant.operator}",
            lambda mutant: f"{mutant.level}: {mutant.subject.label}",
        ):
            lines.append(f"{'':34} {'killed':>10} {'equivalent':>10} {'survived':>10}")
            for name, count in sorted(self.counts(key).items()):
                found = (count[word] for word in ("killed", "equivalent", "survived"))
                lines.append(f"{name:34} " + " ".join(f"{number:10}" for number in found))
            lines.append("")
        total = Counter(verdict.word for verdict in self.verdicts.values())
        times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.seconds.items())
        lines.append(
            f"{len(self.mutants)} mutants (netlists in {self.pdk}): {total['killed']} killed, "
            f"{total['equivalent']} proven equivalent, {total['survived']} survived; {times}"
        )
        return lines + [
            f"SURVIVED: {m.level} {m.subject.label}: {m.operator} at {m.place}: "
            f"{self.verdicts[m.name].detail}"
            for m in self.survivors
        ]


def subjects_of(unit: str | None) -> tuple[Subject, ...]:
    """Those of one unit, or without one those whose faults are all killed or proven harmless."""
    if unit is None:
        return SUBJECTS
    name = get_unit(unit).name
    return tuple(subject for subject in (*SUBJECTS, *MORE) if subject.unit == name)


def run(
    count: int = 300,
    seed: int = 0,
    subjects: Sequence[Subject] = SUBJECTS,
    *,
    library: str | None = None,
    limit_s: float = 20.0,
) -> MutantReport:
    """Draw ``count`` faults in RTL and as many in netlists, simulate, and prove what survives.

    The swapped specials of every dINT come besides. ``library`` is a PDK's name; without one it is
    LIBRARY, or another that is here. ``limit_s`` is the time for one proof. ValueError on bad
    input, and where no library is found; `simulators.SimulatorMissing` without Icarus.
    """
    if not 1 <= count <= MOST:
        raise ValueError(f"count must be 1 up to {MOST}, not {count}")
    cells = _library(library)
    begun = time.monotonic()
    simulated = [subject for subject in subjects if subject.simulated]
    if simulated:
        environment("icarus")  # complain before the work and not after it
    rtl, verdicts, seconds = [], {}, {}
    if simulated:
        rtl = mutants_rtl.make_mutants(simulated, count, seed)
        verdicts |= mutants_rtl.score(rtl, limit_s)
        seconds[LEVELS[0]] = time.monotonic() - begun
    middle, mapped = time.monotonic(), []
    if netlists := [subject for subject in subjects if subject.mapped]:
        mapped, circuits = mutants_mapped.make_mutants(netlists, count, seed, cells)
        verdicts |= mutants_mapped.score(mapped, circuits, limit_s)
        seconds[LEVELS[1]] = time.monotonic() - middle
    return MutantReport((*rtl, *mapped), verdicts, cells.name, seconds)


def _library(name: str | None) -> Library:
    here = {found.name: found for found in pdk.available()}
    if name is None and LIBRARY not in here and here:
        name = next(iter(here))
    found = pdk.find(name or LIBRARY)
    return found.load()
