"""What models are calibrated on: samples of a text that nothing is evaluated on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from macsmith.experiments.models.text import documentation, wikitext
from macsmith.quant.evaluate import TokenText, context, hash_ids

__all__ = ["USUAL", "Calibration", "draw"]

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
    """

    samples: int = SAMPLES
    length: int = LENGTH
    seed: int = 0
    text: str = "docs"

    def __post_init__(self) -> None:
        for name in ("samples", "length"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"calibration {name} must be at least 1, not {getattr(self, name)}"
                )

    def ids(self, tokenizer: Any, model: Any) -> torch.Tensor:
        """Token ids int64 [samples, length]; ValueError if text or model are too short for them."""
        if self.length > context(model):
            raise ValueError(
                f"calibration length: the model reads {context(model)} tokens, not {self.length}"
            )
        return draw(_source(tokenizer, self.text).ids, self)

    def record(self, ids: torch.Tensor) -> dict[str, Any]:
        """What identifies the samples that were drawn."""
        return {
            "samples": self.samples, "length": self.length, "seed": self.seed, "text": self.text,
            "ids_sha256": hash_ids(ids.flatten()),
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


def _source(tokenizer: Any, text: str) -> TokenText:
    if text == "docs":
        corpus = documentation()
    elif Path(text).is_dir():
        corpus = wikitext(text)
    elif Path(text).is_file():
        try:
            whole = Path(text).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"calibration {text!r}: wanted UTF-8 text, got other bytes") from None
        return TokenText.from_text(tokenizer, whole, text)
    else:
        raise FileNotFoundError(f"calibration {text!r}: wanted 'docs', a folder or a text file")
    return TokenText.from_text(tokenizer, corpus.text("train"), corpus.name)
