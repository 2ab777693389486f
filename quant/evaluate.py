"""Perplexity under a named protocol, with everything that identifies the number.

Protocol "gptq" (what GPTQ, AWQ, SmoothQuant and OmniQuant report): one string, tokenized once;
windows of `window` tokens that do not overlap; the tail that fills no window is dropped; every
window is forwarded alone, from position 0; its first token is never scored; perplexity is exp of
the mean loss over the scored tokens.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F

__all__ = ["BATCH", "WINDOW", "Perplexity", "TokenText", "context", "hash_ids", "perplexity"]

WINDOW = 2048  # the published protocol's length; a model with a shorter context uses all of its own
BATCH = 2  # windows per forward pass: fixed, because another size changes the last float bits


def hash_ids(ids: torch.Tensor) -> str:
    """sha256 of the ids as little-endian int64: what was measured, whatever text it came from."""
    return hashlib.sha256(ids.to(torch.int64).cpu().numpy().astype("<i8").tobytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class TokenText:
    """Token ids, int64 [n], and where they came from."""

    ids: torch.Tensor
    source: str

    @classmethod
    def from_text(cls, tokenizer: Any, text: str, source: str) -> "TokenText":
        """Tokenize `text` as one string, with the tokenizer's own special tokens."""
        # verbose=False: the text is longer than the model's context on purpose, windows cut it.
        ids = tokenizer(text, return_tensors="pt", verbose=False).input_ids[0]
        return cls(ids, source)

    @property
    def sha256(self) -> str:
        return hash_ids(self.ids)

    @property
    def count(self) -> int:
        return self.ids.numel()


@dataclass(frozen=True, slots=True)
class Perplexity:
    """One measurement. `loss` is in nats per scored token; `ppl` = exp(loss)."""

    ppl: float
    loss: float
    protocol: str
    tokens: int  # scored: windows * (window - 1)
    windows: int
    window: int
    batch: int
    ids_count: int  # before the tail is dropped
    ids_sha256: str  # of all ids given, the dropped tail included
    dtype: str  # of the model's floating-point parameters

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@torch.no_grad()
def perplexity(
    model: torch.nn.Module,
    ids: torch.Tensor,
    protocol: str = "gptq",
    window: int | None = None,
    batch: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
) -> Perplexity:
    """Perplexity of `model` on token ids (int64, [n] or [1, n]).

    `model` is called as model(input_ids=[B, window]) and returns logits, or an object that has
    them; it is put in evaluation mode for the call. `window` defaults to the model's context, at
    most `WINDOW`. `progress(done, windows)` is called after each batch. ValueError when there are
    fewer ids than one window, or when an id is outside the model's vocabulary.
    """
    if protocol != "gptq":
        raise ValueError(f"unknown perplexity protocol {protocol!r}: wanted 'gptq'")
    ids = ids.reshape(-1).to(torch.int64)
    window = min(WINDOW, context(model)) if window is None else window
    if window > context(model):
        raise ValueError(f"window: the model reads {context(model)} tokens, not {window}")
    if window < 2:
        raise ValueError(f"window: wanted at least 2 tokens, got {window}")
    if (windows := ids.numel() // window) == 0:
        raise ValueError(f"text too short: wanted one window of {window} tokens, got {ids.numel()}")
    vocab = getattr(getattr(model, "config", None), "vocab_size", None)
    if vocab is not None and int(ids.max()) >= vocab:
        raise ValueError(f"token id {int(ids.max())} is outside the model's vocabulary of {vocab}")
    weight = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    rows = ids[: windows * window].view(windows, window).to(weight.device)  # (W, window)
    was_training = model.training
    model.eval()
    try:
        total = 0.0
        for start in range(0, windows, batch):
            x = rows[start : start + batch]  # (B, window)
            out = model(input_ids=x)
            logits = getattr(out, "logits", out)[:, :-1].float()  # (B, window - 1, vocab)
            loss = F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten(), reduction="none")
            total += loss.double().sum().item()  # double: the sum must not depend on its length
            if progress:
                progress(min(start + batch, windows), windows)
    finally:
        model.train(was_training)
    tokens = windows * (window - 1)
    loss = total / tokens
    return Perplexity(
        ppl=math.exp(loss) if loss < 700 else math.inf,
        loss=loss,
        protocol=protocol,
        tokens=tokens,
        windows=windows,
        window=window,
        batch=batch,
        ids_count=ids.numel(),
        ids_sha256=hash_ids(ids),
        dtype=str(weight.dtype).removeprefix("torch."),
    )


def context(model: torch.nn.Module) -> int:
    """Positions that the model's configuration allows; WINDOW where it names none."""
    return getattr(getattr(model, "config", None), "max_position_embeddings", None) or WINDOW
