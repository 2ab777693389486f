"""The text that the small models learn from and are measured on, split so that the two never meet.

paragraph   what stands between blank lines (documentation) or on one line (WikiText).
key         a paragraph's letters in lower case, words joined by single spaces. Two paragraphs that
            differ only in digits, punctuation or line breaks have the same key, so the small edits
            between two Python versions do not carry a paragraph from one side to the other.
held out    a paragraph is held out when sha256(key) says so: one key in `HELD_OUT_ONE_IN`. The rule
            looks at nothing else, so it is the same on every machine and Python version.

Order of work: split into paragraphs, drop those without a letter, keep the first of each key, apply
the rule, then drop every *training* paragraph that shares `OVERLAP_WORDS` consecutive words with a
held-out one (the documentation repeats sentences inside longer paragraphs, which no rule on whole
paragraphs can see).
"""

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from macsmith.experiments.models.pages import detokenised, pages, words
from macsmith.quant.evaluate import Document, TokenText

__all__ = [
    "HELD_OUT_ONE_IN",
    "OVERLAP_WORDS",
    "Corpus",
    "documentation",
    "evaluation_documents",
    "evaluation_text",
    "is_held_out",
    "key",
    "split",
    "text_hash",
    "wikitext",
]

HELD_OUT_ONE_IN = 10  # about 40 kB of documentation: enough for a stable mean, little lost
OVERLAP_WORDS = 10  # shorter runs are turns of phrase ("if the method is not defined the")

_WORD = re.compile(r"[a-z]+")
_HEADING = re.compile(r"^ = [^=].* = $")
# WikiText comes tokenised; the documentation does not. Undoing it lets one model serve both.
_DETOKENISE = (
    (re.compile(r" @([-.,])@ "), r"\1"),
    (re.compile(r" ([.,;:!?)\]%])"), r"\1"),
    (re.compile(r"([(\[$£]) "), r"\1"),
    (re.compile(r'" ([^"\n]*) "'), r'"\1"'),
    (re.compile(r" '(s|t|re|ve|ll|d|m)\b"), r"'\1"),
)


@dataclass(frozen=True, slots=True)
class Corpus:
    """One source of text, split. A document is a tuple of paragraphs in their order."""

    name: str
    train: tuple[tuple[str, ...], ...]
    held_out: tuple[tuple[str, ...], ...]

    def text(self, part: str) -> str:
        """All paragraphs of `part` ("train" or "held_out"), blank lines between them."""
        return "\n\n".join(p for document in getattr(self, part) for p in document)


def key(paragraph: str) -> str:
    """The letters of a paragraph, lower case, words joined by single spaces.

    >>> key("Added in version 3.7:  *Async*\\n   generators!")
    'added in version async generators'
    """
    return " ".join(_WORD.findall(paragraph.lower()))


def is_held_out(paragraph: str) -> bool:
    """Whether the hash rule holds `paragraph` out; depends on its key alone."""
    digest = hashlib.sha256(key(paragraph).encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0


def split(name: str, documents: Iterable[Iterable[str]]) -> Corpus:
    """Deduplicate and split `documents`; empty documents disappear.

    Nothing held out is in `train`, by key and by any run of `OVERLAP_WORDS` words: asserted here.
    """
    seen: set[str] = set()
    train: list[list[str]] = []
    held_out: list[tuple[str, ...]] = []
    for document in documents:
        sides: tuple[list[str], list[str]] = ([], [])
        for paragraph in document:
            if (k := key(paragraph)) and k not in seen:
                seen.add(k)
                sides[is_held_out(paragraph)].append(paragraph)
        train.append(sides[0])
        held_out.append(tuple(sides[1]))
    held_runs = {run for document in held_out for p in document for run in _runs(p)}
    clean = tuple(
        tuple(p for p in document if held_runs.isdisjoint(_runs(p))) for document in train
    )
    held_keys = {key(p) for document in held_out for p in document}
    assert held_keys.isdisjoint(key(p) for document in clean for p in document)
    return Corpus(name, tuple(filter(None, clean)), tuple(filter(None, held_out)))


def documentation() -> Corpus:
    """CPython's own documentation as this interpreter carries it: `pydoc_data.topics`.

    One document per topic, in alphabetical order of the topics, because the order of the file is
    not the same in every version. ValueError if this Python was built without it.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise ValueError(
            f"the documentation text needs pydoc_data.topics, and this Python "
            f"({sys.executable}) has none; name a text file or a WikiText folder instead"
        ) from None
    version = ".".join(map(str, sys.version_info[:3]))
    documents = (re.split(r"\n[ \t]*\n", topics[t].strip("\n")) for t in sorted(topics))
    stripped = ([p.strip("\n") for p in document] for document in documents)
    return split(f"pydoc_data.topics of Python {version}", stripped)


def wikitext(folder: str | Path) -> Corpus:
    """WikiText-2's training file, detokenised and split; one document per article."""
    file = _wikitext_file(folder, "train")
    return split("WikiText-2 train", _articles(file.read_text(encoding="utf-8").splitlines()))


def evaluation_text(tokenizer: Any, source: str | Path = "docs") -> TokenText:
    """Token ids to measure perplexity on.

    "docs"             the held-out part of the documentation found on this machine
    a WikiText folder  its test file as published, lines joined as the GPTQ protocol joins them
    a text file        the text as it is

    The tokenizer's own special tokens apply, once, at the start of the whole text.
    """
    if str(source) == "docs":
        corpus = documentation()
        return TokenText.from_text(tokenizer, corpus.text("held_out"), f"held-out {corpus.name}")
    path = Path(source)
    if path.is_dir():
        file = _wikitext_file(path, "test")
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        return TokenText.from_text(tokenizer, "\n\n".join(lines), f"WikiText-2 {file.name}")
    return TokenText.from_text(tokenizer, _read(path), path.name)


def evaluation_documents(
    tokenizer: Any, source: str | Path = "docs"
) -> tuple[str, list[Document], int]:
    """What "lm-eval-word" measures: a name, documents, and the token before each.

    "docs"             each topic of the held-out documentation
    a WikiText folder  each article of its test file, cut, detokenised and counted as by
                       lm-evaluation-harness (`pages`)
    a text file        one document

    Words are the source's own, before detokenising. There are no special tokens in a document;
    the token before it is BOS, or EOS of a tokenizer without one: ValueError if it has neither.
    """
    if str(source) == "docs":
        corpus = documentation()
        name, texts = f"held-out {corpus.name}", ["\n\n".join(part) for part in corpus.held_out]
        pairs = [(text, text) for text in texts]
    elif Path(source).is_dir():
        file = _wikitext_file(source, "test")
        name = f"WikiText-2 {file.name}"
        pairs = [(page, detokenised(page)) for page in pages(file.read_text(encoding="utf-8"))]
    else:
        name, text = str(source), _read(source)
        pairs = [(text, text)]
    prefix = tokenizer.bos_token_id
    prefix = tokenizer.eos_token_id if prefix is None else prefix
    if prefix is None:
        raise ValueError("lm-eval-word needs a token to begin with: the tokenizer has no BOS, EOS")
    documents = []
    for original, text in pairs:
        ids = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        documents.append(Document(torch.tensor(ids, dtype=torch.int64), words(original)))
    return name, documents, prefix


def text_hash(text: str) -> str:
    """sha256 of the text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def _runs(paragraph: str) -> Iterator[str]:
    """Every run of OVERLAP_WORDS consecutive words; none for a shorter paragraph."""
    words = key(paragraph).split()
    for i in range(len(words) - OVERLAP_WORDS + 1):
        yield " ".join(words[i : i + OVERLAP_WORDS])


def _read(source: str | Path) -> str:
    if not Path(source).is_file():
        raise FileNotFoundError(f"text {str(source)!r}: wanted 'docs', a folder or a text file")
    try:
        return Path(source).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"text {str(source)!r}: wanted UTF-8 text, got other bytes") from None


def _detokenised(text: str) -> str:
    for pattern, replacement in _DETOKENISE:
        text = pattern.sub(replacement, text)
    return text


def _articles(lines: Iterable[str]) -> Iterator[list[str]]:
    article: list[str] = []
    for line in lines:
        if _HEADING.match(line.rstrip("\n")) and article:
            yield article
            article = []
        article.append(_detokenised(line).strip())
    yield article


def _wikitext_file(folder: str | Path, part: str) -> Path:
    folder = Path(folder)
    names = (f"{part}.txt", f"wiki.{part}.tokens", f"wiki.{part}.raw")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"WikiText folder {str(folder)!r} has none of {', '.join(names)}")
