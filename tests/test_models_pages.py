"""WikiText as lm-evaluation-harness has it: every rule by hand, and its own word perplexity."""

import json
from pathlib import Path

import pytest

from macsmith.experiments.inference import evaluate_model
from macsmith.experiments.models import locate, pages, text

TWO = (
    " \n = Rope ( film ) = \n \n The actors ' well @-@ known rope cost 1 @,@ 000 @.@ 50 ; so : "
    "yes ! why ? no . \n = = Length = = \n The rope , [ sic ] { a } "
    '" thin " one , is two or N m at 20 ° C '
    "and it 's short . \n = = = Ends = = = \n ' Two ' . \n = = = = Left = = = = \n /' 4/ \n"
    " = Knot = \n \n A knot . \n"
)


def test_a_page_is_an_article():
    first, second = pages.pages(TWO)
    assert first.startswith(" = Rope ( film ) = \n \n The")
    assert first.endswith("\n /' 4/ ")
    assert second == " = Knot = \n \n A knot . \n"
    assert list(pages.pages("before\n" + second)) == ["before", second]
    assert list(pages.pages("no title\n")) == ["no title\n"]
    assert list(pages.pages(" = A = \n = B = \n")) == [" = A = ", " = B = \n"]


def test_each_rule_by_hand():
    first, second = pages.pages(TWO)
    # Single quotes are paired in order: that of the actors with that of "it 's", lines between.
    assert pages.detokenised(first) == (
        " = Rope (film) =\n\nThe actors'well-known rope cost 1,000.50; so: yes! why? no.\n"
        '== Length ==\nThe rope, [sic] {a} "thin" one, is two or 1 m at 20°C and it\'s short.\n'
        "=== Ends ===\n'Two'.\n==== Left ====\n/'[0-9]/ "
    )
    assert pages.detokenised(second) == " = Knot =\n\nA knot.\n"


@pytest.mark.parametrize(
    ("tokenised", "plain"),
    [
        ("dogs ' tail", "dogs' tail"),
        ("/' 4/", "/'[0-9]/"),
        ("a @-@ b @,@ c @.@ d", "a-b,c.d"),
        ("a : b ; c . d ! e ? f , g", "a: b; c. d! e? f, g"),
        ("a . \nb", "a.\nb"),
        ("( a ) (\nb) [ c ] { d }", "(a) (b) [c] {d}"),
        ('" a " b " c', '"a" b " c'),
        ("' a ' b", "'a' b"),
        ("= = = = a = = = =", "==== a ===="),
        ("= = = a = = =", "=== a ==="),
        ("= = a = =", "== a =="),
        ("4 ° C", "4°C"),
        ("a \n b", "a\nb"),
        ("from N to", "from 1 to"),
        ("it 's", "it's"),
        ("don 't $ 5 50 %", "don 't $ 5 50 %"),
    ],
)
def test_a_rule_alone(tokenised, plain):
    assert pages.detokenised(tokenised) == plain


def test_white_space_at_the_ends_counts_a_word_each():
    assert [pages.words(text) for text in ("a b", " a  b", "a\nb \n", " ")] == [2, 3, 3, 2]


class Letters:
    """A tokenizer of letters, without a BOS."""

    bos_token_id, eos_token_id = None, 9

    def __call__(self, string, add_special_tokens, verbose):
        assert not add_special_tokens
        return type("Encoding", (), {"input_ids": [ord(c) for c in string]})


def test_documents_to_evaluate(tmp_path):
    (tmp_path / "test.txt").write_text(TWO)
    name, documents, prefix = text.evaluation_documents(Letters(), tmp_path)
    assert (name, prefix) == ("WikiText-2 test.txt", 9)
    assert "".join(map(chr, documents[1].ids)) == " = Knot =\n\nA knot.\n"
    assert [document.words for document in documents] == [85, 8]
    _, (document,), _ = text.evaluation_documents(Letters(), tmp_path / "test.txt")
    assert "".join(map(chr, document.ids)) == TWO, "a text file is no WikiText: as it is"
    assert document.words == pages.words(TWO)


TASK = """
include: {upstream}
task: wikitext_here
dataset_path: json
dataset_name: null
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
training_split: null
validation_split: null
test_split: test
"""


@pytest.mark.lm_eval
@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of libraries that the harness loads
def test_the_harness_has_the_same_number(tmp_path, monkeypatch):
    """Its own task, functions and windows; the data are ours, one page beyond the context."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from macsmith.quant.io import load_model, load_tokenizer

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    first, second = pages.pages(TWO)
    long = first + "\n" + first.partition("\n")[2] * 16
    (tmp_path / "test.txt").write_text(f"{long}\n{second}")
    data = tmp_path / "pages.jsonl"
    data.write_text("".join(json.dumps({"page": page}) + "\n" for page in (long, second)))
    upstream = Path(lm_eval.__file__).parent / "tasks" / "wikitext" / "wikitext.yaml"
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "here.yaml").write_text(TASK.format(upstream=upstream, data=data))
    found = lm_eval.simple_evaluate(
        model=HFLM(
            pretrained=load_model(locate("llama-mini")),
            tokenizer=load_tokenizer(locate("llama-mini")),
            add_bos_token=False,
        ),
        tasks=["wikitext_here"],
        task_manager=TaskManager(include_path=str(tmp_path / "tasks")),
        bootstrap_iters=0,
    )
    ours = evaluate_model("llama-mini", text=tmp_path, protocol="lm-eval-word")
    assert ours.window == 512
    assert ours.windows > 3
    want = found["results"]["wikitext_here"]["word_perplexity,none"]
    assert ours.ppl == pytest.approx(want, rel=1e-4)
