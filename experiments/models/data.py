"""From text to training windows: the tokenizer, and batches that depend on seed and step alone."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from macsmith.experiments.models.text import Corpus

__all__ = ["BOS", "PAD", "Batches", "train_tokenizer"]

BOS = "<s>"  # id 0: starts a text and ends one; a document boundary
PAD = "<pad>"  # id 1: never produced; batches elsewhere may need it


def train_tokenizer(texts: Iterable[str], vocab: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of `vocab` tokens; it puts BOS once before every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[BOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),  # sorted: a set has no order
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=BOS,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
    )


class Batches:
    """Windows of token ids, int64 [batch, context], as a function of (seed, step).

    A WikiText row is one of the windows of a per-epoch permutation of the whole training stream,
    cut at a per-epoch offset. A documentation row starts at a random paragraph of a random topic
    (topics drawn by length) and goes on through the following topics, keeping each paragraph with
    probability `docs_keep`, until the window is full.
    """

    def __init__(
        self,
        tokenizer: Any,
        docs: Corpus,
        wiki: Corpus,
        context: int,
        docs_share: float,
        docs_keep: float,
    ) -> None:
        self.tokenizer = tokenizer
        self.context = context
        self.docs_share = docs_share
        self.docs_keep = docs_keep
        self.paragraphs = [(p, i == 0) for d in docs.train for i, p in enumerate(d)]
        articles = ["\n\n".join(article) for article in wiki.train]
        self.stream = np.concatenate([np.asarray(ids) for ids in tokenizer(articles).input_ids])

    def __call__(self, seed: int, step: int, batch: int) -> np.ndarray:
        rng = np.random.default_rng((seed, step))
        rows = []
        for row in range(batch):
            if rng.random() < self.docs_share:
                rows.append(self._docs_row(rng))
            else:
                rows.append(self._wiki_row(seed, step * batch + row))
        return np.stack(rows)

    def _wiki_row(self, seed: int, index: int) -> np.ndarray:
        windows = len(self.stream) // self.context - 1  # one less leaves room for the offset
        epoch, at = divmod(index, windows)
        rng = np.random.default_rng((seed, 1 << 32, epoch))
        begin = rng.integers(self.context) + rng.permutation(windows)[at] * self.context
        return self.stream[begin : begin + self.context].astype(np.int64)

    def _docs_row(self, rng: np.random.Generator) -> np.ndarray:
        ids: list[int] = []
        text: list[str] = []
        at = int(rng.integers(len(self.paragraphs)))
        while True:
            paragraph, first = self.paragraphs[at % len(self.paragraphs)]
            if (first and text) or len(text) > self.context:  # a topic ends; BOS starts the next
                ids += self.tokenizer("\n\n".join(text)).input_ids
                text = []
                if len(ids) >= self.context:
                    return np.asarray(ids[: self.context], dtype=np.int64)
            if rng.random() < self.docs_keep:
                text.append(paragraph)
            at += 1
