"""Writes a trained model as a Hugging Face folder, measured from the very files it wrote."""

import json
import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from macsmith.experiments.models.ngram import Bigram, Unigram, ngram_perplexity
from macsmith.experiments.models.text import Corpus, text_hash
from macsmith.quant.evaluate import TokenText, perplexity

__all__ = ["measure", "publish"]


def publish(
    model: Any, tokenizer: Any, docs: Corpus, wiki: Corpus, record: dict[str, Any], out: Path
) -> None:
    """Write `out` (float16 weights, tokenizer, training.json) in one move.

    The files go to a folder beside `out` first and are measured from there in float32, so what is
    recorded is what a user loads. An older `out` is replaced.
    """
    partial = out.with_name(out.name + ".partial.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    model.to(torch.float16).save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    record = record | measure(partial, docs, wiki)
    (partial / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for file in partial.iterdir():
        file.chmod(0o644)  # safetensors writes files that only their owner can read
    if out.exists():
        shutil.rmtree(out)
    os.replace(partial, out)


def measure(folder: Path, docs: Corpus, wiki: Corpus) -> dict[str, Any]:
    """Held-out perplexity of the model in `folder`, of n-grams, and the hashes of all text."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    window, vocab = model.config.max_position_embeddings, model.config.vocab_size
    train_ids = {
        corpus: TokenText.from_text(tokenizer, corpus.text("train"), corpus.name).ids.numpy()
        for corpus in (docs, wiki)
    }
    everything = np.concatenate(list(train_ids.values()))
    held_out = {}
    for name, corpus in (("documentation", docs), ("wikitext", wiki)):
        ids = TokenText.from_text(tokenizer, corpus.text("held_out"), corpus.name).ids
        ids = ids[: 64 * window]  # 64 windows are plenty: the WikiText side has half a million
        held_out[name] = {
            "model": perplexity(model, ids, window=window).to_dict(),
            "unigram": ngram_perplexity(Unigram.fit(everything, vocab), ids.numpy(), window),
            "bigram": ngram_perplexity(Bigram.fit(everything, vocab), ids.numpy(), window),
            "unigram of the same source": ngram_perplexity(
                Unigram.fit(train_ids[corpus], vocab), ids.numpy(), window
            ),
            "bigram of the same source": ngram_perplexity(
                Bigram.fit(train_ids[corpus], vocab), ids.numpy(), window
            ),
        }
    return {
        "text": {
            corpus.name: {
                part: {
                    "characters": len(corpus.text(part)),
                    "paragraphs": sum(map(len, getattr(corpus, part))),
                    "sha256": text_hash(corpus.text(part)),
                }
                for part in ("train", "held_out")
            }
            | {"train_tokens": len(train_ids[corpus])}
            for corpus in (docs, wiki)
        },
        "held_out_perplexity": held_out,
        "versions": {name: version(name) for name in ("torch", "transformers", "tokenizers")},
    }
