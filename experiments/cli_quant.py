"""`macsmith quantize`, `macsmith export` and `macsmith eval`."""

from pathlib import Path
from typing import Annotated

import typer

from macsmith.experiments import console
from macsmith.experiments.cli_app import Json, app

__all__ = ["evaluate", "export", "quantize"]

Model = Annotated[str, typer.Argument(help="Hugging Face id, folder, opt-mini or llama-mini")]
Text = Annotated[
    str, typer.Option("--calibration", help="docs (this Python's), a WikiText folder, a text file")
]
Samples = Annotated[int, typer.Option(help="calibration samples")]
Length = Annotated[int, typer.Option(help="tokens of a calibration sample")]
Seed = Annotated[int, typer.Option(help="which samples are drawn")]


@app.command()
def quantize(
    model: Model,
    output: Annotated[Path, typer.Option("-o", "--output", help="the folder to write")],
    recipe: Annotated[str, typer.Option(help="preset name or .toml file")] = "w4a8-rtn-dint4",
    text: Text = "docs",
    samples: Samples = 32,
    length: Length = 128,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Quantize a model and save it: codes, scales, zero points and recipe."""
    from macsmith.experiments.inference import quantize_model
    from macsmith.experiments.models.calibration import Calibration

    calibration = Calibration(samples, length, seed, text)
    with console.working(f"quantizing {model}"):
        result = quantize_model(model, recipe, output, calibration)
    console.report(result, json)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="a folder that macsmith quantize has written")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the folder to write")],
    layout: Annotated[str, typer.Option(help="compressed-tensors")] = "compressed-tensors",
    json: Json = False,
) -> None:
    """Write a quantized model in a layout that other libraries read (INT8 and INT4)."""
    from macsmith.experiments.inference import export_model

    with console.working(f"exporting {model}"):
        result = export_model(model, output, layout)
    console.report(result, json)


@app.command("eval")
def evaluate(
    model: Model,
    recipe: Annotated[str | None, typer.Option(help="quantize first: preset or .toml")] = None,
    execution: Annotated[str, typer.Option(help="float or exact")] = "float",
    text: Annotated[
        Path | None, typer.Option(help="text file or WikiText folder; else the held-out docs")
    ] = None,
    protocol: Annotated[str, typer.Option(help="gptq, hf-stride or lm-eval-word")] = "gptq",
    window: Annotated[int | None, typer.Option(help="tokens per window; else the model's")] = None,
    limit: Annotated[int | None, typer.Option(help="evaluate only this many windows")] = None,
    calibration: Text = "docs",
    samples: Samples = 32,
    length: Length = 128,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Perplexity of a model, in float or through the exact arithmetic of its recipe."""
    from macsmith.experiments.inference import evaluate_model
    from macsmith.experiments.models.calibration import Calibration

    with console.working(f"evaluating {model}"):
        result = evaluate_model(
            model, recipe, execution, text=text, window=window, limit=limit, protocol=protocol,
            calibration=Calibration(samples, length, seed, calibration),
        )  # fmt: skip
    console.report(result, json)
