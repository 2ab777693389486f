"""The `macsmith` command: options in, one call, output.

Exit status: 0 done; 1 a check failed, or a claim is worse than recorded; 2 the input was wrong, in
one line on standard error. With `--json`, standard output is one JSON document and nothing else.
"""

import sys
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from macsmith.experiments import (
    cli_explore,  # noqa: F401  registers its commands, as the next ones do
    cli_pdk,  # noqa: F401
    cli_proofs,  # noqa: F401
    cli_published,  # noqa: F401
    cli_quant,  # noqa: F401
    cli_styles,  # noqa: F401
    cli_units,  # noqa: F401
    console,
)
from macsmith.experiments.cli_app import Json, app

__all__ = ["app", "main"]

INTERRUPTED = 130  # what typer makes of a KeyboardInterrupt, as shells do


@app.command()
def formats(
    name: Annotated[str | None, typer.Argument(help="a name or a .toml file; all without")] = None,
    json: Json = False,
) -> None:
    """The table of a format, or all of them."""
    from macsmith.experiments import tables
    from macsmith.sim.catalog import FORMATS, get_format

    chosen = [get_format(name)] if name is not None else list(FORMATS.values())
    if json:
        rows = [tables.format_row(fmt) for fmt in chosen]
        console.print_json(rows[0] if name else rows)
    else:
        console.show(tables.levels(chosen[0]) if name else tables.catalogue(chosen))


@app.command()
def reproduce(
    claims: Annotated[
        list[str] | None, typer.Argument(help="claims to measure; else all but the long ones")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="fewer points, within minutes")] = False,
    text: Annotated[
        str, typer.Option(help="of the long claims: docs, a WikiText folder or a text file")
    ] = "docs",
    output: Annotated[Path, typer.Option("-o", "--output", help="folder of the report")] = Path(
        "results"
    ),
    json: Json = False,
) -> None:
    """The main job: every claim, measured, with a report in HTML, Markdown and JSON.

    Long claims, up to half an hour each on two cores (--quick: two minutes), are measured when they
    are named: exact table3 table9 table10 table12 table13 table14 fig4 slac aweq atq daq.
    """
    from macsmith.experiments.reproduce import reproduce as run

    report = run(claims or [], quick=quick, output=output, text=text, quiet=json)
    if json:
        console.print_json(report.as_dict())
    if report.regressions:
        for line in report.regressions:
            console.complain(line)
        raise typer.Exit(1)


@app.command()
def doctor(json: Json = False) -> None:
    """Which tools, simulators and libraries are here, and how to get the missing ones."""
    from macsmith.experiments import doctor as checks

    found = checks.examine()
    if json:
        console.print_json([item.as_dict() for item in found])
    else:
        console.show(checks.table(found))


def main() -> None:
    """Entry point: runs the command, turns every complaint about the input into one line."""
    console.prepare_process()
    try:
        status = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        if status == INTERRUPTED:
            console.complain("interrupted")
    except TyperException as error:  # usage
        said = error.format_message() if hasattr(error, "format_message") else str(error)
        status = _refuse(said.replace("Value error, ", ""))  # pydantic's words before a parser's
    except (ValueError, OSError) as error:
        status = _refuse(error)
    except RuntimeError as error:
        from macsmith.experiments.verify.simulators import BenchError, SimulatorMissing
        from macsmith.hw.yosys import YosysKilled

        # A broken pool: a process of ours was killed, as one that runs out of memory is.
        if not isinstance(error, (BenchError, SimulatorMissing, YosysKilled, BrokenExecutor)):
            raise
        status = _refuse(error, 2 if isinstance(error, SimulatorMissing) else 1)
    sys.exit(status or 0)


def _refuse(error: Exception | str, status: int = 2) -> int:
    if isinstance(error, OSError) and error.filename and error.strerror:
        error = f"{error.filename}: {error.strerror}"
    console.complain(str(error))
    return status
