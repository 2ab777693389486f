"""Long measurements: each kept in a file as soon as it is done, so that a stopped run goes on.

What a file is called is its owner's affair: a name that tells all that decides the result. Beside
the row it has the row's hash, so that a damaged one is measured again.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

from macsmith.experiments.store import json_text
from macsmith.experiments.workers import worker_pool
from macsmith.hw.export import write_atomically

__all__ = ["measured", "row_in"]

Row = dict[str, Any]


def row_in(file: Path) -> Row | None:
    """A row from before; None where there is none, or it is not as it was written."""
    try:
        kept = json.loads(file.read_text())
        return kept["row"] if kept["sha256"] == _hash(kept["row"]) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def measured(
    work: Callable[[Any], Row], left: Sequence[tuple[Any, Path]], jobs: int | None, start: str
) -> Iterator[tuple[int, Row]]:
    """``work(point)`` for each (point, file), kept there: its place in ``left``, and the row.

    In ``jobs`` processes, by default one for each core that this process may use, which are begun
    by ``start`` ("fork" or "spawn"); in the order in which they are done.
    """
    jobs = min(jobs or len(os.sched_getaffinity(0)), len(left))
    if jobs <= 1:
        yield from ((k, _keep(work, *one)) for k, one in enumerate(left))
        return
    with worker_pool(jobs, start) as pool:
        running = {pool.submit(_keep, work, *one): k for k, one in enumerate(left)}
        try:
            yield from ((running[one], one.result()) for one in as_completed(running))
        finally:
            pool.shutdown(cancel_futures=True)


def _keep(work: Callable[[Any], Row], point: Any, file: Path) -> Row:
    row = json.loads(json_text(work(point)))  # as a later run will read it
    write_atomically(file, json_text({"sha256": _hash(row), "row": row}))
    return row


def _hash(row: Row) -> str:
    return hashlib.sha256(json_text(row).encode()).hexdigest()
