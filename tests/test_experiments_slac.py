"""Calibration lengths swept on an embedded model, as the command does it."""

import json

import pytest
from typer.testing import CliRunner

from macsmith.experiments import slac
from macsmith.experiments.cli import app
from macsmith.experiments.inference import evaluate_model
from macsmith.experiments.models.calibration import Calibration

RECIPE = "w3a8-aweq-int3"  # needs calibration and little time


def test_a_row_is_what_eval_finds_with_that_calibration(tmp_path):
    """At the task's length, which the sequences of a file say."""
    task = tmp_path / "task.txt"
    task.write_text("What is a list?\n\nA list is a mutable sequence of objects, of any kind.\n")
    calibration = Calibration(samples=3, seed=4, task=str(task))
    found = slac.sweep_lengths("opt-mini", RECIPE, (32, 12), calibration, limit=3)
    length = found.task_length
    assert 6 < length < 16  # the mean of a short and a longer one
    assert (found.windows, [row["length"] for row in found.rows]) == (3, [32, 12])
    for row in found.rows:
        other = evaluate_model(
            "opt-mini", RECIPE, window=length, limit=3,
            calibration=Calibration(3, row["length"], 4),
        )  # fmt: skip
        assert row["ppl"] == other.ppl
        assert row["calibration"] == other.calibration
        assert len(row["ratios"]) == 24
        assert row["ratio"] > 0
    assert found.rows[0]["ppl"] != found.rows[1]["ppl"]
    assert found.std > 0


def test_tokens_or_samples_are_constant():
    task = Calibration(samples=6, length=100, seed=1, text="t.txt")
    assert slac._samples(task, 64, "samples") == Calibration(6, 64, 1, "t.txt")
    assert slac._samples(task, 64, "tokens") == Calibration(10, 64, 1, "t.txt")
    assert slac._samples(task, 512, "tokens") == Calibration(2, 512, 1, "t.txt")


def test_the_command_hands_its_options_on(monkeypatch):
    seen = []

    def reached(*args, **kwargs):
        kwargs.pop("progress")
        seen.append((args, kwargs))
        return slac.Swept(
            model="m", recipe={"name": "r"}, task_length=64, mean=2.5, std=0.7, windows=3,
            text="t", ids_sha256="0" * 64, seconds=1.0, provenance={},
            rows=[{"length": 64, "samples": 8, "ppl": 2.0, "ratio": 0.25, "ratios": []}],
        )  # fmt: skip

    monkeypatch.setattr(slac, "sweep_lengths", reached)
    line = ["slac", "opt-mini", "--recipe", RECIPE, "--lengths", "16,64", "--length", "64"]
    result = CliRunner().invoke(app, [*line, "--constant", "tokens", "--limit", "3"])
    assert seen == [
        (
            ("opt-mini", RECIPE, [16, 64], Calibration(length=64)),
            {"constant": "tokens", "text": None, "limit": 3},
        )
    ]
    assert "64 x 8" in result.stdout
    assert "the task's" in result.stdout
    document = json.loads(CliRunner().invoke(app, [*line, "--json"]).stdout)
    assert document["task_length"] == 64


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--lengths", "64;128"), "--lengths: wanted numbers with commas between, got '64;128'"),
        (("--constant", "time"), "constant must be one of samples, tokens, not 'time'"),
        (("--recipe", "w4a8-rtn-int4", "--limit", "2"), "no step of the recipe needs calibration"),
        (("--lengths", "64,1024"), "calibration length: the model reads 512 tokens, not 1024"),
        (("--lengths", "64,0"), "calibration length must be at least 1, not 0"),
        (("--limit", "0"), "limit must be at least one window, not 0"),
        (("--length", "9", "--task", "x"), "--task says what --length does: give one of them"),
        (("--task", "nowhere.txt"), "task 'nowhere.txt': wanted a text file, a sequence on each"),
    ],
)
def test_bad_input_is_one_line(options, words):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        CliRunner().invoke(app, ["slac", "opt-mini", *options], catch_exceptions=False)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
