"""`macsmith eval`: a model, a recipe, a perplexity."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from macsmith.experiments import loading
from macsmith.experiments.loading import Loading
from macsmith.experiments.models import locate
from macsmith.experiments.models.calibration import USUAL, Calibration
from macsmith.experiments.store import provenance

__all__ = [
    "Evaluated", "Measured", "Result", "evaluate_model", "prepare", "quantize_net", "recipe_name",
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
class Measured(Result):
    """What was measured of a model, and how it was quantized before."""

    quantization: str | None  # whose: "macsmith.quant", another library's word; None in float
    recipe: dict[str, Any] | None  # of macsmith's
    calibration: dict[str, Any] | None  # if there was one here
    execution: str

    def quantized_how(self) -> str:
        if self.recipe is not None:
            return recipe_name(self.recipe)
        return f"quantized by {self.quantization}" if self.quantization else "unquantized"


@dataclass(frozen=True, kw_only=True)
class Evaluated(Measured):
    """One perplexity with everything that identifies it."""

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
        return [
            f"{self.model}, {self.quantized_how()}, {self.execution}: perplexity {self.ppl:.4f}",
            f"protocol {self.protocol}, {self.tokens} tokens in {self.windows} windows of "
            f"{self.window}, {self.dtype}, {self.text}, ids {self.ids_sha256[:16]}, "
            f"{self.seconds:.1f} s",
        ]


def quantize_net(
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
    from macsmith.quant import Recipe, quantized_by, set_execution
    from macsmith.quant.config import METHOD
    from macsmith.quant.linear import EXECUTIONS

    if execution not in EXECUTIONS:
        raise ValueError(f"execution must be one of {', '.join(EXECUTIONS)}, not {execution!r}")
    chosen = None if recipe is None else Recipe.get(recipe)
    if chosen and execution == "exact" and (why := chosen.float_only):
        raise ValueError(f"recipe {recipe!r} {why}: nothing to run exactly")
    net = where.load(locate(model))
    by, calibrated = quantized_by(net), None
    if chosen and by:
        raise ValueError(f"{model!r} is quantized already, by {by}: evaluate it without a recipe")
    if chosen:
        _, calibrated = quantize_net(net, locate(model), chosen, calibration)
    elif by != METHOD:
        if execution == "exact":
            how = f"is quantized by {by}" if by else "is not quantized"
            raise ValueError(f"{model!r} {how}: exact execution needs a recipe, on a float model")
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
    from macsmith.quant import quantized_by
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
        quantization=quantized_by(net),
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
