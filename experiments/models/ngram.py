"""Unigram and bigram models: what a language model must beat to be worth quantizing.

Unigram   add-one:  p(x) = (c(x) + 1) / (n + V)
Bigram    interpolated Kneser-Ney (Ney, Essen and Kneser 1994), the strongest common bigram:
          p(x | h) = max(c(h, x) - D, 0) / c(h) + D * types(h) / c(h) * q(x)
          q(x)     = (histories(x) + 1) / (all bigram types + V)
          D        = n1 / (n1 + 2 * n2), from the counts of pairs seen once and twice
          and p(x | h) = q(x) after a token that was never seen.
Every parameter comes from the training ids; none is tuned, so nothing held out is looked at.
"""

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Bigram", "Unigram", "ngram_perplexity"]


@dataclass(frozen=True, slots=True)
class Unigram:
    """`p[x]`: float64 [vocab]."""

    p: np.ndarray

    @classmethod
    def fit(cls, ids: np.ndarray, vocab: int) -> "Unigram":
        """Estimate from training ids [n], each in 0..vocab-1."""
        return cls((np.bincount(ids, minlength=vocab) + 1.0) / (len(ids) + vocab))

    def probability(self, history: np.ndarray, x: np.ndarray) -> np.ndarray:
        """p(x | history) for arrays of one shape; the history is ignored."""
        return self.p[x]


@dataclass(frozen=True, slots=True)
class Bigram:
    """Sorted pair codes h * vocab + x with their counts, and per token what the formula needs."""

    vocab: int
    discount: float
    pairs: np.ndarray  # int64 [types], ascending
    counts: np.ndarray  # int64 [types]
    history_count: np.ndarray  # int64 [vocab], c(h)
    history_types: np.ndarray  # int64 [vocab], types(h)
    continuation: np.ndarray  # float64 [vocab], q(x)

    @classmethod
    def fit(cls, ids: np.ndarray, vocab: int) -> "Bigram":
        """Estimate from training ids [n], n >= 2, each in 0..vocab-1."""
        ids = np.asarray(ids, dtype=np.int64)
        pairs, counts = np.unique(ids[:-1] * vocab + ids[1:], return_counts=True)
        n1, n2 = int((counts == 1).sum()), int((counts == 2).sum())
        history, x = pairs // vocab, pairs % vocab
        return cls(
            vocab=vocab,
            discount=n1 / (n1 + 2 * n2) if n1 else 0.0,
            pairs=pairs,
            counts=counts,
            history_count=np.bincount(history, weights=counts, minlength=vocab).astype(np.int64),
            history_types=np.bincount(history, minlength=vocab),
            continuation=(np.bincount(x, minlength=vocab) + 1.0) / (len(pairs) + vocab),
        )

    def probability(self, history: np.ndarray, x: np.ndarray) -> np.ndarray:
        """p(x | history) for integer arrays of one shape: float64 of that shape."""
        code = history.astype(np.int64) * self.vocab + x
        at = np.minimum(np.searchsorted(self.pairs, code), len(self.pairs) - 1)
        count = np.where(self.pairs[at] == code, self.counts[at], 0)
        n = self.history_count[history]
        kept = np.maximum(count - self.discount, 0.0)
        left = np.where(n > 0, self.discount * self.history_types[history], 1.0)
        return (kept + left * self.continuation[x]) / np.maximum(n, 1)


def ngram_perplexity(model: Unigram | Bigram, ids: np.ndarray, window: int) -> float:
    """Perplexity over exactly the tokens that `macsmith.quant.evaluate.perplexity` scores.

    Whole windows only, first token of each window not scored; the token before is the history.
    """
    rows = np.asarray(ids)[: len(ids) // window * window].reshape(-1, window)
    return math.exp(-np.log(model.probability(rows[:, :-1], rows[:, 1:])).mean())
