"""The main job: measure what the chosen claims need, judge them, write the report."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macsmith.experiments import accuracy, claims, equality, hardware
from macsmith.experiments.explore import exploration
from macsmith.experiments.quantized import exact
from macsmith.experiments.quantized import job as quantized
from macsmith.experiments.quantized.tables import TABLES
from macsmith.experiments.report import FILES, Report, judge, write
from macsmith.experiments.store import provenance

__all__ = ["reproduce"]


@dataclass(frozen=True)
class Step:
    """One entry of the progress bar: `job` has a label, and what it runs is `experiment`'s."""

    experiment: str
    job: Any
    parts: bool = False  # whether `run` reports (done, total, label) while it runs


@dataclass(frozen=True)
class _Definition:
    label: str = "dINT against Eq. 5"

    def run(self) -> list[dict]:
        from macsmith.experiments import definition

        return definition.run()


def reproduce(
    chosen: list[str], *, quick: bool, output: Path, text: str = "docs", quiet: bool = False
) -> Report:
    """Run the experiments of the chosen claims and write the report in ``output``.

    Without a choice: all claims but the long ones. ``text``, of claims on quantized models, is
    "docs", a WikiText folder or a text file. Before the work: ValueError on an unknown claim or a
    text that is too short, OSError without such a text or if ``output`` cannot be written.
    """
    names = [claims.nearest_claim(name).id for name in dict.fromkeys(chosen)]
    names = names or [claim.id for claim in claims.CLAIMS.values() if not claim.long]
    if text != "docs" and not Path(text).exists():
        raise FileNotFoundError(f"text {text!r}: wanted 'docs', a WikiText folder or a text file")
    new = not output.exists()
    _require_writable(output)
    start = time.perf_counter()
    needed = {need for name in names for need in claims.CLAIMS[name].needs}
    tables = tuple(name for name in names if name in TABLES)
    job = quantized.Job(
        tables, quantized.QUICK if quick else quantized.FULL, output / "quantized", text
    )
    compared = exact.Job(exact.QUICK if quick else exact.FULL, job.folder, text)
    steps = [step for step in _steps(quick, output, job, compared) if step.experiment in needed]
    try:
        found = _run(steps, quiet)
    except BaseException:
        if new:
            with suppress(OSError):
                output.rmdir()  # it stays if anything is in it
        raise
    results = _collect(steps, found, quick)
    report = Report(
        quick, time.perf_counter() - start, judge(results, names), results, provenance(),
        [str(output / name) for name in FILES],
    )  # fmt: skip
    write(report, output)
    if not quiet:
        _show(report)
    return report


def _steps(quick: bool, output: Path, tables: quantized.Job, compared: exact.Job) -> list[Step]:
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
    steps = [Step(name, job) for name, jobs in parts.items() for job in jobs]
    long = {"quantized": tables, "exact": compared}
    return [*steps, *(Step(name, job, parts=True) for name, job in long.items())]


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
            found.append(step.job.run(_reported(progress, quiet)) if step.parts else step.job.run())
            progress.advance(task)
    return found


def _reported(progress: Any, quiet: bool) -> Callable[[int, int, str], None]:
    """What a step in parts is given: it moves a bar of its own, or writes a line for each part."""
    task = progress.add_task("", total=None)

    def report(done: int, total: int, label: str) -> None:
        progress.update(task, completed=done, total=total, description=label)
        if not progress.console.is_terminal and not quiet:
            progress.console.print(f"  [{done}/{total}] {label}", markup=False)

    return report


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
    for name in ("exploration", "quantized", "exact"):
        if name in by:
            results[name] = by[name][0]
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
