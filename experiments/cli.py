"""The `macsmith` command: options in, one call, output.

Exit status: 0 done; 1 a check failed, or a claim is worse than recorded; 2 the input was wrong, in
one line on standard error. With `--json`, standard output is one JSON document and nothing else.
"""

import difflib
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from macsmith.experiments import console

__all__ = ["app", "main"]


class Commands(TyperGroup):
    """Commands in the order they are written; an unknown one is answered with the nearest."""

    def resolve_command(self, ctx, args):
        if args and args[0] not in self.commands:
            near = difflib.get_close_matches(args[0], self.commands, n=1, cutoff=0)[0]
            raise ValueError(f"unknown command {args[0]!r}; the nearest is {near!r}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    help="Define a number format once; get RTL, simulation, a quantized model, area and energy.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Unit = Annotated[str, typer.Argument(help="decoder, multiplier or mac")]
WeightsOption = Annotated[str, typer.Option("--weights", help="format: a name or a .toml file")]
ActivationsOption = Annotated[str, typer.Option("--activations", help="the same, of activations")]
AccWidth = Annotated[int, typer.Option(help="bits of the accumulator")]
Overflow = Annotated[str, typer.Option(help="exact, wrap or saturate")]
Lanes = Annotated[int, typer.Option(help="products summed exactly before they enter it")]
Style = Annotated[str, typer.Option(help="microarchitecture of the unit")]
Json = Annotated[bool, typer.Option("--json", help="one JSON document on standard output")]
Liberty = Annotated[
    list[Path] | None, typer.Option("--liberty", help="Liberty file; several belong together")
]


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
def verilog(
    unit: Unit,
    output: Annotated[Path, typer.Option("-o", "--output", help="the file to write")],
    weights: WeightsOption = "dint4",
    activations: ActivationsOption = "int8",
    acc_width: AccWidth = 32,
    overflow: Overflow = "wrap",
    lanes: Lanes = 1,
    style: Style = "plain",
    name: Annotated[str | None, typer.Option(help="module name; else the file's stem")] = None,
    json: Json = False,
) -> None:
    """Write a unit as one module of plain Verilog-2001."""
    from macsmith.experiments.units import make_unit, spec_for
    from macsmith.hw.export import write_verilog

    spec = spec_for(unit, weights, activations, acc_width, overflow, lanes)
    component = make_unit(unit, spec, style)
    path = write_verilog(component, output, name=name)
    module = name or path.stem
    if json:
        console.print_json({"file": str(path), "module": module, "latency": component.latency})
    else:
        console.say(f"{path}: module {module}, latency {component.latency}")


@app.command()
def verify(
    unit: Unit,
    weights: Annotated[
        list[str] | None, typer.Option("--weights", help="format; several, or all, in one build")
    ] = None,
    activations: ActivationsOption = "int8",
    acc_width: AccWidth = 32,
    overflow: Overflow = "wrap",
    lanes: Lanes = 1,
    style: Style = "plain",
    simulator: Annotated[str, typer.Option(help="verilator or icarus")] = "verilator",
    json: Json = False,
) -> None:
    """Drive a unit's Verilog under cocotb; every result must equal the golden model."""
    from macsmith.experiments.units import spec_for
    from macsmith.experiments.verify import runner
    from macsmith.sim.catalog import FORMATS

    names = list(FORMATS) if "all" in (weights or ()) else weights or ["dint4"]
    specs = [spec_for(unit, w, activations, acc_width, overflow, lanes) for w in names]
    with console.working(f"{unit} {', '.join(names)} in {simulator}"):
        result = runner.run(unit, specs, simulator, style=style)
    console.report(result, json)
    if not result.ok:
        raise typer.Exit(1)


@app.command()
def synth(
    unit: Unit,
    weights: WeightsOption = "dint4",
    activations: ActivationsOption = "int8",
    acc_width: AccWidth = 32,
    overflow: Overflow = "wrap",
    lanes: Lanes = 1,
    style: Style = "plain",
    pdk: Annotated[
        str | None, typer.Option(help="library by name (see `macsmith doctor`), or none")
    ] = None,
    liberty: Liberty = None,
    clock_ps: Annotated[
        float | None, typer.Option(help="clock period; else the library's usual one")
    ] = None,
    operands: Annotated[
        str, typer.Option(help="of the energy: layer (of the embedded model) or uniform")
    ] = "layer",
    booth: Annotated[bool, typer.Option("--booth", help="products as Booth multipliers")] = False,
    json: Json = False,
) -> None:
    """Area, delay and energy of a unit in a library, its netlist checked against golden."""
    from macsmith.experiments.measure import measure
    from macsmith.experiments.units import spec_for

    spec = spec_for(unit, weights, activations, acc_width, overflow, lanes)
    with console.working(f"{unit} {spec.weights.name} x {spec.activations.name}"):
        row = measure(
            unit, spec, style, pdk=pdk, liberty=liberty, clock_ps=clock_ps, operands=operands,
            booth=booth,
        )  # fmt: skip
    console.report(row, json)
    if row.netlist_equal is False:
        raise typer.Exit(1)


@app.command()
def quantize(
    model: Annotated[str, typer.Argument(help="Hugging Face id, folder, opt-mini or llama-mini")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the folder to write")],
    recipe: Annotated[str, typer.Option(help="preset name or .toml file")] = "w4a8-rtn-dint4",
    json: Json = False,
) -> None:
    """Quantize a model and save it: codes, scales, zero points and recipe."""
    from macsmith.experiments.inference import quantize_model

    with console.working(f"quantizing {model}"):
        result = quantize_model(model, recipe, output)
    console.report(result, json)


@app.command("eval")
def evaluate(
    model: Annotated[str, typer.Argument(help="id or folder, quantized or not; or embedded")],
    recipe: Annotated[str | None, typer.Option(help="quantize first: preset or .toml")] = None,
    execution: Annotated[str, typer.Option(help="float or exact")] = "float",
    text: Annotated[
        Path | None, typer.Option(help="a text file; else the held-out documentation")
    ] = None,
    window: Annotated[int | None, typer.Option(help="tokens per window; else the model's")] = None,
    limit: Annotated[int | None, typer.Option(help="evaluate only this many windows")] = None,
    json: Json = False,
) -> None:
    """Perplexity of a model, in float or through the exact arithmetic of its recipe."""
    from macsmith.experiments.inference import evaluate_model

    with console.working(f"evaluating {model}"):
        result = evaluate_model(model, recipe, execution, text=text, window=window, limit=limit)
    console.report(result, json)


@app.command()
def reproduce(
    claims: Annotated[list[str] | None, typer.Argument(help="claims to measure; else all")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="fewer points, within minutes")] = False,
    output: Annotated[Path, typer.Option("-o", "--output", help="folder of the report")] = Path(
        "results"
    ),
    json: Json = False,
) -> None:
    """The main job: every claim, measured, with a report in HTML, Markdown and JSON."""
    from macsmith.experiments.reproduce import reproduce as run

    report = run(claims or [], quick=quick, output=output, quiet=json)
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
    except TyperException as error:  # usage
        status = _refuse(error.format_message() if hasattr(error, "format_message") else error)
    except (ValueError, OSError) as error:
        status = _refuse(error)
    except RuntimeError as error:
        from macsmith.experiments.verify.simulators import BenchError, SimulatorMissing

        if not isinstance(error, (BenchError, SimulatorMissing)):
            raise
        status = _refuse(error, 1 if isinstance(error, BenchError) else 2)
    except KeyboardInterrupt:
        status = _refuse("interrupted", 130)
    sys.exit(status or 0)


def _refuse(error: Exception | str, status: int = 2) -> int:
    if isinstance(error, OSError) and error.filename and error.strerror:
        error = f"{error.filename}: {error.strerror}"
    console.complain(str(error))
    return status
