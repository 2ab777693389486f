"""Which proofs `macsmith prove` makes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from macsmith.experiments.units import spec_for
from macsmith.experiments.verify.proof import LIMIT_S, PROVABLE, Proofs, prove
from macsmith.sim.catalog import FORMATS
from macsmith.sim.spec import MacSpec

__all__ = ["WEIGHTS", "Task", "plan", "run"]

#: Weight formats of the report's comparisons, and one per way to decode.
WEIGHTS = ("int8", "int4", "dint4", "dint4_sm", "dint4z", "dint3")
_FEWEST_LANES = 2  # of a dot product


@dataclass(frozen=True)
class Task:
    """Proofs of one unit: every style, for each spec and number of pipeline stages."""

    unit: str
    specs: tuple[MacSpec, ...]
    pipelines: tuple[int, ...]


def plan(
    unit: str | None,
    weights: Sequence[str] | None,
    activations: str,
    acc_width: int,
    overflow: str,
    lanes: int,
    every: bool,
) -> list[Task]:
    """The proofs of a unit, or of all: with ``every`` also pipelined and with a clamp.

    A dot product has two lanes at least. ValueError on bad input.
    """
    if unit is not None and unit not in PROVABLE:
        raise ValueError(f"no proofs for unit {unit!r}: {', '.join(PROVABLE)} have them")
    counts = {"dot": lanes if unit == "dot" and lanes > 1 else _FEWEST_LANES}
    names = list(FORMATS) if "all" in (weights or ()) else weights or WEIGHTS
    tasks = []
    for kind in (unit,) if unit else PROVABLE:
        n = counts.get(kind, lanes if kind == unit else 1)
        specs = [spec_for(kind, w, activations, acc_width, overflow, n) for w in names]
        if every and kind not in ("decoder", "multiplier"):
            specs += [replace(spec, overflow="saturate") for spec in specs]
        tasks.append(Task(kind, tuple(dict.fromkeys(specs)), (0, 1, 2) if every else (0,)))
    return tasks


def run(tasks: Sequence[Task], styles: Sequence[str] | None, *, limit_s: float = LIMIT_S) -> Proofs:
    """Make the proofs of all tasks, one Yosys for each spec."""
    proofs, seconds = [], 0.0
    for task in tasks:
        for spec in task.specs:
            found = prove(task.unit, [spec], styles, task.pipelines, limit_s=limit_s)
            proofs += found.proofs
            seconds += found.seconds
    return Proofs(tuple(proofs), seconds)
