"""Training: batches are a function of seed and step, a killed run goes on as if it had not been."""

import io
import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from macsmith.experiments.models import text, train
from macsmith.experiments.models.data import BOS, Batches, train_tokenizer

SENTENCES = [
    f"The {noun} {verb} a {other}."
    for noun in ("bird", "stone", "river", "engine")
    for verb in ("sees", "finds", "makes", "likes", "draws")
    for other in ("bird", "stone", "river", "engine", "window", "garden")
]


@pytest.fixture
def wikitext(tmp_path):
    lines = [f" = {chr(65 + i % 26)} {i} = \n {' '.join(SENTENCES)} \n" for i in range(3)]
    (tmp_path / "train.txt").write_text("".join(lines) + "".join(f" {s} \n" for s in SENTENCES))
    return tmp_path


@pytest.fixture
def docs(monkeypatch):
    """The documentation, cut short: these tests are about training, not about the text."""
    corpus = text.split("docs", [SENTENCES[:60], SENTENCES[60:]])
    monkeypatch.setattr(train, "documentation", lambda: corpus)
    return corpus


CONFIG = train.Config(
    vocab=300, hidden=32, layers=1, heads=2, context=16, batch=2, steps=6, warmup=2
)


def test_batches_depend_on_seed_and_step_alone(docs, wikitext):
    wiki = text.wikitext(wikitext)
    tokenizer = train_tokenizer((docs.text("train"), wiki.text("train")), 300)
    assert len(tokenizer) == 300
    assert tokenizer("a").input_ids[0] == tokenizer.bos_token_id == 0
    assert tokenizer.decode(tokenizer("Ünï\n\n  code").input_ids) == f"{BOS}Ünï\n\n  code"
    first, again = (Batches(tokenizer, docs, wiki, 16, 0.5, 0.5) for _ in range(2))
    assert first(1, 3, 4).shape == (4, 16)
    assert (first(1, 3, 4) == again(1, 3, 4)).all()
    assert (first(1, 3, 4) != first(1, 4, 4)).any()
    assert (first(1, 3, 4) != first(2, 3, 4)).any()
    assert first(1, 3, 4).dtype == np.int64


@pytest.mark.parametrize("architecture", sorted(train.ARCHITECTURES))
def test_a_killed_run_goes_on_and_ends_in_the_same_weights(
    architecture, docs, wikitext, tmp_path, monkeypatch
):
    config = train.replace(CONFIG, architecture=architecture)
    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 2)
    whole = train.train(config, wikitext, tmp_path / "whole", io.StringIO())

    class Killed(Exception):
        pass

    class Log(io.StringIO):
        def write(self, line):
            if line.startswith("step 4"):
                raise Killed

    with pytest.raises(Killed):
        train.train(config, wikitext, tmp_path / "killed", Log())
    assert not (tmp_path / "killed").exists()
    resumed = io.StringIO()
    train.train(config, wikitext, tmp_path / "killed", resumed)
    assert "step 2/" not in resumed.getvalue()
    a, b = ((f / "model.safetensors").read_bytes() for f in (whole, tmp_path / "killed"))
    assert a == b
    assert not list(tmp_path.glob("*.tmp"))

    record = json.loads((whole / "training.json").read_text())
    assert record["tokens_seen"] == 6 * 2 * 16
    assert [point[0] for point in record["curve"]] == [2, 4, 6]
    held = record["held_out_perplexity"]["documentation"]
    assert {"model", "unigram", "bigram"} <= held.keys()
    model = AutoModelForCausalLM.from_pretrained(whole)
    assert model.dtype == torch.float16
    assert len(AutoTokenizer.from_pretrained(whole)) == model.config.vocab_size == 300


def test_a_checkpoint_of_another_configuration_is_refused(docs, wikitext, tmp_path, capsys):
    state = (train.asdict(train.replace(CONFIG, seed=9)), {}, {}, 0, 0.0, [])
    torch.save(state, tmp_path / "out.checkpoint.tmp")
    with pytest.raises(ValueError, match="is of another configuration: remove it to start anew"):
        train.train(CONFIG, wikitext, tmp_path / "out", io.StringIO())


def test_a_missing_text_is_one_line_and_status_2(tmp_path, capsys):
    threads = torch.get_num_threads()
    try:
        assert train.main(["opt", "--wikitext", str(tmp_path), "-o", str(tmp_path / "o")]) == 2
    finally:
        torch.set_num_threads(threads)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "has none of train.txt" in error


def test_the_learning_rate_warms_up_and_falls():
    rates = [train.learning_rate(train.Config(), step) for step in range(train.Config.steps)]
    peak = rates.index(max(rates))
    assert peak in (119, 120)
    assert rates[0] < rates[50] < rates[peak]
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0.05 * train.Config.learning_rate, rel=0.01)


def test_opts_first_layer_starts_by_looking_back():
    """Head h attends most to the token h + 1 before, whatever the tokens are."""
    config = train.Config(vocab=300, layers=1, context=64)
    model = train.build(config).eval()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        ids = torch.randint(0, 300, (4, 64))
        attention = model(input_ids=ids, output_attentions=True).attentions[0].mean(0)  # (H, T, T)
    for head in range(4):
        by_distance = [attention[head].diagonal(-d)[8:].mean().item() for d in range(8)]
        assert max(by_distance) == by_distance[head + 1] > 0.2
