"""What is measured: a model, a recipe, samples to calibrate on, and a perplexity in pieces.

Perplexity is by the protocol "gptq", over whole windows, BATCH of them at a time: the losses of
these pieces are kept, since their differences between two recipes say how far a text of this length
can tell the two apart. Models are evaluated as `float` execution has them (fake quantization); the
claim "accuracy" and the tests hold that against the integer engine.
"""

import copy
import hashlib
import math
import os
import time
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

from macsmith.experiments.models import MODELS, locate

__all__ = [
    "MODELS_PATH",
    "SUBJECTS",
    "Point",
    "Subject",
    "check_text",
    "measure",
    "prepared",
    "recipe_of",
    "subject_file",
    "weights_hash",
]

MODELS_PATH = "MACSMITH_MODELS_PATH"  # a folder with stories260K/stories260K.bin
_STORIES = "stories260K"
#: Windows of the text that stories260K writes itself, and their tokens: half of its context.
_OWN_WINDOWS, _OWN_LENGTH = 24, 256
_OWN_SEED = 1_000  # of that text; calibration draws 0, 1, ...
LENGTH, SAMPLES = 128, 32  # of calibration, as `macsmith quantize` has them


@dataclass(frozen=True)
class Subject:
    """A float model. `group` is the group size that stands for the papers' 128."""

    name: str
    base: str
    outliers: bool = False
    family: str = "opt"
    group: int = 128

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


SUBJECTS = {
    subject.name: subject
    for subject in (
        *(Subject(name, name, family=name.removesuffix("-mini")) for name in MODELS),
        *(
            Subject(f"{name}+outliers", name, True, family=name.removesuffix("-mini"))
            for name in MODELS
        ),
        Subject(_STORIES, _STORIES, family="llama", group=32),  # its layers are 64 and 172 wide
    )
}


@dataclass(frozen=True)
class Point:
    """One measurement: everything that decides it, but for what is in the files."""

    subject: str
    recipe: str | None = None  # a preset; None is FP32
    grouped: bool = False
    errors: str = "all"  # of the weights: see `quant.counterfactual`
    layers: str = ""  # what is measured of each: see `_LAYERS`
    length: int = LENGTH
    samples: int = SAMPLES
    seed: int = 0
    window: int | None = None  # None: the model's context
    limit: int | None = None  # tokens; None: all of the text
    text: str = "docs"

    @property
    def label(self) -> str:
        how = " in groups" * self.grouped + f" {self.errors}" * (self.errors != "all")
        return f"{self.subject} {self.recipe or 'FP32'}{how}, seed {self.seed}"

    def settled(self) -> "Point":
        """Without what does not matter: a recipe that is not calibrated has one seed."""
        if self.recipe and recipe_of(self).calibrated:
            return self
        return replace(self, length=0, samples=0, seed=0)


def recipe_of(point: Point) -> Any:
    """The point's `Recipe`; ValueError if there is none of this name."""
    from macsmith.quant import Recipe

    recipe = Recipe.get(point.recipe)
    other = {"errors": point.errors}
    if point.grouped:
        other["group_size"] = SUBJECTS[point.subject].group
    weights = recipe.weights.model_dump() | other
    return Recipe.model_validate(recipe.model_dump() | {"weights": weights})


def subject_file(subject: Subject) -> Path | None:
    """The file with a subject's weights; None if it is not here."""
    if subject.base in MODELS:
        return Path(locate(subject.base)) / "model.safetensors"
    folder = os.environ.get(MODELS_PATH)
    file = Path(folder or ".") / subject.base / f"{subject.base}.bin"
    return file if folder and file.is_file() else None


@cache
def weights_hash(subject: Subject) -> str:
    """sha256 of a subject's weights, as they are in its file."""
    return hashlib.sha256(subject_file(subject).read_bytes()).hexdigest()


def measure(point: Point) -> dict[str, Any]:
    """Losses of each piece in nats, and what identifies them; one thread, whatever is here."""
    from macsmith.quant.calibrate import one_thread
    from macsmith.quant.evaluate import BATCH, hash_ids, perplexity

    start = time.perf_counter()
    layers: list[dict[str, Any]] = []
    with one_thread():
        window, count = _windows(point)  # before the model is quantized: it may be none
        size = BATCH * window
        watch = partial(_LAYERS[point.layers], layers) if point.layers else None
        model, ids, source, calibration = prepared(point, watch)
        pieces = (ids[k * size : (k + 1) * size] for k in range(count))
        found = [perplexity(model, piece, window=window) for piece in pieces]
    loss = sum(part.loss for part in found) / count
    return {
        **asdict(point),
        "losses": [part.loss for part in found],
        "loss": loss,
        "ppl": math.exp(loss) if loss < 700 else None,
        "protocol": found[0].protocol,
        "window": window,
        "windows": BATCH * count,
        "tokens": sum(part.tokens for part in found),
        "ids_sha256": hash_ids(ids[: count * size]),
        "dtype": found[0].dtype,
        "source": source,
        "calibration": calibration,
        "layers": layers,
        "seconds": round(time.perf_counter() - start, 2),
    }


def check_text(point: Point) -> None:
    """ValueError if the point is of a text that a user has named, and this is too short for it."""
    if point.text != "docs" and SUBJECTS[point.subject].base != _STORIES:
        _windows(point)


def _windows(point: Point) -> tuple[int, int]:
    """Tokens of a window, and batches of windows; ValueError if the text has not one."""
    from macsmith.quant.evaluate import BATCH

    ids, _ = _evaluation(point.subject, point.text)
    context = _loaded(point.subject)[0].config.max_position_embeddings
    window = point.window or min(context, _window(point.subject))
    least, limit = BATCH * window, point.limit or ids.numel()
    for what, tokens in (("text", ids.numel()), ("limit", limit)):
        if tokens < least:
            raise ValueError(f"{what} too short: wanted {least} tokens, got {tokens}")
    return window, min(ids.numel(), limit) // least


def prepared(
    point: Point, watch: Any = None, recipe: Any = None
) -> tuple[Any, Any, str, dict[str, Any] | None]:
    """The point's model, quantized; token ids [n] of its text, and where they come from; what it
    was calibrated on. ``watch`` is `quantize_`'s; ``recipe`` is in place of the point's."""
    from macsmith.quant import quantize_
    from macsmith.quant.evaluate import hash_ids

    model, _ = _loaded(point.subject)
    calibration = None
    if point.recipe:
        model = copy.deepcopy(model)
        recipe, samples = recipe or recipe_of(point), None
        if recipe.calibrated:
            samples = _calibration(point.subject, point.samples, point.length, point.seed)
            calibration = {
                "samples": point.samples, "length": point.length, "seed": point.seed,
                "ids_sha256": hash_ids(samples.flatten()),
            }  # fmt: skip
        quantize_(model, recipe, samples, watch=watch)
    return model, *_evaluation(point.subject, point.text), calibration


def _terms(found: list, name: str, layer: Any, quantized: Any, inputs: list) -> None:
    import torch

    from macsmith.quant.underflow import terms

    found.append(terms(name, layer, quantized, torch.cat(inputs))._asdict())


def _ratios(found: list, name: str, layer: Any, quantized: Any, inputs: list) -> None:
    from macsmith.quant.slac import layer_ratio
    from macsmith.quant.steps import Gptq

    found.append(layer_ratio(name, inputs, Gptq().damping)._asdict())


#: Eq. 4's terms (`quant.underflow`), and OPTQ's update ratios (`quant.slac`).
_LAYERS = {"terms": _terms, "ratios": _ratios}


def _window(subject: str) -> int:
    from macsmith.quant.evaluate import WINDOW

    return _OWN_LENGTH if SUBJECTS[subject].base == _STORIES else WINDOW


@lru_cache(maxsize=2)  # neighbours in the list of points have the same
def _loaded(name: str) -> tuple[Any, Any]:
    """The float model and its tokenizer, None where it has none; neither is to be changed."""
    from macsmith.experiments.models.llama2c import read
    from macsmith.experiments.models.outliers import put_outliers
    from macsmith.quant.io import load_model, load_tokenizer

    subject = SUBJECTS[name]
    if subject.base == _STORIES:
        return read(subject_file(subject)), None
    model = load_model(locate(subject.base))
    if subject.outliers:
        put_outliers(model)
    return model, load_tokenizer(locate(subject.base))


@lru_cache(maxsize=2)
def _evaluation(name: str, text: str) -> tuple[Any, str]:
    """Token ids [n] and where they come from."""
    from macsmith.experiments.models.text import evaluation_text

    model, tokenizer = _loaded(name)
    if tokenizer is None:
        own = _own(model, _OWN_WINDOWS, _OWN_LENGTH, _OWN_SEED)
        return own.flatten(), f"text that {name} writes"
    found = evaluation_text(tokenizer, text)
    return found.ids, found.source


@lru_cache(maxsize=16)
def _calibration(name: str, samples: int, length: int, seed: int) -> Any:
    """Token ids [samples, length] that every recipe of this model and seed is calibrated on."""
    from macsmith.experiments.models.calibration import Calibration

    model, tokenizer = _loaded(name)
    if tokenizer is None:
        return _own(model, samples, length, seed)
    return Calibration(samples, length, seed).ids(tokenizer, model)


def _own(model: Any, samples: int, length: int, seed: int) -> Any:
    """What a model writes after its first token, that token included: [samples, length]."""
    import torch

    from macsmith.experiments.models.llama2c import own_text

    first = torch.ones(samples, 1, dtype=torch.int64)
    return torch.cat([first, own_text(model, samples, length - 1, seed)], dim=1)
