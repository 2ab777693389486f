"""`macsmith quantize` and `export`: a model, a recipe, a folder."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macsmith.experiments import loading
from macsmith.experiments.inference import Result, quantize_net, recipe_name
from macsmith.experiments.loading import Loading
from macsmith.experiments.models import locate
from macsmith.experiments.models.calibration import USUAL, Calibration
from macsmith.experiments.store import provenance

__all__ = ["Exported", "Quantized", "export_model", "quantize_model"]


@dataclass(frozen=True, kw_only=True)
class Written(Result):
    """A folder with a quantized model in it."""

    folder: str
    layers: int
    bytes: int

    def line(self, how: str) -> str:
        return (
            f"{self.folder}: {self.layers} layers of {self.model} {how}, "
            f"{self.bytes / 1e6:.1f} MB, {self.seconds:.1f} s"
        )


@dataclass(frozen=True, kw_only=True)
class Quantized(Written):
    """What `macsmith quantize` wrote."""

    recipe: dict[str, Any]
    calibration: dict[str, Any] | None
    dtype: str  # of what is not quantized
    share: float  # of the model's weights, that are quantized: experts may be no linear layers

    def lines(self) -> list[str]:
        return [self.line(f"by {recipe_name(self.recipe)}, {self.share:.0%} of its weights")]


@dataclass(frozen=True, kw_only=True)
class Exported(Written):
    """What `macsmith export` wrote."""

    layout: str

    def lines(self) -> list[str]:
        return [self.line(f"as {self.layout}")]


def quantize_model(
    model: str,
    recipe: str,
    output: Path,
    calibration: Calibration = USUAL,
    where: Loading = loading.USUAL,
    *,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] | None = None,
) -> Quantized:
    """Quantize ``model`` by ``recipe`` and save it in ``output``, all of it or nothing.

    What is not quantized is saved in the dtype in which it was loaded and calibrated.
    Blocks that are done are kept beside it, in ``output``.unfinished, until it is there: a run that
    was killed goes on behind them. ``say`` is told that they are kept, and that they are used.
    """
    from macsmith.quant import Recipe, save_quantized
    from macsmith.quant.io import check_output
    from macsmith.quant.unfinished import discard, finished

    start = time.perf_counter()
    chosen = Recipe.get(recipe)
    if chosen.weights.errors != "all":
        raise ValueError(f"recipe {recipe!r} is {chosen.weights.errors}: nothing to save")
    check_output(output)
    place = locate(model)
    net = where.load(place)
    work = output.resolve().with_name(f"{output.resolve().name}.unfinished")
    try:
        layers, calibrated = quantize_net(
            net, place, chosen, calibration, work=work, say=say, progress=progress
        )
        folder = save_quantized(net, output, _tokenizer(place))
    except BaseException:
        if blocks := finished(work):
            say(f"{work} keeps {blocks} finished blocks: the same command goes on behind them")
        raise
    if chosen.calibrated:
        discard(work)
    return Quantized(
        recipe=chosen.model_dump(mode="json"),
        calibration=calibrated,
        dtype=str(net.dtype).removeprefix("torch."),
        share=_share(net),
        **_written(model, folder, len(layers), start),
    )


def _share(net: Any) -> float:
    from macsmith.quant import quantized_layers

    done = sum(layer.qweight.numel() for _, layer in quantized_layers(net))
    left = sum(x.numel() for x in net.parameters() if x.dim() > 1)
    return done / (done + left)


def export_model(model: str, output: Path, layout: str) -> Exported:
    """Write the quantized folder ``model`` in another layout, all of it or nothing.

    ValueError if there is no such layout, or the model is not quantized or not in its terms.
    """
    from macsmith.quant import quantized_layers
    from macsmith.quant.export_compressed import LAYOUT, save_compressed
    from macsmith.quant.io import check_output, load_model

    start = time.perf_counter()
    if layout != LAYOUT:
        raise ValueError(f"unknown layout {layout!r}: wanted {LAYOUT}")
    check_output(output)
    place = locate(model)
    if output.resolve() == Path(place).resolve():
        raise FileExistsError(f"output {str(output)!r} is the model itself: name another folder")
    net = load_model(place, dtype="auto")
    folder = save_compressed(net, output, _tokenizer(place))
    layers = sum(1 for _ in quantized_layers(net))
    return Exported(layout=layout, **_written(model, folder, layers, start))


def _tokenizer(place: str) -> Any:
    from macsmith.quant.io import has_tokenizer, load_tokenizer

    return load_tokenizer(place) if not Path(place).is_dir() or has_tokenizer(place) else None


def _written(model: str, folder: Path, layers: int, start: float) -> dict[str, Any]:
    """The fields of a `Written` that took from ``start`` until now."""
    return {
        "model": model,
        "folder": str(folder),
        "layers": layers,
        "bytes": sum(file.stat().st_size for file in folder.iterdir()),
        "seconds": time.perf_counter() - start,
        "provenance": provenance(),
    }
