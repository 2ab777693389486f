"""`macsmith explore`: formats and microarchitectures side by side."""

from pathlib import Path
from typing import Annotated

import typer

from macsmith.experiments import console
from macsmith.experiments.cli_app import Json, Liberty, app

__all__ = ["explore"]


@app.command()
def explore(
    pdk: Annotated[
        str | None, typer.Option(help="library by name (see `macsmith pdk list`)")
    ] = None,
    liberty: Liberty = None,
    quick: Annotated[bool, typer.Option("--quick", help="a few points, in minutes")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="the whole product of the grid: weeks of work")
    ] = False,
    clock_ps: Annotated[
        float | None, typer.Option(help="clock period; else the library's usual one")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="folder of the points; a later run goes on there")
    ] = Path("results/explore"),
    jobs: Annotated[int | None, typer.Option(help="processes; else the machine's cores")] = None,
    json: Json = False,
) -> None:
    """Units, styles, formats, accumulators, lanes, pipelines and clocks: what each costs a product.

    Prints the best of each format and the ladder of assumptions, from the paper's to the fairest.
    A run that is stopped goes on where it was. Ends with 1 where a netlist is not as golden says.
    """
    from macsmith.experiments.explore.exploration import explore as run

    if quick and full:
        raise ValueError("give --quick or --full, not both")
    which = "quick" if quick else "full" if full else "default"
    with console.working("explore") as update:
        found = run(
            pdk, which, liberty=liberty or (), clock_ps=clock_ps, output=output, jobs=jobs,
            progress=lambda done, total, label: update(f"{done} of {total} points: {label}"),
        )  # fmt: skip
    console.report(found, json)
    if not found.ok:
        raise typer.Exit(1)
