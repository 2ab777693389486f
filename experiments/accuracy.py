"""Claim "accuracy": perplexity of the embedded models, full precision and quantized.

Every recipe is measured in float (fake quantization) and exact (every quantized layer through the
engine, accumulator and all), on the held-out documentation found on this machine, and beside a
unigram and a bigram model on the same tokens. Time: about a second per perplexity on two cores.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from macsmith.experiments.models import MODELS

__all__ = ["FULL", "QUICK", "Baselines", "Config", "Job", "baseline_jobs", "jobs"]

#: INT8, then INT4 and dINT4 in both forms: the paper's is the zero-pointed one.
RECIPES = (
    "w8a8-rtn",
    "w4a8-rtn-int4",
    "w4a8-rtn-dint4",
    "w4a8-rtn-int4z",
    "w4a8-rtn-dint4z",
)


@dataclass(frozen=True)
class Config:
    """`float_only` recipes are measured without the exact execution."""

    models: tuple[str, ...] = MODELS
    recipes: tuple[str, ...] = RECIPES
    limit: int | None = None  # windows; None is all of the text


FULL = Config(
    recipes=(
        *RECIPES,
        "w4a8-rtn-dint4_sm",
        "w3a8-rtn-int3",
        "w3a8-rtn-dint3",
        "w4a8-rtn-fp4_e2m1",
    )
)
QUICK = Config()


@dataclass(frozen=True)
class Job:
    """One perplexity."""

    model: str
    recipe: str | None
    execution: str
    limit: int | None

    @property
    def label(self) -> str:
        return f"{self.model} {self.recipe or 'FP32'} {self.execution}"

    def run(self) -> dict:
        from macsmith.experiments.inference import evaluate_model

        found = evaluate_model(self.model, self.recipe, self.execution, limit=self.limit)
        row = found.as_dict()
        del row["provenance"]  # the report carries it once
        return row | {"recipe": self.recipe, "format": weight_format(self.recipe)}


@dataclass(frozen=True)
class Baselines:
    """Perplexity of a unigram and a bigram model on exactly the tokens that a model is scored on.

    Both are counted on the training part of the same documentation: without WikiText they are
    stronger on it than with it, and they need no download.
    """

    model: str

    @property
    def label(self) -> str:
        return f"{self.model}: unigram and bigram"

    def run(self) -> dict:
        from transformers import AutoConfig

        from macsmith.experiments.models import locate
        from macsmith.experiments.models.ngram import Bigram, Unigram, ngram_perplexity
        from macsmith.experiments.models.text import documentation
        from macsmith.quant.evaluate import WINDOW, TokenText
        from macsmith.quant.io import load_tokenizer

        folder = locate(self.model)
        tokenizer, corpus = load_tokenizer(folder), documentation()
        shape = AutoConfig.from_pretrained(folder)
        window = min(WINDOW, shape.max_position_embeddings)
        train, held_out = (
            TokenText.from_text(tokenizer, corpus.text(part), corpus.name).ids.numpy()
            for part in ("train", "held_out")
        )
        found = {"model": self.model}
        for name, kind in (("unigram", Unigram), ("bigram", Bigram)):
            fitted = kind.fit(train, shape.vocab_size)
            found[name] = ngram_perplexity(fitted, held_out, window)
        return found


def baseline_jobs(config: Config) -> Iterator[Baselines]:
    """The n-gram models beside each model of ``config``."""
    return map(Baselines, config.models)


def jobs(config: Config) -> Iterator[Job]:
    """Every perplexity of ``config``, model by model."""
    for model in config.models:
        yield Job(model, None, "float", config.limit)
        for recipe in config.recipes:
            for execution in ("float", "exact"):
                yield Job(model, recipe, execution, config.limit)


def weight_format(recipe: str | None) -> str | None:
    """Name of the weight format that a preset recipe uses; None for full precision."""
    from macsmith.quant import Recipe

    return None if recipe is None else Recipe.get(recipe).weights.format
