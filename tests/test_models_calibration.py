"""Calibration samples: what decides them, and texts that are too short."""

import pytest
import torch

from macsmith.experiments.models.calibration import Calibration, draw


def test_samples_do_not_overlap_and_follow_the_seed():
    ids = torch.arange(1000)
    found = draw(ids, Calibration(samples=50, length=20, seed=3))
    assert found.shape == (50, 20)
    assert found.flatten().unique().numel() == 1000  # all of it, each once
    assert torch.equal(found, draw(ids, Calibration(samples=50, length=20, seed=3)))
    other = draw(ids, Calibration(samples=50, length=20, seed=4))
    assert not torch.equal(found, other)


def test_a_short_text_and_no_samples_are_refused():
    with pytest.raises(ValueError, match="calibration text has 4 samples of 20 tokens, not 5"):
        draw(torch.arange(99), Calibration(samples=5, length=20))
    with pytest.raises(ValueError, match="calibration length must be at least 1, not 0"):
        Calibration(length=0)
