"""Measure the points of an exploration: in parallel, resumable, each kept as soon as it is done.

Every point has a file, named by a hash of all that decides its result: the point, the library's
content, the sources of RTL and simulation, the model whose layer the operands are of, and the
versions of what synthesises. So a run that was stopped goes on where it was, and nothing stale is
ever taken for a result.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from macsmith.experiments.explore.grid import Point
from macsmith.experiments.kept_rows import measured, row_in
from macsmith.experiments.operands import MODEL
from macsmith.experiments.store import json_text, provenance
from macsmith.experiments.units import get_unit
from macsmith.hw.pdk import Pdk
from macsmith.sim.sources import source_digest

__all__ = ["kept", "run"]

_VERSIONS = ("amaranth", "pyosys", "numba", "numpy", "torch", "transformers")
#: Folders of code, and files, whose content may change a result.
_SOURCES = (
    "hw", "sim", "quant", "experiments/explore/arrays.py", "experiments/explore/campaign.py",
    "experiments/explore/grid.py", "experiments/gates.py", "experiments/gates_arrays.py",
    "experiments/measure.py", "experiments/models", "experiments/operands.py",
    "experiments/hardware.py", "experiments/payloads.py", "experiments/units.py",
    *(f"experiments/models/{MODEL}/{name}"
      for name in ("config.json", "model.safetensors", "tokenizer.json")),
)  # fmt: skip


#: What of an energy hazards change.
HAZARD_FIELDS = (
    "dynamic_pj", "internal_pj", "switching_pj", "clock_pj", "power_mw", "toggles",
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
    those of `measure.Measurement` (without hazards), and `area_per_mac_um2`, `energy_per_mac_pj`
    (leakage included); of points with hazards, where the library has delays, also
    `hazard_energy_per_mac_pj`, and what hazards change of the others as `hazard_dynamic_pj` and so
    on. One that cannot be measured has `problem` instead. ``progress`` is called after each point.
    """
    if not points:
        raise ValueError("nothing to explore: there is no point")
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be a positive number, not {jobs}")
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{key}.json" for key in _keys(points, technology)]
    rows = [row_in(file) for file in files]
    left = [k for k, row in enumerate(rows) if row is None]
    done = len(points) - len(left)
    progress(done, len(points), "from before" if done else "")
    start = "spawn" if "torch" in sys.modules else "fork"  # why: see `workers`
    work = partial(_measure, technology)
    for place, row in measured(work, [(points[k], files[k]) for k in left], jobs, start):
        k = left[place]
        rows[k] = row
        done += 1
        progress(done, len(points), points[k].label)
    return rows


def kept(points: Sequence[Point], technology: Pdk, folder: Path) -> list[dict[str, Any] | None]:
    """The row of each point; None where ``folder`` does not have it."""
    return [row_in(folder / f"{key}.json") for key in _keys(points, technology)]


def _measure(technology: Pdk, point: Point) -> dict[str, Any]:
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
            found = _fields(
                measure(
                    point.unit, point.spec, point.style, technology=technology,
                    clock_ps=point.clock_ps, operands=point.operands, booth=point.booth,
                    adders=point.adders, options=point.options,
                    glitches=point.hazards and _has_delays(technology),
                )
            )  # fmt: skip
    except ValueError as error:
        return own | {"problem": str(error)}
    found.pop("provenance", None)  # once for all
    spent = busy = None
    if found["dynamic_pj"] is not None:
        spent = found["dynamic_pj"] + found["leakage_pj"]
        if "hazard_dynamic_pj" in found:
            busy = found["hazard_dynamic_pj"] + found["leakage_pj"]
    return found | own | {
        "acc_width": found["acc_width"],  # bits, also where they are "enough"
        "enough": point.acc_width != found["acc_width"],
        "operands": point.operands,
        "source": found["operands"],
        "area_per_mac_um2": _over(found["area_um2"], point.macs),
        "energy_per_mac_pj": spent,
        "hazard_energy_per_mac_pj": busy,
        "problem": "",
    }  # fmt: skip


def _fields(found: Any) -> dict[str, Any]:
    """Those of a `measure.Measurement`. What hazards change is called `hazard_..`, and the rest is
    without them, so that a field means the same in every row."""
    spent = found.energy
    if spent is None or spent.quiet is None:
        return found.as_dict()
    busy = spent.as_dict()
    hazards = {f"hazard_{name}": busy[name] for name in HAZARD_FIELDS}
    quiet = replace(found, energy=spent.quiet).as_dict()
    return quiet | hazards | {"glitch_pj": spent.glitch_pj}


def _has_delays(technology: Pdk) -> bool:
    return technology.load().has_delays


def _over(area: float | None, macs: int) -> float | None:
    return None if area is None else area / macs  # a library need not say areas


def _keys(points: Sequence[Point], technology: Pdk) -> list[str]:
    versions = provenance()["versions"]
    base = {
        "python": provenance()["python"],  # its documentation is what the model reads
        "library": technology.load().sha256,
        "dont_use": technology.dont_use,
        "sources": source_digest(*_SOURCES),
        "versions": {name: versions.get(name) for name in _VERSIONS},
    }
    texts = (
        json_text(base | {"point": point.as_dict(), "style": _style_hash(point)})
        for point in points
    )
    return [hashlib.sha256(text.encode()).hexdigest()[:24] for text in texts]


def _style_hash(point: Point) -> str:
    """Of the files that a style is written in, which need not be ours."""
    (style,) = (one for one in get_unit(point.unit).registry if one.name == point.style)
    return _files_hash(style.sources)


@cache
def _files_hash(files: frozenset[Path]) -> str:
    hashes = (hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()
