"""Perplexity: the protocol by hand, a model that knows nothing, and what identifies a number."""

import hashlib
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from macsmith.quant.evaluate import Document, hash_ids, perplexity, word_perplexity


class Table(nn.Module):
    """p(next | last token) from a table of logits; counts its calls."""

    def __init__(self, logits, context=None):
        super().__init__()
        self.logits = nn.Parameter(torch.as_tensor(logits, dtype=torch.float32))
        self.config = SimpleNamespace(vocab_size=len(self.logits), max_position_embeddings=context)
        self.shapes = []

    def forward(self, input_ids):
        self.shapes.append(tuple(input_ids.shape))
        return SimpleNamespace(logits=self.logits[input_ids])


def test_a_uniform_model_has_the_vocabulary_as_perplexity():
    result = perplexity(Table(torch.zeros(37, 37)), torch.arange(37).repeat(5), window=10)
    assert result.ppl == pytest.approx(37, rel=1e-6)
    assert (result.windows, result.tokens, result.window) == (18, 18 * 9, 10)


def test_the_protocol_by_hand():
    # Windows [0 1 1], [0 0 1]; the tail [1] is dropped and no window's first token is scored.
    p = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    ids = torch.tensor([0, 1, 1, 0, 0, 1, 1])
    result = perplexity(Table(p.log()), ids, window=3)
    want = -(math.log(0.75) + math.log(0.5) + math.log(0.25) + math.log(0.75)) / 4
    assert result.loss == pytest.approx(want, rel=1e-6)
    assert result.ppl == pytest.approx(math.exp(want), rel=1e-6)
    assert (result.windows, result.tokens, result.ids_count) == (2, 4, 7)
    assert result.protocol == "gptq"
    assert result.dtype == "float32"


class Seen(nn.Module):
    """Uniform over 8 tokens; keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(vocab_size=8, max_position_embeddings=4)
        self.rows = []

    def forward(self, input_ids):
        self.rows += input_ids.tolist()
        return torch.zeros(*input_ids.shape, 8)


def test_strided_windows_score_every_token_but_the_first_once():
    model, ids = Seen(), torch.arange(7)
    result = perplexity(model, ids, "hf-stride")
    assert (result.window, result.stride, result.windows) == (4, 2, 3)
    assert model.rows == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6]]
    assert result.tokens == 3 + 2 + 1
    assert result.ppl == pytest.approx(8)
    # Without an overlap a window's first token has nothing before it.
    assert perplexity(Seen(), ids, "hf-stride", stride=4).tokens == 3 + 2


def test_strided_windows_by_hand():
    p = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    ids = torch.tensor([0, 1, 0, 0, 1])
    result = perplexity(Table(p.log()), ids, "hf-stride", window=3, stride=2)
    # 0 -> 1, 1 -> 0, 0 -> 0, 0 -> 1
    want = -(math.log(0.75) + math.log(0.5) + math.log(0.25) + math.log(0.75)) / 4
    assert result.loss == pytest.approx(want, rel=1e-6)


def test_words_by_hand():
    # Documents of 6 and 1 tokens, a prefix of 7: every token is scored, with the one before it.
    model = Seen()
    documents = [Document(torch.arange(6), 3), Document(torch.tensor([5]), 1)]
    result = word_perplexity(model, documents, prefix=7, batch=1)
    assert model.rows == [[7, 0, 1, 2], [1, 2, 3, 4], [7, 5]]
    assert (result.tokens, result.words, result.windows, result.ids_count) == (7, 4, 3, 7)
    assert result.ppl == pytest.approx(8 ** (7 / 4))
    p = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    found = word_perplexity(Table(p.log()), [Document(torch.tensor([1, 1, 0]), 2)], 0, window=2)
    assert found.loss == pytest.approx(-(math.log(0.75) + 2 * math.log(0.5)) / 2, rel=1e-6)


def test_words_are_measured_on_all_of_the_context():
    model = Table(torch.zeros(5, 5), context=3000)
    found = word_perplexity(model, [Document(torch.zeros(3000, dtype=torch.int64), 1)], 0)
    assert (found.window, model.shapes) == (3000, [(1, 3000)])
    assert perplexity(model, torch.zeros(3000, dtype=torch.int64)).window == 2048


def test_nothing_to_score_is_refused():
    with pytest.raises(ValueError, match="text too short: 1 documents without a word"):
        word_perplexity(Seen(), [Document(torch.arange(0), 1)], 0)
    with pytest.raises(ValueError, match="text too short: 1 documents without a word"):
        word_perplexity(Seen(), [Document(torch.arange(0), 0)], 0)
    with pytest.raises(ValueError, match="stride: wanted 1 to 4 tokens, got 5"):
        perplexity(Seen(), torch.arange(7), "hf-stride", stride=5)
    with pytest.raises(ValueError, match="unknown perplexity protocol 'lm-eval-word': wanted gptq"):
        perplexity(Seen(), torch.arange(7), "lm-eval-word")


def test_windows_come_in_batches_of_one_size():
    model, seen = Table(torch.zeros(5, 5), context=4), []
    result = perplexity(
        model, torch.zeros(1, 45, dtype=torch.long), progress=lambda *at: seen.append(at), batch=8
    )
    assert model.shapes == [(8, 4), (3, 4)]
    assert seen == [(8, 11), (11, 11)]
    assert result.window == 4, "the default window is the model's context"


def test_the_mode_of_the_model_is_restored():
    model = Table(torch.zeros(5, 5)).train()
    perplexity(model, torch.zeros(8, dtype=torch.long), window=4)
    assert model.training


def test_the_hash_names_the_ids():
    ids = torch.tensor([1, 2, 300])
    want = hashlib.sha256(b"".join(i.to_bytes(8, "little") for i in (1, 2, 300))).hexdigest()
    assert hash_ids(ids) == hash_ids(ids.int()) == want
    result = perplexity(Table(torch.zeros(301, 301)), ids, window=2)
    assert result.ids_sha256 == want, "the dropped tail is part of what was given"
    assert result.to_dict()["ids_sha256"] == want


def test_wrong_requests_are_refused():
    model, ids = Table(torch.zeros(5, 5)), torch.arange(5)
    with pytest.raises(ValueError, match="unknown perplexity protocol 'lm-eval': wanted gptq or"):
        perplexity(model, ids, "lm-eval", window=4)
    with pytest.raises(ValueError, match="text too short: wanted one window of 6 tokens, got 5"):
        perplexity(model, ids, window=6)
    with pytest.raises(ValueError, match="window: wanted at least 2 tokens, got 1"):
        perplexity(model, ids, window=1)
    with pytest.raises(ValueError, match="token id 5 is outside the model's vocabulary of 5"):
        perplexity(model, ids + 1, window=2)


def test_a_window_beyond_the_context_is_refused():
    model = torch.nn.Linear(1, 1)
    model.config = type("Config", (), {"max_position_embeddings": 8})()
    with pytest.raises(ValueError, match=r"^window: the model reads 8 tokens, not 9$"):
        perplexity(model, torch.zeros(20, dtype=torch.int64), window=9)
