"""`macsmith eval --tasks`: accuracies by lm-evaluation-harness, in float or exact execution.

The harness scores, and reads its own task files and data; the model is ours. It is an extra,
`lm-eval`, and looked for only here.
"""

import contextlib
import io
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from macsmith.experiments import loading
from macsmith.experiments.inference import Measured, prepare
from macsmith.experiments.loading import Loading
from macsmith.experiments.models import locate
from macsmith.experiments.models.calibration import USUAL, Calibration
from macsmith.experiments.store import provenance

__all__ = ["Scored", "run_tasks"]

BATCH = 2  # documents per forward pass: fixed, because another size changes the last float bits
SEED = 1234  # of the harness, for what it draws


@dataclass(frozen=True, kw_only=True)
class Scored(Measured):
    """What the harness found, with everything that identifies it."""

    tasks: list[dict[str, Any]]  # task, version, fewshot, n, metrics, subtasks (of a group)
    lm_eval: str
    limit: int | None
    shots: int | None  # asked for; what a task had is its fewshot
    batch: int
    dtype: str

    def lines(self) -> list[str]:
        return [
            f"{self.model}, {self.quantized_how()}, {self.execution}, {self.dtype}, "
            f"lm_eval {self.lm_eval}, {self.seconds:.1f} s",
            *map(_line, self.tasks),
        ]


def run_tasks(
    model: str,
    tasks: Sequence[str],
    recipe: str | None = None,
    execution: str = "float",
    *,
    include_path: Path | None = None,
    limit: int | None = None,
    shots: int | None = None,
    calibration: Calibration = USUAL,
    where: Loading = loading.USUAL,
) -> Scored:
    """Accuracies of ``model``, quantized by ``recipe`` if given, on the first ``limit`` documents.

    ``shots`` examples stand before each document; None: each task's own number. A task whose own
    is 0 keeps it, by the harness's rule. A group with a mean has a row behind those of the tasks.
    ValueError where lm_eval is not installed, a task is not known, its data are not at hand, or a
    result is none; others as of `prepare`.
    """
    from macsmith.quant import quantized_by

    start = time.perf_counter()
    names = [name.strip() for name in tasks if name.strip()]
    if not names:
        raise ValueError("tasks: wanted names with commas between, got none")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least one document, not {limit}")
    if shots is not None and shots < 0:
        raise ValueError(f"shots must be 0 or more, not {shots}")
    if include_path is not None and not include_path.is_dir():
        raise FileNotFoundError(f"include-path {str(include_path)!r}: wanted a folder")
    if find_spec("lm_eval") is None:
        raise ValueError("--tasks needs lm_eval: pip install -c constraints.txt -e '.[lm-eval]'")
    net, used, calibrated = prepare(model, recipe, execution, calibration, where)
    found = _evaluated(net, locate(model), names, include_path, limit, shots)
    return Scored(
        model=model,
        recipe=used,
        quantization=quantized_by(net),
        calibration=calibrated,
        execution=execution,
        tasks=_rows(found),
        lm_eval=version("lm_eval"),
        limit=limit,
        shots=shots,
        batch=BATCH,
        dtype=str(next(net.parameters()).dtype).removeprefix("torch."),
        seconds=time.perf_counter() - start,
        provenance=provenance(),
    )


def _line(row: dict[str, Any]) -> str:
    shots = "several numbers of shots" if row["fewshot"] is None else f"{row['fewshot']}-shot"
    group = f"{len(row['subtasks'])} tasks, " if row["subtasks"] else ""
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in row["metrics"].items())
    return (
        f"{row['task']} ({group}version {row['version']}, {shots}, {row['n']} documents): {metrics}"
    )


def _evaluated(
    net: Any,
    place: str,
    names: list[str],
    include_path: Path | None,
    limit: int | None,
    shots: int | None,
) -> dict[str, Any]:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from macsmith.quant.io import load_tokenizer, quiet

    logging.getLogger("lm_eval").setLevel(logging.CRITICAL)
    manager = TaskManager(include_path=None if include_path is None else str(include_path))
    if unknown := [name for name in names if not manager.match_tasks([name])]:
        raise ValueError(f"lm_eval {version('lm_eval')} has no task {unknown[0]!r}")
    try:
        with quiet(), contextlib.redirect_stdout(io.StringIO()):  # standard output is ours
            return simple_evaluate(
                model=HFLM(pretrained=net, tokenizer=load_tokenizer(place), batch_size=BATCH),
                tasks=names,
                task_manager=manager,
                limit=limit,
                num_fewshot=shots,
                bootstrap_iters=0,
                log_samples=False,
                random_seed=SEED,
                numpy_random_seed=SEED,
                torch_random_seed=SEED,
                fewshot_random_seed=SEED,
            )
    except Exception as error:  # whatever it makes of task files and data is about those
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        what = f"{type(error).__name__}: {said}"
        raise ValueError(f"tasks {', '.join(names)}: not to be had: {what}") from error


def _rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each task, then one for each group that has a mean."""
    counts, shots = found["n-samples"], found["n-shot"]
    rows = []
    for task, count in counts.items():
        metrics = _metrics(found["results"][task])
        if not metrics or not count["effective"]:
            raise ValueError(f"task {task!r}: no result on {count['effective']} documents")
        row = {"task": task, "version": found["versions"][task], "fewshot": shots[task]}
        rows.append(row | {"n": count["effective"], "metrics": metrics, "subtasks": []})
    if not rows:
        raise ValueError("the tasks have no documents: nothing was evaluated")
    for group, result in found.get("groups", {}).items():
        if metrics := _metrics(result):
            tasks = _leaves(group, found["group_subtasks"])
            same = {shots[task] for task in tasks}
            row = {"task": group, "version": found["versions"][group]}
            row |= {"fewshot": same.pop() if len(same) == 1 else None}
            n = sum(counts[task]["effective"] for task in tasks)
            rows.append(row | {"n": n, "metrics": metrics, "subtasks": tasks})
    return rows


def _metrics(result: dict[str, Any]) -> dict[str, float]:
    return {
        key.removesuffix(",none"): value
        for key, value in result.items()
        if isinstance(value, (int, float)) and "stderr" not in key and "," in key
    }


def _leaves(name: str, children: dict[str, list[str]]) -> list[str]:
    """Tasks below ``name`` in the harness's tree of groups, each once."""
    if name not in children:
        return [name]
    return list(
        dict.fromkeys(leaf for child in children[name] for leaf in _leaves(child, children))
    )
