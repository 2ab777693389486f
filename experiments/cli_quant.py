"""`macsmith quantize`, `export`, `eval`, `scales`, `errors` and `slac`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from macsmith.experiments import console
from macsmith.experiments.cli_app import (
    Json,
    app,
    calibration_options,
    loading_options,
    refuse,
    refuse_calibration,
    require_with,
)

__all__ = ["errors", "evaluate", "export", "quantize", "scales", "slac"]

Outliers = Annotated[
    bool, typer.Option("--outliers", help="put outlier channels in first, logits unchanged")
]
Model = Annotated[str, typer.Argument(help="Hugging Face id, folder, opt-mini or llama-mini")]


@app.command()
@calibration_options
@loading_options
def quantize(
    ctx: typer.Context,
    model: Model,
    output: Annotated[Path, typer.Option("-o", "--output", help="the folder to write")],
    recipe: Annotated[str, typer.Option(help="preset name or .toml file")] = "w4a8-rtn-dint4",
    calibration: Any = None,  # a `Calibration`, from the decorator
    where: Any = None,  # a `Loading`, likewise
    json: Json = False,
) -> None:
    """Quantize a model and save it: codes, scales, zero points and recipe.

    A run that was killed goes on at the decoder block where it was: give the same command again.
    """
    from macsmith.experiments.quantizing import quantize_model

    refuse_calibration(ctx, recipe)
    with console.counting(f"quantizing {model}", "layers") as progress:
        result = quantize_model(
            model, recipe, output, calibration=calibration, where=where, say=console.complain,
            progress=progress,
        )  # fmt: skip
    console.report(result, json)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="a folder that macsmith quantize has written")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the folder to write")],
    layout: Annotated[str, typer.Option(help="compressed-tensors")] = "compressed-tensors",
    json: Json = False,
) -> None:
    """Write a quantized model in a layout that other libraries read (INT8 and INT4)."""
    from macsmith.experiments.quantizing import export_model

    with console.working(f"exporting {model}"):
        result = export_model(model, output, layout)
    console.report(result, json)


@app.command("eval")
@calibration_options
@loading_options
def evaluate(
    ctx: typer.Context,
    model: Model,
    recipe: Annotated[str | None, typer.Option(help="quantize first: preset or .toml")] = None,
    execution: Annotated[str, typer.Option(help="float or exact")] = "float",
    text: Annotated[
        Path | None, typer.Option(help="text file or WikiText folder; else the held-out docs")
    ] = None,
    protocol: Annotated[str, typer.Option(help="gptq, hf-stride or lm-eval-word")] = "gptq",
    window: Annotated[
        int | None,
        typer.Option(help="tokens per window; else the model's, at most 2048 but by lm-eval-word"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="only the first windows; documents by lm-eval-word and of each task"),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="exact against float, layer by layer; limit 2")
    ] = False,
    tasks: Annotated[
        str | None, typer.Option(help="instead: lm-eval's tasks and groups, with commas")
    ] = None,
    include_path: Annotated[
        Path | None, typer.Option(help="folder with task files (.yaml) of your own")
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(help="examples before each document; else a task's own (0 of its own stays)"),
    ] = None,
    calibration: Any = None,  # a `Calibration`, from the decorator
    where: Any = None,  # a `Loading`, likewise
    json: Json = False,
) -> None:
    """Perplexity of a model, in float or through the exact arithmetic of its recipe."""
    from macsmith.experiments.inference import evaluate_model

    refuse_calibration(ctx, recipe)
    require_with(ctx, "tasks", "include_path", "shots")
    if tasks is not None:
        from macsmith.experiments.tasks import run_tasks

        refuse(ctx, {"compare", "protocol", "text", "window"}, "means nothing with --tasks")
        with console.working(f"evaluating {model}"):
            result = run_tasks(
                model, tasks.split(","), recipe, execution, include_path=include_path, limit=limit,
                shots=shots, calibration=calibration, where=where,
            )  # fmt: skip
        console.report(result, json)
        return
    if compare:
        refuse(ctx, {"execution", "protocol"}, "means nothing with --compare")
        _compare(model, recipe, text, window, limit, calibration, where, json)
        return
    with console.working(f"evaluating {model}"):
        result = evaluate_model(
            model, recipe, execution, text=text, window=window, limit=limit, protocol=protocol,
            calibration=calibration, where=where,
        )  # fmt: skip
    console.report(result, json)


def _compare(
    model: str,
    recipe: str | None,
    text: Path | None,
    window: int | None,
    limit: int | None,
    calibration: Any,
    where: Any,
    json: bool,
) -> None:
    """Exit status 1 where the bound does not hold."""
    from macsmith.experiments.compare import compare_model, table

    with console.counting(f"comparing {model}", "windows") as progress:
        result = compare_model(
            model, recipe, text=text, window=window, limit=limit, calibration=calibration,
            where=where, progress=progress,
        )  # fmt: skip
    _checked(result, table, json)


def _checked(result: Any, table: Callable[[Any], Any], json: bool) -> None:
    """A result with its table, or as JSON; exit status 1 where what it checks does not hold."""
    if not json:
        console.show(table(result))
    console.report(result, json)
    if not result.holds:
        raise typer.Exit(1)


@app.command()
@calibration_options
def scales(
    model: Model,
    recipe: Annotated[
        str, typer.Option(help="preset name or .toml file: formats, and each method's options")
    ] = "w4a8-aqas-int4z",
    outliers: Outliers = False,
    calibration: Any = None,  # a `Calibration`, from the decorator
    json: Json = False,
) -> None:
    """AQAS's error (Eq. 1) by the scales of SmoothQuant, AWQ, AQAS and none.

    By group of layers with one input, AQAS's objective, and by single layer, which is nobody's.
    Exit status 1 where AQAS is above no scales or SmoothQuant's in a group: it searches both.
    """
    from macsmith.experiments.scales import compare_scales, table

    with console.counting(f"scaling {model}", "layers") as progress:
        result = compare_scales(model, recipe, calibration, outliers=outliers, progress=progress)
    _checked(result, table, json)


@app.command()
@calibration_options
def errors(
    model: Model,
    recipe: Annotated[str, typer.Option(help="preset name or .toml file")] = "w8a8-atq",
    outliers: Outliers = False,
    calibration: Any = None,  # a `Calibration`, from the decorator
    json: Json = False,
) -> None:
    """Each layer's error: ATQ's bound on it, and rounding, underflow and cross term (Eq. 4).

    The bound: errors of weights and of inputs, added. Exit status 1 where the measured one is
    beyond it.
    """
    from macsmith.experiments.errors import layer_errors, table

    with console.counting(f"quantizing {model}", "layers") as progress:
        result = layer_errors(model, recipe, calibration, outliers=outliers, progress=progress)
    _checked(result, table, json)


@app.command()
@calibration_options
def slac(
    model: Model,
    recipe: Annotated[
        str, typer.Option(help="preset name or .toml file")
    ] = "w4a8-aqas-gptq-dint4z",
    lengths: Annotated[str, typer.Option(help="tokens of calibration samples")] = "64,128,256,512",
    constant: Annotated[
        str, typer.Option(help="over the lengths: the number of samples, or of tokens")
    ] = "samples",
    text: Annotated[
        Path | None, typer.Option(help="text file or WikiText folder; else the held-out docs")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="evaluate only this many windows")] = None,
    calibration: Any = None,  # a `Calibration`, from the decorator: its length is the task's
    json: Json = False,
) -> None:
    """Perplexity at the task's length (--length or --task), by the length of calibration samples.

    With the update ratios of OPTQ, which say why: minutes, a quantization for each length.
    """
    from macsmith.experiments.slac import sweep_lengths

    try:
        wanted = [int(length) for length in lengths.split(",")]
    except ValueError:
        raise ValueError(
            f"--lengths: wanted numbers with commas between, got {lengths!r}"
        ) from None
    with console.counting(f"calibrating {model}", "lengths") as progress:
        result = sweep_lengths(
            model, recipe, wanted, calibration, constant=constant, text=text, limit=limit,
            progress=progress,
        )  # fmt: skip
    console.report(result, json)
