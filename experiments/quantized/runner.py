"""Measure points in parallel, each kept as soon as it is done, so that a stopped run goes on.

Every point has a file, named by a hash of all that decides its result: the point, the model's
weights, the recipe as data, the sources of whatever computes it, and the versions of the libraries.
Rows that several tables share are measured once.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from macsmith.experiments.kept_rows import measured, row_in
from macsmith.experiments.quantized.frame import (
    SUBJECTS,
    Point,
    check_text,
    measure,
    recipe_of,
    weights_hash,
)
from macsmith.experiments.store import json_text, provenance
from macsmith.sim.sources import source_digest

__all__ = ["run"]

_VERSIONS = ("numba", "numpy", "torch", "transformers")
_SOURCES = (
    "quant", "sim", "experiments/models/calibration.py", "experiments/models/llama2c.py",
    "experiments/models/outliers.py", "experiments/models/text.py",
    "experiments/quantized/frame.py", "experiments/quantized/exact.py",
)  # fmt: skip

Progress = Callable[[int, int, str], None]


def run(
    points: Sequence[Point],
    folder: Path,
    *,
    jobs: int | None = None,
    progress: Progress = lambda done, total, label: None,
    work: Callable[[Point], dict[str, Any]] = measure,
) -> dict[Point, dict[str, Any]]:
    """What ``work`` finds for each point; what ``folder`` has already is not measured again.

    ``jobs`` processes, by default one for each core that this process may use. ValueError without
    a point, or on a recipe or text that cannot be measured.
    """
    points = list(dict.fromkeys(points))
    if not points:
        raise ValueError("nothing to measure: there is no point")
    for point in {(p.subject, p.window, p.limit): p for p in points}.values():
        check_text(point)
    folder.mkdir(parents=True, exist_ok=True)
    files = {point: folder / f"{_key(point, work.__name__)}.json" for point in points}
    found = {point: row for point in points if (row := row_in(files[point]))}
    left = [point for point in points if point not in found]
    progress(len(found), len(points), "from before" if found else "")
    # Spawned, since torch may have threads: see `workers`.
    rows = measured(work, [(point, files[point]) for point in left], jobs, "spawn")
    for place, row in rows:
        point = left[place]
        found[point] = row
        progress(len(found), len(points), point.label)
    return {point: found[point] for point in points}


def _key(point: Point, work: str) -> str:
    versions = provenance()["versions"]
    decides = {
        "work": work,
        "point": point.__dict__,
        "subject": SUBJECTS[point.subject].as_dict(),
        "weights": weights_hash(SUBJECTS[point.subject]),
        "recipe": recipe_of(point).model_dump(mode="json") if point.recipe else None,
        "text": _text_hash(point.text),
        "sources": source_digest(*_SOURCES),
        "versions": {name: versions.get(name) for name in _VERSIONS},
    }
    return hashlib.sha256(json_text(decides).encode()).hexdigest()[:24]


def _text_hash(text: str) -> str:
    """What a text is told by: of "docs", this Python's version."""
    if text == "docs":
        return provenance()["python"]
    place = Path(text)
    files = sorted(place.glob("*test*")) if place.is_dir() else [place]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
