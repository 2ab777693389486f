"""`macsmith slac`: how much a quantized model depends on the length of its calibration samples."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macsmith.experiments.inference import Result, recipe_name
from macsmith.experiments.models import locate
from macsmith.experiments.models.calibration import USUAL, Calibration
from macsmith.experiments.store import provenance

__all__ = ["CONSTANT", "Swept", "sweep_lengths"]

CONSTANT = ("samples", "tokens")


@dataclass(frozen=True, kw_only=True)
class Swept(Result):
    """Perplexity at one length, by the length of calibration samples."""

    recipe: dict[str, Any]
    task_length: int  # of the windows that are scored; SLAC calibrates with it
    rows: list[dict[str, Any]]  # length, samples, ppl, ratio, ratios (by layer), calibration
    mean: float  # of the perplexities
    std: float  # their standard deviation, n - 1
    windows: int
    text: str
    ids_sha256: str

    def lines(self) -> list[str]:
        name = recipe_name(self.recipe)
        rows = [
            f"{row['length']:6} x {row['samples']:<5} {row['ppl']:12.4f} {row['ratio']:14.6f}"
            + ("  the task's" if row["length"] == self.task_length else "")
            for row in self.rows
        ]
        return [
            f"{self.model}, {name}: {self.windows} windows of {self.task_length} tokens, "
            f"{self.text}, ids {self.ids_sha256[:16]}",
            "calibration      perplexity   update ratio",
            *rows,
            f"mean {self.mean:.4f}, standard deviation over lengths {self.std:.4f}, "
            f"{self.seconds:.1f} s",
        ]


def sweep_lengths(
    model: str,
    recipe: str,
    lengths: Sequence[int],
    calibration: Calibration = USUAL,
    *,
    constant: str = "samples",
    text: Path | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Swept:
    """Perplexity of ``model`` at the task's length, calibrated with each of ``lengths``.

    The task's length is that of ``calibration``. ``constant`` "samples": its number of samples at
    each length; "tokens": as many as make its number of tokens, rounded up. Perplexity is by
    protocol "gptq" in windows of the task's length, over ``text`` or the held-out documentation,
    the first ``limit`` windows. ValueError as of `macsmith.quant.slac.sweep`.
    """
    from macsmith.experiments.models.text import evaluation_text
    from macsmith.quant import Recipe, slac
    from macsmith.quant.evaluate import Perplexity, perplexity
    from macsmith.quant.io import load_model, load_tokenizer

    start = time.perf_counter()
    if constant not in CONSTANT:
        raise ValueError(f"constant must be one of {', '.join(CONSTANT)}, not {constant!r}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least one window, not {limit}")
    chosen, place = Recipe.get(recipe), locate(model)
    tokenizer, first = load_tokenizer(place), load_model(place)
    task = calibration.resolved(tokenizer)
    samples = {length: _samples(task, length, constant) for length in lengths}
    drawn = {length: one.ids(tokenizer, first) for length, one in samples.items()}
    tokens = evaluation_text(tokenizer, text or "docs")
    ids = tokens.ids if limit is None else tokens.ids[: limit * task.length]
    measured: list[Perplexity] = []

    def measure(net: Any) -> float:
        measured.append(perplexity(net, ids, window=task.length))
        return measured[-1].ppl

    found = slac.sweep(
        lambda: load_model(place), chosen, drawn.__getitem__, measure, lengths, progress=progress
    )
    rows = [
        {
            "length": point.length,
            "samples": point.samples,
            "ppl": point.result,
            "ratio": point.ratio,
            "ratios": [ratio._asdict() for ratio in point.ratios],
            "calibration": samples[point.length].record(drawn[point.length]),
        }
        for point in found.points
    ]
    return Swept(
        model=model,
        recipe=chosen.model_dump(mode="json"),
        task_length=task.length,
        rows=rows,
        mean=found.mean,
        std=found.std,
        windows=measured[0].windows,
        text=tokens.source,
        ids_sha256=measured[0].ids_sha256,
        seconds=time.perf_counter() - start,
        provenance=provenance(),
    )


def _samples(task: Calibration, length: int, constant: str) -> Calibration:
    count = task.samples
    if constant == "tokens":
        count = -(-task.samples * task.length // max(1, length))
    return Calibration(count, length, task.seed, task.text)
