"""Commands that compare: styles with each other, code maps of a format."""

from pathlib import Path
from typing import Annotated

import typer

from macsmith.experiments import console
from macsmith.experiments.cli_app import (
    AccWidth,
    ActivationsOption,
    Json,
    Liberty,
    Overflow,
    UnitOptions,
    app,
    refuse,
    unit_options,
)

Pdk = Annotated[str | None, typer.Option(help="library by name, or none")]
Clock = Annotated[float | None, typer.Option(help="clock period; else the library's usual one")]


@app.command()
@unit_options
def styles(
    ctx: typer.Context,
    units: Annotated[
        list[str] | None, typer.Argument(help="units; else decoder, multiplier and mac")
    ] = None,
    weights: Annotated[
        list[str] | None, typer.Option("--weights", help="format; several, side by side")
    ] = None,
    activations: ActivationsOption = "int8",
    acc_width: AccWidth = 32,
    overflow: Overflow = "wrap",
    lanes: Annotated[int, typer.Option(help="of a dot product")] = 8,
    options: UnitOptions = None,  # from the decorator
    style: Annotated[
        list[str] | None, typer.Option("--style", help="only this one; several allowed")
    ] = None,
    pdk: Pdk = None,
    liberty: Liberty = None,
    clock_ps: Clock = None,
    adders: Annotated[
        list[str] | None, typer.Option("--adders", help="gates, cells, ripple; else the best")
    ] = None,
    workers: Annotated[int, typer.Option(help="processes")] = 2,
    json: Json = False,
) -> None:
    """Area and delay of every style, as a table: what each microarchitecture costs."""
    from macsmith.experiments.styles import price
    from macsmith.hw.recipes import ADDERS

    names = units or ["decoder", "multiplier", "mac"]
    if "dot" not in names:
        refuse(ctx, {"lanes"}, f"means nothing to {' or '.join(names)}: each has one")
    with console.working(f"styles of {', '.join(names)}"):
        table = price(
            names, weights or ["int8", "int4", "dint4"], activations, acc_width, overflow, lanes,
            styles=style or (), pdk=pdk, liberty=liberty or (), clock_ps=clock_ps,
            adders=adders or ADDERS, options=options, workers=workers,
        )  # fmt: skip
    console.report(table, json)


@app.command()
def codemap(
    weights: Annotated[str, typer.Argument(help="format: a name or a .toml file")],
    activations: ActivationsOption = "int8",
    style: Annotated[str, typer.Option(help="of the multiplier that is to be cheap")] = "digits",
    pdk: Pdk = None,
    clock_ps: Clock = None,
    rounds: Annotated[int, typer.Option(help="rounds of exchanges of two codes, at most")] = 12,
    seed: Annotated[int, typer.Option(help="of the random exchanges")] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="write the best map as a .toml format")
    ] = None,
    json: Json = False,
) -> None:
    """Search which code should mean which level, for the cheapest multiplier."""
    from macsmith.experiments.rearrange import rearrange

    with console.working(f"code maps of {weights}"):
        found = rearrange(
            weights, activations, style,
            pdk=pdk, clock_ps=clock_ps, rounds=rounds, seed=seed, output=output,
        )  # fmt: skip
    console.report(found, json)
