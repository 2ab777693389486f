"""What models are calibrated on: samples of a text that nothing is evaluated on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from macsmith.experiments.models.text import documentation, wikitext
from macsmith.quant.evaluate import TokenText, context, hash_ids

__all__ = ["USUAL", "Calibration", "draw", "expected_length"]

SAMPLES, LENGTH = 32, 128


@dataclass(frozen=True)
class Calibration:
    """Which samples: everything that decides them but tokenizer and text.

    Attributes
    ----------
    samples, length : int
        How many, and their tokens. SLAC is a length like that of the task; the papers' defaults
        are 128 samples of 2,048 tokens, ours are smaller as the embedded models are.
    seed : int
    text : str
        "docs", the training part of the documentation; a WikiText folder, its training file; or a
        text file.
    task : str or None
        A text file with the task's sequences, one on a line, whose mean length takes the place of
        ``length``: SLAC's choice.
    """

    samples: int = SAMPLES
    length: int = LENGTH
    seed: int = 0
    text: str = "docs"
    task: str | None = None

    def __post_init__(self) -> None:
        for name in ("samples", "length"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"calibration {name} must be at least 1, not {getattr(self, name)}"
                )

        if self.seed < 0:
            raise ValueError(f"calibration seed must be 0 or more, not {self.seed}")

    def resolved(self, tokenizer: Any) -> "Calibration":
        """With the task's length in place of its own, where a task is named."""
        if self.task is None:
            return self
        return replace(self, length=expected_length(tokenizer, self.task))

    def ids(self, tokenizer: Any, model: Any) -> torch.Tensor:
        """Token ids int64 [samples, length]; ValueError if text or model are too short for them."""
        wanted = self.resolved(tokenizer)
        if wanted.length > context(model):
            raise ValueError(
                f"calibration length: the model reads {context(model)} tokens, not {wanted.length}"
            )
        return draw(_source(tokenizer, self.text).ids, wanted)

    def record(self, ids: torch.Tensor) -> dict[str, Any]:
        """What identifies the samples that were drawn."""
        return {
            "samples": self.samples, "length": ids.shape[1], "seed": self.seed, "text": self.text,
            "task": self.task, "ids_sha256": hash_ids(ids.flatten()),
        }  # fmt: skip


USUAL = Calibration()


def draw(ids: torch.Tensor, wanted: Calibration) -> torch.Tensor:
    """Samples [samples, length] of text ``ids`` [n], from places drawn with a seed of their own.

    Places are multiples of the length, each taken once: samples do not overlap. ValueError if the
    text has too few.
    """
    places = ids.numel() // wanted.length
    if places < wanted.samples:
        raise ValueError(
            f"calibration text has {places} samples of {wanted.length} tokens, not {wanted.samples}"
        )
    chosen = np.random.default_rng(wanted.seed).permutation(places)[: wanted.samples]
    rows = ids[: places * wanted.length].view(places, wanted.length)
    return rows[torch.from_numpy(chosen)].to(torch.int64)


def expected_length(tokenizer: Any, path: str | Path) -> int:
    """Mean tokens of the lines of a text file that are not blank, to the nearest whole number.

    With the special tokens that ``tokenizer`` adds. ValueError if there is no such line.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"task {str(path)!r}: wanted a text file, a sequence on each line")
    lines = [line for line in _read(path, "task").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"task {str(path)!r}: wanted a sequence on each line, got none")
    counts = [len(ids) for ids in tokenizer(lines, verbose=False).input_ids]
    return max(1, round(sum(counts) / len(counts)))


def _read(path: str | Path, what: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{what} {str(path)!r}: wanted UTF-8 text, got other bytes") from None


def _source(tokenizer: Any, text: str) -> TokenText:
    if text == "docs":
        corpus = documentation()
    elif Path(text).is_dir():
        corpus = wikitext(text)
    elif Path(text).is_file():
        return TokenText.from_text(tokenizer, _read(text, "calibration"), text)
    else:
        raise FileNotFoundError(f"calibration {text!r}: wanted 'docs', a folder or a text file")
    return TokenText.from_text(tokenizer, corpus.text("train"), corpus.name)
