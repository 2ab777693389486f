"""`macsmith eval --tasks` on a task of our own: generated, multiple choice, no network."""

import json
import sys

import pytest
from commands import run

from macsmith.experiments.models.calibration import Calibration
from macsmith.experiments.quantizing import quantize_model
from macsmith.experiments.tasks import run_tasks

TASK = """
task: endings
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
metadata: {{version: 3.0}}
"""
GROUP = """
group: both
task: [endings, beginnings, nested]
aggregate_metric_list: [{metric: acc, weight_by_size: true}]
metadata: {version: 2}
"""
NESTED = """
group: nested
task: [endings]
"""


@pytest.fixture
def endings(tmp_path, monkeypatch):
    """Words and the letters they go on with: what a language model of any size can tell."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    words = ["function", "argument", "sequence", "returned", "exception", "iterator"]
    rows = [
        {"question": f"The {word[:5]}", "choices": ["zzqj", word[5:]], "answer": 1}
        for word in words
    ]
    data = tmp_path / "endings.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "endings.yaml").write_text(TASK.format(data=data))
    return tmp_path / "tasks"


@pytest.mark.lm_eval
@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of libraries that the harness loads
def test_a_task_of_our_own_in_both_executions(endings, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "q"
    quantize_model("opt-mini", "w4a8-rtn-dint4", folder, Calibration())
    for execution in ("float", "exact"):
        options = ["--tasks", "endings", "--include-path", endings, "--execution", execution]
        status, out, err = run(monkeypatch, capsys, "eval", folder, *options, "--json")
        assert (status, err) == (0, "")
        found = json.loads(out)
        (row,) = found["tasks"]
        assert (row["task"], row["version"], row["fewshot"], row["n"]) == ("endings", 3.0, 0, 6)
        assert row["metrics"]["acc"] >= 0.8
        assert found["lm_eval"].startswith("0.4.")
        assert (found["execution"], found["dtype"]) == (execution, "float32")
        assert found["recipe"]["weights"]["format"] == "dint4"
    status, out, err = run(
        monkeypatch, capsys,
        "eval", "opt-mini", "--tasks", "endings", "--include-path", endings, "--limit", 2,
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert "endings (version 3.0, 0-shot, 2 documents): acc " in out


@pytest.fixture
def both(endings):
    """A group of two tasks and of a group without a mean, which has one of them again."""
    data = endings.parent / "beginnings.jsonl"
    rows = (endings.parent / "endings.jsonl").read_text().splitlines()[:3]
    data.write_text("".join(row.replace('"answer": 1', '"answer": 0') + "\n" for row in rows))
    task = TASK.format(data=data).replace("task: endings", "task: beginnings\nnum_fewshot: 0")
    (endings / "beginnings.yaml").write_text(task)
    (endings / "both.yaml").write_text(GROUP)
    (endings / "nested.yaml").write_text(NESTED)
    return endings


@pytest.mark.lm_eval
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_group_has_its_mean_behind_its_tasks(both, monkeypatch, capsys):
    options = ["opt-mini", "--tasks", "both", "--include-path", both]
    status, out, err = run(monkeypatch, capsys, "eval", *options, "--json")
    assert (status, err) == (0, "")
    *tasks, group = json.loads(out)["tasks"]
    found = {row["task"]: row for row in tasks}
    assert {name: row["n"] for name, row in found.items()} == {"endings": 6, "beginnings": 3}
    assert all(row["subtasks"] == [] for row in tasks)
    assert (group["task"], group["n"], group["fewshot"]) == ("both", 9, 0)
    assert sorted(group["subtasks"]) == ["beginnings", "endings"]
    acc = {name: row["metrics"]["acc"] for name, row in found.items()}
    assert acc["endings"] != acc["beginnings"]
    status, out, err = run(monkeypatch, capsys, "eval", *options, "--shots", 2, "--limit", 2)
    assert (status, err) == (0, "")
    assert "endings (version 3.0, 2-shot, 2 documents): acc " in out
    assert "beginnings (version 3.0, 0-shot, 2 documents): acc " in out, "0 of its own stays"
    assert "both (2 tasks, version 2, several numbers of shots, 4 documents): acc " in out


@pytest.mark.lm_eval
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_what_the_harness_does_not_have(endings, monkeypatch, capsys):
    (endings.parent / "endings.jsonl").unlink()
    for task, words in (
        ("endings", "tasks endings: not to be had: "),
        ("endngs", "has no task 'endngs'"),
    ):
        status, out, err = run(
            monkeypatch, capsys, "eval", "opt-mini", "--tasks", task, "--include-path", endings
        )
        assert (status, out) == (2, "")
        assert words in err
        assert err.count("\n") == 1


def test_without_the_harness(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setattr("macsmith.experiments.tasks.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--tasks needs lm_eval: pip install .*\[lm-eval\]"):
        run_tasks("opt-mini", ["piqa"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tasks", "piqa", "--protocol", "gptq"), "--protocol means nothing with --tasks"),
        (("--tasks", "piqa", "--compare"), "--compare means nothing with --tasks"),
        (("--tasks", ","), "tasks: wanted names with commas between, got none"),
        (("--tasks", "piqa", "--limit", 0), "limit must be at least one document, not 0"),
        (("--tasks", "piqa", "--include-path", "no/where"), "'no/where': wanted a folder"),
        (("--tasks", "piqa", "--shots", -1), "shots must be 0 or more, not -1"),
        (("--include-path", "x"), "--include-path goes with --tasks"),
        (("--shots", 2), "--shots goes with --tasks"),
    ],
)
def test_what_is_refused(options, words, monkeypatch, capsys):
    status, out, err = run(monkeypatch, capsys, "eval", "opt-mini", *options)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
