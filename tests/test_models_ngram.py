"""n-gram models by hand, and as proper distributions."""

import numpy as np
import pytest

from macsmith.experiments.models.ngram import Bigram, Unigram, ngram_perplexity

IDS = np.array([0, 1, 0, 1, 0, 2, 0, 1, 1])


def test_unigram_by_hand():
    assert Unigram.fit(IDS, 4).p.tolist() == [5 / 13, 5 / 13, 2 / 13, 1 / 13]


def test_bigram_by_hand():
    model = Bigram.fit(IDS, 4)
    # Pairs: 01 three times, 10 twice, 02, 20 and 11 once. D = n1 / (n1 + 2 n2) = 3 / 5.
    assert model.discount == 0.6
    q1 = (2 + 1) / (5 + 4)  # 1 follows 0 and 1
    assert model.probability(np.array([0]), np.array([1]))[0] == pytest.approx(
        2.4 / 4 + 0.6 * 2 / 4 * q1
    )
    q3 = 1 / 9
    assert model.probability(np.array([0]), np.array([3]))[0] == pytest.approx(0.6 * 2 / 4 * q3)
    assert model.probability(np.array([3]), np.array([1]))[0] == pytest.approx(q1), "unseen history"


def test_probabilities_sum_to_one():
    ids = np.random.default_rng(0).zipf(1.5, 5000) % 60
    for model in (Unigram.fit(ids, 64), Bigram.fit(ids, 64)):
        x = np.arange(64)
        sums = [model.probability(np.full(64, h), x).sum() for h in range(64)]
        assert sums == pytest.approx([1.0] * 64)


def test_perplexity_scores_what_the_protocol_scores():
    model = Unigram.fit(IDS, 4)
    ids = np.array([0, 1, 2, 3, 0, 1, 2])  # windows [0 1 2] and [3 0 1]
    p = model.p
    want = (p[1] * p[2] * p[0] * p[1]) ** -0.25
    assert ngram_perplexity(model, ids, 3) == pytest.approx(want)


def test_a_bigram_beats_a_unigram_on_text_with_order():
    ids = np.tile(np.arange(20), 50)
    unigram, bigram = Unigram.fit(ids, 20), Bigram.fit(ids, 20)
    assert ngram_perplexity(bigram, ids, 50) < 2 < 19 < ngram_perplexity(unigram, ids, 50)
