"""The main job: measure what the chosen claims need, judge them, write the report."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macsmith.experiments import accuracy, claims, equality, hardware
from macsmith.experiments.explore import exploration
from macsmith.experiments.report import FILES, Report, judge, write
from macsmith.experiments.store import provenance

__all__ = ["reproduce"]


@dataclass(frozen=True)
class Step:
    """One entry of the progress bar: `job` has a label, and what it runs is `experiment`'s."""

    experiment: str
    job: Any


@dataclass(frozen=True)
class _Definition:
    label: str = "dINT against Eq. 5"

    def run(self) -> list[dict]:
        from macsmith.experiments import definition

        return definition.run()


def reproduce(chosen: list[str], *, quick: bool, output: Path, quiet: bool = False) -> Report:
    """Run the experiments of the chosen claims (all if none) and write the report in ``output``.

    ValueError on an unknown claim, OSError if ``output`` cannot be written: both before the work.
    """
    names = [claims.nearest_claim(name).id for name in chosen] or list(claims.CLAIMS)
    _require_writable(output)
    start = time.perf_counter()
    needed = {need for name in names for need in claims.CLAIMS[name].needs}
    steps = [step for step in _steps(quick, output) if step.experiment in needed]
    found = _run(steps, quiet)
    results = _collect(steps, found, quick)
    report = Report(
        quick, time.perf_counter() - start, judge(results, names), results, provenance(),
        [str(output / name) for name in FILES],
    )  # fmt: skip
    write(report, output)
    if not quiet:
        _show(report)
    return report


def _steps(quick: bool, output: Path) -> list[Step]:
    parts = {
        "definition": [_Definition()],
        "hardware": hardware.jobs(hardware.QUICK if quick else hardware.FULL),
        "exploration": [exploration.Job(output / "explore")],
        "accuracy": [
            *accuracy.baseline_jobs(accuracy.FULL),
            *accuracy.jobs(accuracy.QUICK if quick else accuracy.FULL),
        ],
        "equality": equality.jobs(equality.QUICK if quick else equality.FULL),
    }
    return [Step(name, job) for name, jobs in parts.items() for job in jobs]


def _run(steps: list[Step], quiet: bool) -> list[Any]:
    """Each step's result, in order, under a progress bar (on standard error)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, quiet=quiet)
    columns = (
        BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    )  # fmt: skip
    found = []
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(steps))
        for number, step in enumerate(steps, 1):
            progress.update(task, description=step.job.label)
            if not console.is_terminal and not quiet:
                console.print(f"[{number}/{len(steps)}] {step.job.label}", markup=False)
            found.append(step.job.run())
            progress.advance(task)
    return found


def _collect(steps: list[Step], found: list[Any], quick: bool) -> dict[str, Any]:
    """Results by experiment, in the shape that claims and report read."""
    by: dict[str, list] = {}
    for step, result in zip(steps, found, strict=True):
        by.setdefault(step.experiment, []).append(result)
    results: dict[str, Any] = {}
    if "definition" in by:
        results["definition"] = by["definition"][0]
    if rows := by.get("hardware"):
        results["hardware"] = {"rows": rows, "ratios": hardware.ratios(rows)}
    if "exploration" in by:
        results["exploration"] = by["exploration"][0]
    if parts := by.get("accuracy"):
        grams = {part["model"]: part for part in parts if "bigram" in part}
        rows = [part for part in parts if "bigram" not in part]
        results["accuracy"] = {
            "models": [
                base | {"rows": [row for row in rows if row["model"] == model]}
                for model, base in grams.items()
            ]
        }
    if parts := by.get("equality"):
        config = equality.QUICK if quick else equality.FULL
        results["equality"] = {
            "source": equality.source(config),
            "rows": [row for part in parts for row in part],
        }
    return results


def _require_writable(folder: Path) -> None:
    """OSError now rather than after minutes of work."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (folder / name).is_dir():
            raise IsADirectoryError(f"{folder / name}: a folder is where this file should go")
    probe = folder / ".writable"
    probe.touch()
    probe.unlink()


def _show(report: Report) -> None:
    from rich.table import Table

    from macsmith.experiments.console import say, show

    table = Table("claim", "status", "measured here")
    colours = dict(zip(claims.STATUSES, ("red", "yellow", "green"), strict=True))
    for c in report.claims:
        colour = colours.get(c["status"], "default")
        table.add_row(c["id"], f"[{colour}]{c['status']}[/]", c["finding"])
    show(table)
    say(f"{report.files[0]} (and report.md, report.json), {report.seconds:.0f} s")
