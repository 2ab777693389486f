"""Which proofs `macsmith prove` makes, and on how many cores."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from macsmith.experiments.units import get_unit, spec_for
from macsmith.experiments.verify.proof import (
    LIMIT_S,
    PROVABLE,
    Proof,
    Proofs,
    prove,
    require_provable,
)
from macsmith.experiments.workers import worker_pool
from macsmith.sim.catalog import FORMATS
from macsmith.sim.requantize import ROUNDINGS
from macsmith.sim.spec import MacSpec

__all__ = ["ALL_LIMIT_S", "LIMIT_S", "WEIGHTS", "Task", "everything", "plan", "run"]

#: Seconds for one proof of ``--all``: several times what each needs on two cores that are shared.
ALL_LIMIT_S = 120.0
#: Weight formats of the report's comparisons, and one per way to decode.
WEIGHTS = ("int8", "int4", "dint4", "dint4_sm", "dint4z", "dint3")
_RANKED = ("dint4_sr",)  # of multipliers, MACs and dot products: what `flipped` is for
_MORE_WEIGHTS = ("fp4_e2m1", "nf4", "int4z")  # of decoders and multipliers
_FLOAT = "fp8_e4m3"  # activations, for two of the weight formats
_NARROW = 20  # bits of an accumulator that saturates
_PIPELINED = ("int8", "dint4")
_FEWEST_LANES = 2  # of a dot product
_MORE_LANES, _OF_MORE = 4, ("dint4",)
#: Styles of these that were not decided in a minute.
_UNDECIDED = ("carrysave-booth8", "carrysave-nibble")
_TILE = {"rows": 2, "cols": 2}  # of arrays: each element is proven for itself
#: What is proven of a unit where nothing is said: options, each with all others.
_OPTIONS = {
    "shared": [{"outputs": 2}],  # each is proven for itself
    "array": [{**_TILE, "dataflow": name} for name in ("output", "weight")],
    "gemm": [{**_TILE, "dataflow": name} for name in ("output", "weight")],
    "requantizer": [{"rounding": name} for name in ROUNDINGS],
}
_STAGES = {"requantizer": (0, 1, 2, 3)}


@dataclass(frozen=True)
class Task:
    """Proofs of one unit, for each spec and number of pipeline stages.

    ``styles`` are those that are proven of specs that they serve; None for all, or for those that
    a run asks for. With ``needed`` it does not matter which ones it asks for. ``options`` are the
    unit's own.
    """

    unit: str
    specs: tuple[MacSpec, ...]
    pipelines: tuple[int, ...] = (0,)
    styles: tuple[str, ...] | None = None
    needed: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def plan(
    unit: str | None,
    weights: Sequence[str] | None,
    activations: str,
    acc_width: int,
    overflow: str,
    lanes: int | None = None,
) -> list[Task]:
    """The proofs of a unit, or of all, without pipeline. ValueError on bad input.

    Without ``lanes`` a dot product has two, and other units one; lanes that are given are those of
    ``unit``, and of a dot product that is proven with all. First come the plain decoders that the
    unit's plain style has.
    """
    if unit is not None:
        require_provable(unit)
    names = list(FORMATS) if "all" in (weights or ()) else weights or WEIGHTS
    tasks = [] if unit is None else _decoders(unit, names, activations)
    for kind in (unit,) if unit else PROVABLE:
        n = _FEWEST_LANES if kind == "dot" else 1
        if lanes is not None and kind in (unit, "dot"):
            n = lanes
        specs = [spec_for(kind, w, activations, acc_width, overflow, n) for w in names]
        tasks += _tasks(kind, dict.fromkeys(specs))
    return tasks


def _tasks(unit: str, specs: Iterable[MacSpec]) -> list[Task]:
    stages = _STAGES.get(unit, (0,))
    return [
        Task(unit, tuple(specs), stages, options=options) for options in _OPTIONS.get(unit, [{}])
    ]


def _decoders(unit: str, weights: Iterable[str], activations: str) -> list[Task]:
    """Plain decoders that the plain style of a unit relies on."""
    if unit == "decoder" or not get_unit(unit).weighs:
        return []
    names = dict.fromkeys((*weights, activations))
    specs = dict.fromkeys(_spec("decoder", name, "int8") for name in names)
    return [Task("decoder", tuple(specs), styles=("plain",), needed=True)]


def everything(unit: str | None) -> list[Task]:
    """What ``--all`` proves, of one unit or of all; the command's help lists it."""
    if unit is not None:
        require_provable(unit)
    sums = [MacSpec(w, "int8", 32, "wrap") for w in WEIGHTS]
    added = [*sums, *(MacSpec(w, "int8", 32, "wrap") for w in _RANKED)]
    narrow = [replace(spec, acc_width=_NARROW, overflow="saturate") for spec in added]
    pipelined = [spec for spec in sums if spec.weights.name in _PIPELINED]
    floats = [(w, _FLOAT) for w in _PIPELINED]
    factors = [(w, "int8") for w in (*WEIGHTS, *_RANKED, *_MORE_WEIGHTS)] + floats
    pairs = [replace(spec, lanes=_FEWEST_LANES) for spec in added]
    more = [replace(s, lanes=_MORE_LANES) for s in sums if s.weights.name in _OF_MORE]
    decided = tuple(name for name in get_unit("dot").registry.names() if name not in _UNDECIDED)
    decoders = dict.fromkeys(_spec("decoder", name, "int8") for pair in factors for name in pair)
    tasks = [
        Task("decoder", tuple(decoders)),
        Task("multiplier", tuple(_spec("multiplier", w, a) for w, a in factors)),
        Task("mac", tuple(added)),
        Task("mac", tuple(narrow)),
        *(Task("mac", (spec,), (stages,)) for spec in pipelined for stages in (1, 2)),
        Task("dot", tuple(pairs)),
        Task("dot", tuple(more), styles=decided),
        *_tasks("shared", sums),
        *_tasks("array", sums),
        *_tasks("gemm", pipelined),
        *_tasks("requantizer", [spec_for("requantizer", "int8", "int8", 32, "wrap", None)]),
    ]
    mine = [task for task in tasks if unit in (None, task.unit)]
    names = [*WEIGHTS, *_RANKED, *_MORE_WEIGHTS]
    return mine if unit is None else [*_decoders(unit, names, _FLOAT), *mine]


def run(
    tasks: Sequence[Task],
    styles: Sequence[str] | None,
    *,
    limit_s: float = LIMIT_S,
    jobs: int | None = None,
    tell: Callable[[Proof], None] = lambda proof: None,
) -> Proofs:
    """Make the proofs of all tasks, one Yosys for each spec, on ``jobs`` cores (all of them).

    ``tell`` is called with each proof as soon as its spec's are done, in no fixed order; the result
    has them in the plan's.
    """
    started = time.monotonic()
    for task in tasks:  # a name that is none is said before the work
        for spec, style in product(task.specs, () if task.needed else styles or ()):
            get_unit(task.unit).make(spec, style=style, **task.options)
    asked = [task for task in tasks if not task.needed]
    if set(styles or ()) == {"plain"} and not any(_proves_plain(task) for task in asked):
        raise ValueError(f"plain is what the other styles of {asked[0].unit} are proven equal to")
    work = [(task, spec, styles, limit_s) for task in tasks for spec in task.specs]
    jobs = min(jobs or os.cpu_count() or 1, len(work))
    found: dict[int, Proofs] = {}
    if jobs > 1:
        with worker_pool(jobs) as pool:
            futures = {pool.submit(_prove, one): k for k, one in enumerate(work)}
            for future in as_completed(futures):
                found[futures[future]] = future.result()
                for proof in future.result().proofs:
                    tell(proof)
    else:
        for k, one in enumerate(work):
            found[k] = _prove(one)
            for proof in found[k].proofs:
                tell(proof)
    proofs = tuple(proof for k in range(len(work)) for proof in found[k].proofs)
    return Proofs(proofs, time.monotonic() - started)


def _prove(work: tuple[Task, MacSpec, Sequence[str] | None, float]) -> Proofs:
    task, spec, styles, limit_s = work
    if (styles is None or task.needed) and task.styles is not None:
        serve = get_unit(task.unit).style_names(spec)
        styles = [name for name in task.styles if name in serve]
    return prove(task.unit, [spec], styles, task.pipelines, limit_s=limit_s, **task.options)


def _proves_plain(task: Task) -> bool:
    """Whether plain is compared with something: a decoder's with its table, a pipelined one."""
    return task.unit == "decoder" or any(task.pipelines)


def _spec(unit: str, weights: str, activations: str) -> MacSpec:
    return spec_for(unit, weights, activations, 32, "wrap", 1)
