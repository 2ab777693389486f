"""Perplexity under a named protocol, with everything that identifies the number.

"gptq" (what GPTQ, AWQ, SmoothQuant and OmniQuant report): one string, tokenized once; windows of
`window` tokens that do not overlap; the tail that fills no window is dropped; every window is
forwarded alone, from position 0; its first token is never scored; perplexity is exp of the mean
loss over the scored tokens.

"hf-stride" (the guide of the transformers library): one string, tokenized once; windows begin every
`stride` tokens and overlap; each scores what none before it has, the first token of the text never;
the last window is short; perplexity is exp of the mean loss over the scored tokens. (In the
guide's code a window that overlaps the one before counts for one token less than it scores.)

"lm-eval-word" (the wikitext task of lm-evaluation-harness, in which AWQ's first version and, as far
as can be told, Lee et al. 2023 give their OPT figures): each document by itself, every token
scored, the first after the tokenizer's own prefix token, windows of the model's context that do not
overlap, each conditioned on the last token before it; perplexity is exp of the loss per *word* of
the original text, so that tokenizers compare. Documents have no special tokens: the harness's
number with add_bos_token=False (0.4.13 left to itself also scores what the tokenizer puts first).
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from typing import Any

import torch
import torch.nn.functional as F

__all__ = [
    "BATCH", "PROTOCOLS", "WINDOW", "Document", "Perplexity", "TokenText", "context",
    "hash_ids", "perplexity", "word_perplexity",
]  # fmt: skip

PROTOCOLS = ("gptq", "hf-stride", "lm-eval-word")

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
class Document:
    """One document of "lm-eval-word": token ids int64 [n], and words of its original text."""

    ids: torch.Tensor
    words: int


@dataclass(frozen=True, slots=True)
class Perplexity:
    """One measurement. `loss` is in nats per scored token, or per word; `ppl` = exp(loss)."""

    ppl: float
    loss: float
    protocol: str
    tokens: int  # scored
    words: int | None  # of "lm-eval-word"
    windows: int
    window: int
    stride: int | None  # of "hf-stride"
    batch: int
    ids_count: int  # all that were given
    ids_sha256: str  # of all ids given, what was dropped included
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
    stride: int | None = None,
) -> Perplexity:
    """Perplexity of `model` on token ids (int64, [n] or [1, n]) by "gptq" or "hf-stride".

    `model` is called as model(input_ids=[B, window]) and returns logits, or an object that has
    them; it is put in evaluation mode for the call. `window` defaults to the model's context, at
    most `WINDOW`; `stride`, of "hf-stride", to half a window, as in the guide. `progress(done,
    windows)` is called after each batch. ValueError when there are
    fewer ids than one window, or when an id is outside the model's vocabulary.
    """
    if protocol not in PROTOCOLS[:2]:
        raise ValueError(
            f"unknown perplexity protocol {protocol!r}: wanted {' or '.join(PROTOCOLS[:2])} "
            "(lm-eval-word takes documents: word_perplexity)"
        )
    ids = ids.reshape(-1).to(torch.int64)
    window = _window(model, window)
    if ids.numel() < window:
        raise ValueError(f"text too short: wanted one window of {window} tokens, got {ids.numel()}")
    _check_vocabulary(model, ids)
    if protocol == "gptq":
        rows = ids[: ids.numel() // window * window].view(-1, window)
        pieces = [_Piece(row, window - 1) for row in rows]
    else:
        stride = window // 2 if stride is None else stride
        if not 1 <= stride <= window:
            raise ValueError(f"stride: wanted 1 to {window} tokens, got {stride}")
        pieces = list(_strided(ids, window, stride))
    loss, tokens = _scored(model, pieces, window, batch, progress)
    return _result(
        model, loss, tokens, tokens, protocol=protocol, windows=len(pieces), window=window,
        stride=None if protocol == "gptq" else stride, words=None, batch=batch,
        ids_count=ids.numel(), ids_sha256=hash_ids(ids),
    )  # fmt: skip


@torch.no_grad()
def word_perplexity(
    model: torch.nn.Module,
    documents: Sequence[Document],
    prefix: int,
    window: int | None = None,
    batch: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
) -> Perplexity:
    """Perplexity per word by "lm-eval-word"; ids without special tokens, `prefix` before each.

    `window` defaults to the model's context. ValueError without a token or a word, or when an id is
    outside the model's vocabulary.
    """
    window = _window(model, context(model) if window is None else window)
    words = sum(document.words for document in documents)
    if not words or not any(document.ids.numel() for document in documents):
        raise ValueError(f"text too short: {len(documents)} documents without a word")
    every = torch.cat([document.ids for document in documents]).to(torch.int64)
    _check_vocabulary(model, torch.cat([every, torch.tensor([prefix])]))
    pieces = [piece for document in documents for piece in _rolling(document.ids, prefix, window)]
    loss, tokens = _scored(model, pieces, window, batch, progress)
    return _result(
        model, loss, words, tokens, protocol="lm-eval-word", windows=len(pieces), window=window,
        stride=None, words=words, batch=batch, ids_count=every.numel(),
        ids_sha256=hash_ids(every),
    )  # fmt: skip


def context(model: torch.nn.Module) -> int:
    """Positions that the model's configuration allows; WINDOW where it names none."""
    return getattr(getattr(model, "config", None), "max_position_embeddings", None) or WINDOW


@dataclass(frozen=True, slots=True)
class _Piece:
    """One forward pass of one row: the last `scored` of its ids are."""

    ids: torch.Tensor
    scored: int


def _strided(ids: torch.Tensor, window: int, stride: int) -> Iterator[_Piece]:
    done = 1
    for start in range(0, ids.numel(), stride):
        end = min(start + window, ids.numel())
        if end > done:
            yield _Piece(ids[start:end], min(end - done, end - start - 1))
        done = end
        if end == ids.numel():
            return


def _rolling(ids: torch.Tensor, prefix: int, window: int) -> Iterator[_Piece]:
    before = torch.tensor([prefix])
    for start in range(0, ids.numel(), window):
        part = ids[start : start + window]
        # The last window is filled up with what came before it, which is not scored again.
        context = ids[: start + len(part)][-window - 1 :] if start else torch.cat([before, part])
        yield _Piece(context.to(torch.int64), len(part))


def _scored(
    model: torch.nn.Module,
    pieces: Sequence[_Piece],
    window: int,
    batch: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[float, int]:
    """Sum of losses in nats, and tokens scored."""
    device, was_training = _parameter(model).device, model.training
    model.eval()
    total, done = 0.0, 0
    try:
        for _, same in groupby(pieces, key=lambda piece: len(piece.ids)):
            for part in _batched(same, batch):
                x = torch.stack([piece.ids for piece in part]).to(device)  # (B, length)
                out = model(input_ids=x[:, :window])  # what is beyond is only predicted
                logits = getattr(out, "logits", out)[:, : x.shape[1] - 1].float()
                loss = F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten(), reduction="none")
                for row, piece in zip(loss.view(len(part), -1), part, strict=True):
                    # double: the sum must not depend on its length
                    total += row[len(row) - piece.scored :].double().sum().item()
                done += len(part)
                if progress:
                    progress(done, len(pieces))
    finally:
        model.train(was_training)
    return total, sum(piece.scored for piece in pieces)


def _batched(pieces: Iterable[_Piece], size: int) -> Iterator[list[_Piece]]:
    pieces = iter(pieces)
    while part := list(islice(pieces, size)):
        yield part


def _result(model: torch.nn.Module, total: float, over: int, tokens: int, **rest) -> Perplexity:
    loss = total / over
    dtype = str(_parameter(model).dtype).removeprefix("torch.")
    ppl = math.exp(loss) if loss < 700 else math.inf
    return Perplexity(ppl=ppl, loss=loss, tokens=tokens, dtype=dtype, **rest)


def _parameter(model: torch.nn.Module) -> torch.Tensor:
    return next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))


def _window(model: torch.nn.Module, window: int | None) -> int:
    window = min(WINDOW, context(model)) if window is None else window
    if window > context(model):
        raise ValueError(f"window: the model reads {context(model)} tokens, not {window}")
    if window < 2:
        raise ValueError(f"window: wanted at least 2 tokens, got {window}")
    return window


def _check_vocabulary(model: torch.nn.Module, ids: torch.Tensor) -> None:
    vocab = getattr(getattr(model, "config", None), "vocab_size", None)
    if vocab is not None and int(ids.max()) >= vocab:
        raise ValueError(f"token id {int(ids.max())} is outside the model's vocabulary of {vocab}")
