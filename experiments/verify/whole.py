"""`macsmith verify --all`: every unit and style in both simulators, and every module linted."""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path

from macsmith.experiments.verify.bench import Effort
from macsmith.experiments.verify.lint import lint_many
from macsmith.experiments.verify.results import Checked
from macsmith.experiments.verify.runner import Case, Prepared, prepare, simulate
from macsmith.experiments.verify.simulators import SIMULATORS, environment
from macsmith.experiments.workers import worker_pool

__all__ = ["Row", "Whole", "batches", "verify_all"]

#: Icarus takes ten times as long for a cycle as Verilator does; the bins are the same, but for a
#: long sum, which it has only where all pairs are 2**12, and for what takes turns: see `Effort`.
EFFORTS = {
    "verilator": Effort(random=1000, exhaustive=2**20, sample=2**13, runs=4),
    "icarus": Effort(random=150, exhaustive=2**20, sample=2**8, runs=2, long=0, stalls=20, turns=3),
}
#: What Icarus goes through of a product's operands in a clocked unit, whose space is larger anyway:
#: all pairs of 4 and 8 bits where one product enters in a cycle, and less where several do.
ONE, SEVERAL = 2**12, 2**10
QUICK = Effort(random=100, exhaustive=2**10, sample=2**9, runs=2, long=0, stalls=3, turns=3)
#: Modules in one build: the more, the fewer starts of a simulator, and the more memory.
BATCH = 64
#: Of these few modules take long: they come first, so that no process ends long after the others.
SLOW = ("requantizer", "gemm", "array")


@dataclass(frozen=True)
class Row:
    """One unit in one style: a line of the table.

    Attributes
    ----------
    unit, style : str
    modules : int
    results : dict of str to int
        Results compared, by simulator.
    bins, bins_hit : int
        Over all modules and simulators.
    failures : list of str
        Wrong results, missed bins, and what a linter had to say.
    seconds : float
        Its share, by modules, of the time of its batches.
    """

    unit: str
    style: str
    modules: int
    results: dict[str, int]
    bins: int
    bins_hit: int
    failures: list[str]
    seconds: float


@dataclass(frozen=True)
class Whole:
    """What was found: `ok` if everything was compared, right, covered and without a warning."""

    rows: list[Row]
    simulators: Sequence[str]
    seconds: float
    jobs: int

    @property
    def ok(self) -> bool:
        compared = all(row.results.get(name) for row in self.rows for name in self.simulators)
        return bool(self.rows) and compared and not any(row.failures for row in self.rows)

    def as_dict(self) -> dict:
        return {
            "ok": self.ok,
            "simulators": list(self.simulators),
            "seconds": self.seconds,
            "jobs": self.jobs,
            "modules": sum(row.modules for row in self.rows),
            "results": sum(sum(row.results.values()) for row in self.rows),
            "bins": sum(row.bins for row in self.rows),
            "bins_hit": sum(row.bins_hit for row in self.rows),
            "rows": [vars(row) for row in self.rows],
        }

    def lines(self) -> list[str]:
        """The table and what failed."""
        found = self.as_dict()
        head = ["unit", "style", "modules", *self.simulators, "bins", "seconds", ""]
        table = [head]
        for row in self.rows:
            counts = [f"{row.results.get(name, 0):,}" for name in self.simulators]
            verdict = f"{len(row.failures)} FAILED" if row.failures else ""
            bins = f"{row.bins_hit:,}/{row.bins:,}"
            table.append([
                row.unit, row.style, str(row.modules), *counts, bins, f"{row.seconds:.1f}", verdict,
            ])  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                text.ljust(width) if k < 2 else text.rjust(width)
                for k, (text, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in table
        ]
        failures = [f"{row.unit} {row.style}: {text}" for row in self.rows for text in row.failures]
        lines += failures[:40]
        if len(failures) > 40:
            lines.append(f"and {len(failures) - 40} more")
        lines.append(
            f"{found['modules']:,} modules, {found['results']:,} results compared in "
            f"{' and '.join(self.simulators)}, {found['bins_hit']:,} of {found['bins']:,} bins, "
            f"both linters, {self.seconds:.0f} s in {self.jobs} processes: "
            + ("all passed" if self.ok else "FAILED")
        )
        return lines


@dataclass
class _Found:
    """Of one batch: by case, what each simulator found, and what the linters said."""

    cases: Sequence[Case]
    checked: dict[str, list[Checked]] = field(default_factory=dict)
    lint: list[list[str]] = field(default_factory=list)
    error: str = ""
    seconds: float = 0


def batches(cases: Iterable[Case], size: int = BATCH) -> list[list[Case]]:
    """Cases of one unit and weight format side by side: they share streams, and golden's work."""
    groups: dict[tuple, list[Case]] = {}
    for case in cases:
        groups.setdefault((case.unit, case.spec.weights), []).append(case)
    cut: list[list[Case]] = []
    for group in groups.values():
        # Small groups of one unit share a build.
        if cut and cut[-1][0].unit == group[0].unit and len(cut[-1]) + len(group) <= size:
            cut[-1] += group
            continue
        pieces = -(-len(group) // size)
        cut += [group[k::pieces] for k in range(pieces)]
    return cut


def verify_all(
    cases: Sequence[Case],
    simulators: Sequence[str] = SIMULATORS,
    *,
    quick: bool = False,
    jobs: int | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Whole:
    """Verify and lint all cases, ``jobs`` batches at a time (the machine's cores, if not given).

    ``progress`` is called with a line after each batch.

    ValueError if there is no case; `simulators.SimulatorMissing` if a simulator is not here.
    """
    if not cases:
        raise ValueError("nothing to verify: there is no case")
    for name in SIMULATORS:  # both lint, whichever simulates
        environment(name)
    started = time.perf_counter()
    work = [(batch, tuple(simulators), quick) for batch in batches(cases)]
    work.sort(key=lambda job: (job[0][0].unit not in SLOW, -len(job[0])))
    jobs = jobs or len(os.sched_getaffinity(0))
    found: list[_Found] = []
    for batch in _run_all(work, jobs):
        found.append(batch)
        progress(f"{sum(len(b.cases) for b in found)} of {len(cases)} modules")
    rows = _rows(found)
    return Whole(rows, simulators, time.perf_counter() - started, jobs)


def _run_all(work: list[tuple], jobs: int) -> Iterator[_Found]:
    if jobs == 1 or len(work) == 1:
        yield from (_run_batch(*job) for job in work)
        return
    with worker_pool(jobs) as pool:
        running = [pool.submit(_run_batch, *job) for job in work]
        yield from (done.result() for done in as_completed(running))


def _run_batch(cases: Sequence[Case], simulators: Sequence[str], quick: bool) -> _Found:
    started, found = time.perf_counter(), _Found(cases)
    try:
        prepared, unheard = prepare(cases), set(SIMULATORS)
        for name in simulators:
            instances = prepared.instances(_effort(name, prepared, quick))
            result = simulate(cases[0].unit, instances, prepared.verilog, name)
            found.checked[name] = list(result.modules.values())
            if result.clean:
                unheard.remove(name)
        found.lint = _lint(prepared, sorted(unheard))
    except RuntimeError as error:  # a build that broke is a failure of all that is in it
        found.error = " ".join(str(error).split())[-300:]
    found.seconds = time.perf_counter() - started
    return found


def _effort(simulator: str, prepared: Prepared, quick: bool) -> Effort:
    effort = QUICK if quick else EFFORTS[simulator]
    if simulator == "icarus" and any(one.latency for one in prepared.described):
        most = ONE if prepared.cases[0].unit == "mac" else SEVERAL
        return replace(effort, exhaustive=min(effort.exhaustive, most))
    return effort


def _lint(prepared: Prepared, tools: Sequence[str]) -> list[list[str]]:
    """For each module what the linters said."""
    with tempfile.TemporaryDirectory(prefix="macsmith-lint-") as name:
        paths = []
        for module, text in prepared.verilog.items():
            paths.append(Path(name) / f"{module}.v")
            paths[-1].write_text(text)
        said = {tool: lint_many(paths, tool) for tool in tools}
    return [[f"{tool}: {said[tool][p]}" for tool in said if said[tool][p]] for p in paths]


def _rows(found: Sequence[_Found]) -> list[Row]:
    grouped: dict[tuple[str, str], dict] = {}
    for batch in found:
        for k, case in enumerate(batch.cases):
            row = grouped.setdefault(
                (case.unit, case.style),
                {"modules": 0, "results": Counter(), "bins": 0, "hit": 0, "failures": [], "s": 0.0},
            )
            row["modules"] += 1
            row["s"] += batch.seconds / len(batch.cases)
            if batch.error:
                row["failures"].append(f"{case.module}: {batch.error}")
            for name, modules in batch.checked.items():
                one = modules[k]
                row["results"][name] += one.results
                row["bins"] += len(one.bins)
                row["hit"] += len(one.bins) - len(one.missing)
                if one.failure:
                    row["failures"].append(f"{name}: {case.module}: {one.failure}")
            if batch.lint:
                said = (" ".join(text.split())[:200] for text in batch.lint[k])
                row["failures"] += [f"{case.module}: {text}" for text in said]
    return [
        Row(
            unit, style, row["modules"], dict(row["results"]), row["bins"], row["hit"],
            sorted(row["failures"]), row["s"],
        )
        for (unit, style), row in sorted(grouped.items())
    ]  # fmt: skip
