"""`macsmith published`: what others have published, and the same measured here."""

from typing import Annotated

import typer

from macsmith.experiments import console
from macsmith.experiments.cli_app import Json, Liberty, app

__all__ = ["published"]


@app.command()
def published(
    pdk: Annotated[
        str | None, typer.Option(help="library by name (see `macsmith pdk list`)")
    ] = None,
    liberty: Liberty = None,
    workers: Annotated[int, typer.Option(help="processes")] = 2,
    json: Json = False,
) -> None:
    """Figures that others published of multipliers and MACs: source, theirs, ours, why they differ.

    A few minutes; each unit in the smallest of its usual styles that meets the clock.
    """
    from macsmith.experiments.explore.published import compare

    with console.working("published figures"):
        found = compare(pdk, liberty=liberty or (), workers=workers)
    console.report(found, json)
