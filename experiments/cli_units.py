"""Commands about units: their Verilog, its verification, and its cost."""

from pathlib import Path
from typing import Annotated, Any

import typer

from macsmith.experiments import console
from macsmith.experiments.cli_app import (
    AccWidth,
    ActivationsOption,
    Json,
    Lanes,
    Liberty,
    Overflow,
    Style,
    Unit,
    UnitOptions,
    WeightsOption,
    app,
    refuse,
    refuse_with_all,
    require_with,
    unit_options,
)
from macsmith.sim.spec import MacSpec


@app.command()
@unit_options
def verilog(
    ctx: typer.Context,
    unit: Unit,
    output: Annotated[Path, typer.Option("-o", "--output", help="the file to write")],
    weights: WeightsOption = "dint4",
    activations: ActivationsOption = "int8",
    acc_width: AccWidth = 32,
    overflow: Overflow = "wrap",
    lanes: Lanes = None,
    style: Style = "plain",
    options: UnitOptions = None,  # from the decorator
    name: Annotated[str | None, typer.Option(help="module name; else the file's stem")] = None,
    core: Annotated[Path | None, typer.Option(help="FuseSoC core file to write as well")] = None,
    sdc: Annotated[Path | None, typer.Option(help="SDC constraints to write as well")] = None,
    testbench: Annotated[
        Path | None, typer.Option(help="self-checking testbench to write, its vectors beside it")
    ] = None,
    clock_ps: Annotated[float, typer.Option(help="of the constraints: clock period")] = 1000.0,
    pdk: Annotated[
        str | None,
        typer.Option(
            help="of the constraints: slews and load of this library, as `synth` has them"
        ),
    ] = None,
    driving_cell: Annotated[
        str | None, typer.Option(help="of the constraints: library cell before the inputs")
    ] = None,
    input_delay_ps: Annotated[
        float, typer.Option(help="of the constraints: used up before the inputs")
    ] = 0.0,
    output_delay_ps: Annotated[
        float, typer.Option(help="of the constraints: used up after the outputs")
    ] = 0.0,
    load_ff: Annotated[
        float | None, typer.Option(help="of the constraints: capacitance of every output")
    ] = None,
    json: Json = False,
) -> None:
    """Write a unit as one module of plain Verilog-2001, and what goes with it."""
    from macsmith.experiments.handoff import constraints_of, write_unit
    from macsmith.experiments.units import spec_for

    require_with(ctx, "sdc", "clock_ps", "pdk", "driving_cell", "input_delay_ps",
                 "output_delay_ps", "load_ff")  # fmt: skip
    spec = spec_for(unit, weights, activations, acc_width, overflow, lanes)
    written = write_unit(
        unit, spec, {"style": style, **options}, output, name=name, core=core, sdc=sdc,
        testbench=testbench,
        constraints=constraints_of(
            pdk, clock_ps=clock_ps, driving_cell=driving_cell, input_delay_ps=input_delay_ps,
            output_delay_ps=output_delay_ps, load_ff=load_ff,
        ),
        progress=console.complain,
    )  # fmt: skip
    console.report(written, json)


@app.command()
@unit_options
def verify(
    ctx: typer.Context,
    unit: Annotated[
        str | None, typer.Argument(help="as of `verilog`; with --all not needed")
    ] = None,
    weights: Annotated[
        list[str] | None, typer.Option("--weights", help="format; several, or all, in one build")
    ] = None,
    activations: ActivationsOption = "int8",
    acc_width: AccWidth = 32,
    overflow: Overflow = "wrap",
    lanes: Lanes = None,
    style: Style = "plain",
    options: UnitOptions = None,  # from the decorator
    simulator: Annotated[
        str | None,
        typer.Option(
            help="verilator, icarus, or with --all both (its default); with --netlist it runs "
            "Verilog models of the cells"
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="every style for the main formats, of UNIT or all units")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="with --all: fewer cycles")] = False,
    netlist: Annotated[
        bool,
        typer.Option(
            "--netlist", help="drive the mapped netlist instead, bit-parallel unless --simulator"
        ),
    ] = False,
    pdk: Annotated[str | None, typer.Option(help="with --netlist: library by name")] = None,
    liberty: Liberty = None,
    adders: Annotated[
        str, typer.Option(help="with --netlist: gates, cells or ripple, as of `synth`")
    ] = "gates",
    json: Json = False,
) -> None:
    """Drive a unit's Verilog under cocotb; every result must equal the golden model.

    With --netlist what is driven is the mapped netlist: by default in the bit-parallel simulation,
    with a million operands; with --simulator as Verilog models of its cells in a simulator. With
    --all besides, each style once.

    --all: int8, int4, dint4, dint4_sm, dint4z and dint3 in every style that they have; pipelines,
    lanes, overflow and shapes take turns over them, and so do, in each style but plain, an array's
    dataflow and a requantizer's depths, three of four with each rounding. GEMM tiles: all formats
    in style plain, the other styles with dint4. Besides dint4_sr, fp4_e2m1, nf4 and fp8_e4m3
    activations: in every style of a multiplier, and one for each style of a MAC. Of a rounding's
    single bits, and of the cycles in which an array or a tile is reset or held up, Icarus (with
    --quick Verilator too) has a third in a module: the modules of one style and dataflow, or of one
    style and rounding, have all of them together.
    """
    from macsmith.experiments.units import spec_for
    from macsmith.experiments.verify import runner
    from macsmith.sim.catalog import FORMATS

    require_with(ctx, "netlist", "pdk", "liberty", "adders")
    require_with(ctx, "everything", "quick")
    if netlist:
        refuse(ctx, ["quick"], "is for a simulator's bench, and does not go with --netlist")
    if unit is None and not everything:
        raise ValueError("give a unit, or --all")
    if everything:
        refuse_with_all(ctx, "style", *([] if netlist else ["weights"]))
    names = list(FORMATS) if "all" in (weights or ()) else weights or ["dint4"]
    mapped = {"pdk": pdk, "liberty": liberty, "adders": adders, "simulator": simulator}
    if everything and netlist:
        result = _verify_each_netlist(unit, None if "all" in (weights or ()) else names, mapped)
    elif everything:
        result = _verify_all(unit, simulator or "both", quick)
    else:
        own = {"style": style, **options}
        if "all" in (weights or ()):
            specs, others = _served(unit, activations, acc_width, overflow, lanes, **own)
            if others:
                console.complain(f"left out, as this unit cannot serve them: {', '.join(others)}")
        else:
            specs = [spec_for(unit, w, activations, acc_width, overflow, lanes) for w in names]
        if netlist:
            result = _verify_netlists(unit, specs, own, mapped)
        else:
            simulator = simulator or "verilator"
            with console.working(f"{unit} {', '.join(names)} in {simulator}"):
                result = runner.run(unit, specs, simulator, **own)
    console.report(result, json)
    if not result.ok:
        raise typer.Exit(1)


def _served(
    unit: str, activations: str, acc_width: int, overflow: str, lanes: int | None, **own: Any
) -> tuple[list[MacSpec], list[str]]:
    """Of the whole catalogue, the specs of weights that the unit can be built for, and the names
    of the others; ValueError, the last one's, if there is none."""
    from macsmith.experiments.units import make_unit, spec_for
    from macsmith.sim.catalog import FORMATS

    specs, others, reason = [], [], ""
    for name in FORMATS:
        try:
            spec = spec_for(unit, name, activations, acc_width, overflow, lanes)
            make_unit(unit, spec, **own)
        except ValueError as error:
            others.append(name)
            reason = str(error)
        else:
            specs.append(spec)
    if not specs:
        raise ValueError(reason)
    return specs, others


def _verify_netlists(unit: str, specs: list[MacSpec], own: dict, mapped: dict) -> Any:
    from macsmith.experiments.verify.netlists import verify_netlists
    from macsmith.experiments.verify.runner import cases_of

    cases = cases_of(unit, specs, own)
    with console.working(f"{len(cases)} netlists of {unit}") as progress:
        return verify_netlists(unit, cases, **mapped, progress=progress)


def _verify_each_netlist(unit: str | None, weights: list[str] | None, mapped: dict) -> Any:
    from macsmith.experiments.verify.netlists import each_style, verify_netlists

    cases = each_style(unit, weights)
    with console.working(f"{len(cases)} netlists") as progress:
        return verify_netlists(unit or "every unit", cases, **mapped, progress=progress)


def _verify_all(unit: str | None, simulator: str, quick: bool) -> Any:
    from macsmith.experiments.verify.simulators import SIMULATORS, environment
    from macsmith.experiments.verify.suite import all_cases
    from macsmith.experiments.verify.whole import verify_all

    simulators = SIMULATORS if simulator == "both" else (simulator,)
    for name in simulators:
        environment(name)  # complain before the work and not after it
    cases = all_cases([unit] if unit else ())
    with console.working(f"{len(cases)} modules in {' and '.join(simulators)}") as progress:
        return verify_all(cases, simulators, quick=quick, progress=progress)


@app.command()
@unit_options
def synth(
    unit: Unit,
    weights: WeightsOption = "dint4",
    activations: ActivationsOption = "int8",
    acc_width: AccWidth = 32,
    overflow: Overflow = "wrap",
    lanes: Lanes = None,
    style: Style = "plain",
    options: UnitOptions = None,  # from the decorator
    pdk: Annotated[
        str | None, typer.Option(help="library by name (see `macsmith doctor`), or none")
    ] = None,
    liberty: Liberty = None,
    clock_ps: Annotated[
        float | None, typer.Option(help="clock period; else the library's usual one")
    ] = None,
    operands: Annotated[
        str,
        typer.Option(
            help="of the energy: layer (of the embedded model), uniform, or a file of codes: .csv "
            "(one stream) or .npz (one or many; an array or a gemm needs many)"
        ),
    ] = "layer",
    glitches: Annotated[
        bool, typer.Option("--glitches", help="energy with cells that take time")
    ] = False,
    booth: Annotated[bool, typer.Option("--booth", help="products as Booth multipliers")] = False,
    adders: Annotated[
        str, typer.Option(help="gates, cells (full- and half-adder cells) or ripple (rows of them)")
    ] = "gates",
    json: Json = False,
) -> None:
    """Area, delay and energy of a unit in a library, its netlist checked against golden.

    What an array or a gemm sends out is compared with what the engine's sums come to, and that
    with golden in a sample.
    """
    from macsmith.experiments.measure import measure
    from macsmith.experiments.units import spec_for

    spec = spec_for(unit, weights, activations, acc_width, overflow, lanes)
    with console.working(f"{unit} {spec.weights.name} x {spec.activations.name}"):
        row = measure(
            unit, spec, style, pdk=pdk, liberty=liberty, clock_ps=clock_ps,
            operands=operands, booth=booth, adders=adders, glitches=glitches, options=options,
        )  # fmt: skip
    console.report(row, json)
    if row.netlist_equal is False:
        raise typer.Exit(1)
