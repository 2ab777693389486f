"""Text: the split by hash, and nothing held out is trained on."""

import pytest

from macsmith.experiments.models import text


class Words:
    """A tokenizer of words, with the interface of transformers' ones."""

    def __call__(self, string, return_tensors=None, verbose=True):
        import torch

        ids = torch.tensor([[0, *(len(word) for word in string.split())]])
        return type("Encoding", (), {"input_ids": ids})


@pytest.fixture(scope="module")
def docs():
    return text.documentation()


def test_key_ignores_everything_but_letters():
    assert text.key("  The *3* lambda-\n    forms!") == "the lambda forms"
    assert text.is_held_out("Added in 3.7: ok") == text.is_held_out("added in\n  3.11 OK")


def test_one_paragraph_in_ten_is_held_out():
    paragraphs = [f"{chr(97 + i // 26 % 26) * 3} {chr(97 + i % 26) * 4}" for i in range(676)]
    share = sum(map(text.is_held_out, paragraphs)) / len(paragraphs)
    assert 0.06 < share < 0.14


def test_split_drops_repeats_and_paragraphs_without_letters():
    paragraphs = ["alpha beta", "1 + 1 = 2", "Alpha, beta!", "gamma delta", "===="]
    corpus = text.split("t", [paragraphs, ["alpha beta"], ["epsilon zeta"]])
    everything = [p for part in (corpus.train, corpus.held_out) for d in part for p in d]
    assert sorted(everything) == ["alpha beta", "epsilon zeta", "gamma delta"]


def test_a_training_paragraph_that_quotes_a_held_out_one_is_dropped():
    words = "one two three four five six seven eight nine ten eleven twelve"
    held = next(
        f"{words} {chr(i) * 5}" for i in range(97, 123) if text.is_held_out(f"{words} {chr(i) * 5}")
    )
    quoting = [f"{chr(i) * 3} and then {words}" for i in range(97, 123)]
    quoting = [p for p in quoting if not text.is_held_out(p)]
    assert quoting
    corpus = text.split("t", [[*quoting, held, "something else entirely"]])
    assert held in corpus.held_out[0]
    assert not set(quoting) & {p for d in corpus.train for p in d}


def test_nothing_held_out_is_trained_on(docs):
    train = [p for document in docs.train for p in document]
    held = [p for document in docs.held_out for p in document]
    assert len(held) > 100
    assert len(train) > 5 * len(held)
    assert all(text.is_held_out(p) for p in held)
    assert not any(text.is_held_out(p) for p in train)
    assert not {text.key(p) for p in train} & {text.key(p) for p in held}
    runs = [
        " ".join(words[i : i + text.OVERLAP_WORDS])
        for p in held
        for words in [text.key(p).split()]
        for i in range(len(words) - text.OVERLAP_WORDS + 1)
    ]
    trained = "\n".join(f" {text.key(p)} " for p in train)
    assert len(runs) > 1000
    assert not [run for run in runs if f" {run} " in trained]


def test_the_documentation_is_the_same_each_time(docs):
    assert text.text_hash(docs.text("held_out")) == text.text_hash(
        text.documentation().text("held_out")
    )
    assert docs.name.startswith("pydoc_data.topics of Python 3.")


def test_wikitext_is_split_into_articles_and_detokenised(tmp_path):
    (tmp_path / "train.txt").write_text(
        ' = First = \n \n Well @-@ known ( 1 @,@ 000 ) , he said " yes " ; it \'s so . \n'
        " = = Part = = \n Other words here . \n = Second = \n \n Last words now . \n"
    )
    corpus = text.wikitext(tmp_path)
    parts = {p for part in (corpus.train, corpus.held_out) for d in part for p in d}
    assert 'Well-known (1,000), he said "yes"; it\'s so.' in parts
    assert "= First =" in parts
    order = [d for d in corpus.train if "Last words now." in d]
    assert all("Other words here." not in d for d in order), "two articles, two documents"


def test_evaluation_text_of_each_kind(tmp_path, docs):
    (tmp_path / "test.txt").write_text(" = A = \n b c \n")
    assert text.evaluation_text(Words(), tmp_path).ids.tolist() == [0, 1, 1, 1, 1, 1]
    assert text.evaluation_text(Words(), tmp_path / "test.txt").count == 6
    default = text.evaluation_text(Words())
    assert default.count == 1 + len(docs.text("held_out").split())
    assert default.source == f"held-out {docs.name}"
    assert len(default.sha256) == 64


def test_missing_texts_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has none of test.txt, wiki.test.tokens"):
        text.evaluation_text(Words(), tmp_path)
    with pytest.raises(FileNotFoundError, match="wanted 'docs', a folder or a text file"):
        text.evaluation_text(Words(), tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"has none of train.txt"):
        text.wikitext(tmp_path)
