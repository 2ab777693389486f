"""`macsmith quantize`, `export` and `eval`: a model, a recipe, a perplexity."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from macsmith.experiments import loading
from macsmith.experiments.loading import Loading
from macsmith.experiments.models import locate
from macsmith.experiments.models.calibration import USUAL, Calibration
from macsmith.experiments.store import provenance

__all__ = [
    "Evaluated", "Exported", "Quantized", "evaluate_model", "export_model", "prepare",
    "quantize_model", "recipe_name",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a command has done with a model; each kind of it adds what it is about."""

    model: str
    seconds: float
    provenance: dict[str, Any]

    def as_dict(self) -> dict:
        return asdict(self)


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


@dataclass(frozen=True, kw_only=True)
class Evaluated(Result):
    """One perplexity with everything that identifies it."""

    recipe: dict[str, Any] | None
    calibration: dict[str, Any] | None
    execution: str
    ppl: float
    loss: float
    protocol: str
    tokens: int
    words: int | None
    windows: int
    window: int
    stride: int | None
    batch: int
    ids_count: int
    ids_sha256: str
    dtype: str
    text: str

    def lines(self) -> list[str]:
        how = "unquantized" if self.recipe is None else recipe_name(self.recipe)
        return [
            f"{self.model}, {how}, {self.execution}: perplexity {self.ppl:.4f}",
            f"protocol {self.protocol}, {self.tokens} tokens in {self.windows} windows of "
            f"{self.window}, {self.dtype}, {self.text}, ids {self.ids_sha256[:16]}, "
            f"{self.seconds:.1f} s",
        ]


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
    was killed goes on behind them, which ``say`` is told.
    """
    from macsmith.quant import Recipe, save_quantized
    from macsmith.quant.io import check_output
    from macsmith.quant.unfinished import discard

    start = time.perf_counter()
    chosen = Recipe.get(recipe)
    if chosen.weights.errors != "all":
        raise ValueError(f"recipe {recipe!r} is {chosen.weights.errors}: nothing to save")
    check_output(output)
    place = locate(model)
    net = where.load(place)
    work = output.resolve().with_name(f"{output.resolve().name}.unfinished")
    layers, calibrated = _quantized(
        net, place, chosen, calibration, work=work, say=say, progress=progress
    )
    folder = save_quantized(net, output, _tokenizer(place))
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


def _quantized(
    net: Any, place: str, recipe: Any, calibration: Calibration, **options: Any
) -> tuple[list[str], dict[str, Any] | None]:
    """Quantize in place, with ``options`` of `quantize_`.

    The layers, and what calibration was drawn (None if none was needed).
    """
    from macsmith.quant import quantize_
    from macsmith.quant.io import load_tokenizer

    if not recipe.calibrated:
        return quantize_(net, recipe, **options), None
    ids = calibration.ids(load_tokenizer(place), net)
    return quantize_(net, recipe, ids, **options), calibration.record(ids)


def prepare(
    model: str,
    recipe: str | None,
    execution: str,
    calibration: Calibration = USUAL,
    where: Loading = loading.USUAL,
) -> tuple[Any, dict | None, dict | None]:
    """A model ready to run; its recipe as data, and calibration (None if there was none).

    ValueError if "exact" is asked of a model that is not quantized, or a recipe of one that is.
    """
    from macsmith.quant import Recipe, quantized_layers, set_execution
    from macsmith.quant.linear import EXECUTIONS

    if execution not in EXECUTIONS:
        raise ValueError(f"execution must be one of {', '.join(EXECUTIONS)}, not {execution!r}")
    chosen = None if recipe is None else Recipe.get(recipe)
    if chosen and execution == "exact" and (why := chosen.float_only):
        raise ValueError(f"recipe {recipe!r} {why}: nothing to run exactly")
    net = where.load(locate(model))
    quantized = any(True for _ in quantized_layers(net))
    if chosen and quantized:
        raise ValueError(f"{model!r} is quantized already: evaluate it without a recipe")
    calibrated = None
    if chosen:
        _, calibrated = _quantized(net, locate(model), chosen, calibration)
    elif execution == "exact" and not quantized:
        raise ValueError(f"{model!r} is not quantized: exact execution needs a recipe")
    if not chosen and not quantized:
        return net, None, None
    set_execution(net, execution)
    # A folder's own recipe is taken as it stands: a user's format file need not be here any more.
    used = chosen.model_dump(mode="json") if chosen else net.config.quantization_config.recipe
    return net, used, calibrated


def evaluate_model(
    model: str,
    recipe: str | None = None,
    execution: str = "float",
    *,
    text: Path | None = None,
    window: int | None = None,
    limit: int | None = None,
    protocol: str = "gptq",
    calibration: Calibration = USUAL,
    where: Loading = loading.USUAL,
) -> Evaluated:
    """Perplexity of ``model``, quantized by ``recipe`` if given; on its first ``limit`` windows
    (documents, by "lm-eval-word")."""
    from macsmith.experiments.models.text import evaluation_documents, evaluation_text
    from macsmith.quant.evaluate import PROTOCOLS, WINDOW, context, perplexity, word_perplexity
    from macsmith.quant.io import load_tokenizer

    start = time.perf_counter()
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"unknown protocol {protocol!r}: wanted {', '.join(PROTOCOLS[:-1])} or {PROTOCOLS[-1]}"
        )
    if limit is not None and limit < 1:
        what = "document" if protocol == "lm-eval-word" else "window"
        raise ValueError(f"limit must be at least one {what}, not {limit}")
    net, used, calibrated = prepare(model, recipe, execution, calibration, where)
    tokenizer = load_tokenizer(locate(model))
    if protocol == "lm-eval-word":
        source, documents, prefix = evaluation_documents(tokenizer, text or "docs")
        found = word_perplexity(net, documents[:limit], prefix, window)
    else:
        tokens = evaluation_text(tokenizer, text or "docs")
        source, ids = tokens.source, tokens.ids
        if limit is not None:
            ids = ids[: limit * (window or min(WINDOW, context(net)))]
        found = perplexity(net, ids, protocol, window)
    return Evaluated(
        model=model,
        recipe=used,
        calibration=calibrated,
        execution=execution,
        text=source,
        seconds=time.perf_counter() - start,
        provenance=provenance(),
        **found.to_dict(),
    )


def recipe_name(recipe: dict) -> str:
    return recipe["name"] or f"weights {recipe['weights']['format']}"
