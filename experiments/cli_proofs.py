"""Commands that prove and that doubt: formal equivalence, mutants."""

from typing import Annotated

import typer

from macsmith.experiments import console
from macsmith.experiments.cli_app import (
    AccWidth,
    ActivationsOption,
    Json,
    Lanes,
    Overflow,
    app,
)


@app.command()
def prove(
    unit: Annotated[str | None, typer.Argument(help="unit; every provable one without")] = None,
    weights: Annotated[
        list[str] | None, typer.Option("--weights", help="format; several, or all")
    ] = None,
    activations: ActivationsOption = "int8",
    acc_width: AccWidth = 32,
    overflow: Overflow = "wrap",
    lanes: Lanes = 1,
    style: Annotated[
        list[str] | None, typer.Option("--style", help="style; several; all without")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="also with 1 and 2 pipeline stages, and saturating")
    ] = False,
    limit: Annotated[float, typer.Option("--limit", help="seconds for one proof")] = 300.0,
    json: Json = False,
) -> None:
    """Prove every style of a unit equal to the plain one, for all inputs in all states."""
    from macsmith.experiments.verify import proof_plan

    plan = proof_plan.plan(unit, weights, activations, acc_width, overflow, lanes, every)
    with console.working("proving"):
        result = proof_plan.run(plan, style, limit_s=limit)
    console.report(result, json)
    if not result.ok:
        raise typer.Exit(1)
