"""Commands that prove units and describe them: formal equivalence, datasheets."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from macsmith.experiments import console
from macsmith.experiments.cli_app import (
    AccWidth,
    ActivationsOption,
    Json,
    Lanes,
    Overflow,
    Style,
    Unit,
    UnitOptions,
    WeightsOption,
    app,
    refuse_with_all,
    unit_options,
)


@app.command()
def prove(
    ctx: typer.Context,
    unit: Annotated[str | None, typer.Argument(help="unit; every provable one without")] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option("--weights", help="format; several, or all; else six of the report's"),
    ] = None,
    activations: ActivationsOption = "int8",
    acc_width: AccWidth = 32,
    overflow: Overflow = "wrap",
    lanes: Lanes = None,
    style: Annotated[
        list[str] | None, typer.Option("--style", help="style; several; all without")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="the whole list above; --style chooses among its styles")
    ] = False,
    limit: Annotated[
        float | None,
        typer.Option("--limit", help="seconds for one proof of many; 120 with --all, else 300"),
    ] = None,
    json: Json = False,
) -> None:
    """Prove every style of a unit equal to the plain one, for all inputs in all states.

    Decoders are proven equal to their format's table instead, for every code and zero point; before
    the styles of another unit come the plain decoders that its plain style has.

    --all proves, of one unit or of every provable one: decoders of int8, int4, dint4, dint4_sm,
    dint4z, dint3, dint4_sr, fp4_e2m1, nf4, int4z and fp8_e4m3; multipliers of all but the last by
    int8, and by fp8_e4m3 for int8 and dint4; for the first seven formats macs of 32 bits that wrap,
    macs of 20 bits that saturate and dot products of 2 lanes; for the first six shared multiples of
    2 outputs and arrays of 2 x 2 elements in both dataflows; for int8 and dint4 macs with 1 and 2
    pipeline stages and GEMM tiles of 2 x 2; dot products of 4 lanes for dint4; requantizers from 32
    bits, in every rounding with 0 to 3 pipeline stages.

    Not covered by --all: dot products with 4 lanes in carrysave-booth8 and carrysave-nibble, not
    decided in 60 seconds, and with more lanes; dot products, shared multiples, arrays and GEMM
    tiles that saturate. They can be tried by name. GEMM tiles have their usual options, and the
    plain requantizer. Arrays that decode at their edge have other registers in each style, and no
    proofs; floating-point MACs have one style. Above its decoders the plain unit itself is what
    `macsmith verify` compares with the golden model; it is not proven here. That of a requantizer
    is the one without pipeline; a reset, which drops what a pipeline holds, is not part of its
    proof.

    Proofs of one unit and accumulator are told together, when they are done. One that runs out of
    time is none, and the command fails.
    """
    from macsmith.experiments.verify import proof_plan

    if limit is not None and not limit > 0:
        raise ValueError(f"--limit must be a positive number of seconds, not {limit:g}")
    if style and unit is None:
        raise ValueError("--style goes with a unit: each has its own styles")
    if every:
        refuse_with_all(ctx, "weights")
        plan = proof_plan.everything(unit)
    else:
        plan = proof_plan.plan(unit, weights, activations, acc_width, overflow, lanes)

    if limit is None:
        limit = proof_plan.ALL_LIMIT_S if every else proof_plan.LIMIT_S

    def tell(proof: proof_plan.Proof) -> None:
        if not json:
            console.say(proof.line)
            sys.stdout.flush()

    with console.working("proving"):
        result = proof_plan.run(plan, style, limit_s=limit, tell=tell)
    if json:
        console.print_json(result.as_dict())
    else:
        for line in result.totals():
            console.say(line)
    if not result.ok:
        raise typer.Exit(1)


@app.command()
@unit_options
def datasheet(
    unit: Unit,
    weights: WeightsOption = "dint4",
    activations: ActivationsOption = "int8",
    acc_width: AccWidth = 32,
    overflow: Overflow = "wrap",
    lanes: Lanes = None,
    style: Style = "plain",
    options: UnitOptions = None,  # from the decorator
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Markdown file to write; else printed")
    ] = None,
    json: Json = False,
) -> None:
    """The datasheet of a unit: what it computes, ports, styles, latency, parameters."""
    from macsmith.experiments.datasheet import datasheet as make
    from macsmith.experiments.units import spec_for
    from macsmith.hw.export import write_atomically

    spec = spec_for(unit, weights, activations, acc_width, overflow, lanes)
    sheet = make(unit, spec, style, **options)
    if output is not None:
        write_atomically(output, sheet.markdown())
    if json:
        console.print_json(sheet.as_dict())
    elif output is None:
        console.report(sheet, json)
    else:
        console.say(f"{output}: datasheet of {unit}")


@app.command()
def mutants(
    unit: Annotated[str | None, typer.Argument(help="faults of this one; else see above")] = None,
    seed: Annotated[int, typer.Option(help="of the faults that are drawn")] = 0,
    count: Annotated[
        int,
        typer.Option(help="in RTL, and as many in netlists; besides, swaps of specials"),
    ] = 300,
    pdk: Annotated[str | None, typer.Option(help="library of the netlists; else osu018")] = None,
    json: Json = False,
) -> None:
    """Put faults into units: the benches must find each that is not proven harmless.

    Without UNIT into all but floating-point MACs, of which no proof here tells in time what changes
    nothing: by name they are tried too, and such faults survive. Netlists are of all units but GEMM
    tiles, which take long to map.
    """
    from macsmith.experiments.verify.mutants import run, subjects_of

    with console.working(f"{2 * count} mutants"):
        report = run(count, seed, subjects_of(unit), library=pdk)
    console.report(report, json)
    if not report.ok:
        raise typer.Exit(1)
