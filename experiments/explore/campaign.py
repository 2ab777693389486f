"""Measure the points of an exploration: in parallel, resumable, each kept as soon as it is done.

Every point has a file, named by a hash of all that decides its result: the point, the library's
content, the sources of RTL and simulation, and the versions of what synthesises. So a run that was
stopped goes on where it was, and nothing stale is ever taken for a result.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from macsmith.experiments.explore.grid import Point
from macsmith.experiments.store import json_text, provenance, source_digest
from macsmith.hw.export import write_atomically
from macsmith.hw.liberty import load
from macsmith.hw.pdk import Pdk

__all__ = ["kept", "run"]

_VERSIONS = ("amaranth", "pyosys", "numba", "numpy", "torch", "transformers")
#: Folders and files whose text may change a result.
_SOURCES = (
    "hw", "sim", "quant/codes.py", "quant/linear.py", "quant/scale.py", "quant/tokens.py",
    "quant/weights.py", "experiments/explore/arrays.py", "experiments/explore/grid.py",
    "experiments/gates.py", "experiments/gates_arrays.py", "experiments/measure.py",
    "experiments/operands.py", "experiments/payloads.py", "experiments/units.py",
)  # fmt: skip


def run(
    points: Sequence[Point],
    technology: Pdk,
    folder: Path,
    *,
    jobs: int | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, label: None,
) -> list[dict[str, Any]]:
    """A row for each point, in their order; what ``folder`` has already is not measured again.

    A row has `label`, the fields of the point, `macs` a cycle, `operand_bits` for one product,
    those of `measure.Measurement`, and `area_per_mac_um2` and `energy_per_mac_pj` (leakage
    included). One that cannot be measured has `problem` instead. ``progress`` is called after each
    point.
    """
    if not points:
        raise ValueError("nothing to explore: there is no point")
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be a positive number, not {jobs}")
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{key}.json" for key in _keys(points, technology)]
    rows = [_kept(file) for file in files]
    left = [k for k, row in enumerate(rows) if row is None]
    done = len(points) - len(left)
    progress(done, len(points), "from before" if done else "")
    for k, row in _measured(left, points, technology, files, jobs):
        rows[k] = row
        done += 1
        progress(done, len(points), points[k].label)
    return rows


def kept(points: Sequence[Point], technology: Pdk, folder: Path) -> list[dict[str, Any]]:
    """The rows of those points that ``folder`` has, in their order."""
    rows = (_kept(folder / f"{key}.json") for key in _keys(points, technology))
    return [row for row in rows if row is not None]


def _measured(
    left: Sequence[int], points: Sequence[Point], technology: Pdk, files: Sequence[Path],
    jobs: int | None,
) -> Iterable[tuple[int, dict]]:  # fmt: skip
    jobs = min(jobs or len(os.sched_getaffinity(0)), len(left))
    if jobs <= 1:
        yield from ((k, _measure(points[k], technology, files[k])) for k in left)
        return
    # Forked: formats and styles that a user's module has registered are there too. But a fork of a
    # process in which torch has threads waits for them for ever.
    context = get_context("spawn" if "torch" in sys.modules else "fork")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        running = {pool.submit(_measure, points[k], technology, files[k]): k for k in left}
        try:
            yield from ((running[one], one.result()) for one in as_completed(running))
        finally:
            pool.shutdown(cancel_futures=True)


def _measure(point: Point, technology: Pdk, file: Path) -> dict[str, Any]:
    from macsmith.experiments.explore.arrays import measure_array
    from macsmith.experiments.measure import measure
    from macsmith.experiments.operands import get

    own = {"label": point.label, **point.as_dict(), "macs": point.macs}
    own["operand_bits"] = point.operand_bits
    try:
        if point.dataflow:
            found = measure_array(
                point.spec, point.style, point.rows, point.cols, technology, point.clock_ps,
                point.adders, point.options, get(point.operands, point.spec),
            )  # fmt: skip
        else:
            found = measure(
                point.unit, point.spec, point.style, technology=technology,
                clock_ps=point.clock_ps, operands=point.operands, booth=point.booth,
                adders=point.adders, options=point.options,
            ).as_dict()  # fmt: skip
    except ValueError as error:
        row = own | {"problem": str(error)}
    else:
        found.pop("provenance", None)  # once for all
        spent = None
        if found["dynamic_pj"] is not None:
            spent = found["dynamic_pj"] + found["leakage_pj"] / point.macs
        row = found | own | {
            "acc_width": found["acc_width"],  # bits, also where they are "enough"
            "enough": point.acc_width != found["acc_width"],
            "operands": point.operands,
            "source": found["operands"],
            "area_per_mac_um2": found["area_um2"] / point.macs,
            "energy_per_mac_pj": spent,
            "problem": "",
        }  # fmt: skip
    text = json_text(row)
    write_atomically(file, text)
    return json.loads(text)  # as a later run will read it


def _kept(file: Path) -> dict[str, Any] | None:
    """A row from before; None where there is none, or it cannot be read."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None


def _keys(points: Sequence[Point], technology: Pdk) -> list[str]:
    versions = provenance()["versions"]
    base = {
        "library": load(technology.files, technology.name, technology.dont_use).sha256,
        "dont_use": technology.dont_use,
        "sources": source_digest(*_SOURCES),
        "versions": {name: versions.get(name) for name in _VERSIONS},
    }
    texts = (json_text(base | {"point": point.as_dict()}) for point in points)
    return [hashlib.sha256(text.encode()).hexdigest()[:24] for text in texts]
