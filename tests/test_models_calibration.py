"""Calibration samples: what decides them, and texts that are too short."""

import pytest
import torch

from macsmith.experiments.models.calibration import Calibration, draw, expected_length


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


class Words:
    """A tokenizer that gives one id for each word, and one before them all."""

    def __call__(self, text, **_):
        return type("Out", (), {"input_ids": [[0, *map(len, line.split())] for line in text]})


def test_a_tasks_length_is_the_mean_of_its_sequences(tmp_path):
    path = tmp_path / "task.txt"
    path.write_text("one two three\n\n   \na much longer line of some more words\nshort\n")
    assert expected_length(Words(), path) == round((4 + 9 + 2) / 3)
    plain = Calibration(samples=7, seed=2)
    assert plain.resolved(Words()) is plain
    asked = Calibration(samples=7, seed=2, task=str(path))
    assert asked.resolved(Words()) == Calibration(7, 5, 2, task=str(path))
    drawn = draw(torch.arange(99), asked.resolved(Words()))
    assert drawn.shape == (7, 5)
    assert (asked.record(drawn)["length"], asked.record(drawn)["task"]) == (5, str(path))


def test_files_without_a_sequence_are_refused(tmp_path):
    path = tmp_path / "task.txt"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="wanted UTF-8 text, got other bytes"):
        expected_length(Words(), path)
    path.write_text(" \n\n")
    with pytest.raises(ValueError, match="wanted a sequence on each line, got none"):
        expected_length(Words(), path)
    with pytest.raises(FileNotFoundError, match="wanted a text file, a sequence on each line"):
        expected_length(Words(), tmp_path)
