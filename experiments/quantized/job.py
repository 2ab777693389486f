"""The measurement behind the claims on quantized models: the chosen tables' points, once each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macsmith.experiments.quantized.frame import LENGTH, SUBJECTS, Point, subject_file
from macsmith.experiments.quantized.tables import TABLES, Row, Table

__all__ = ["FULL", "QUICK", "Config", "Job", "points_of"]


@dataclass(frozen=True)
class Config:
    """How much is measured; `quick`: each table's first models, as many as it names for that."""

    seeds: int
    quick: bool = False
    limit: int | None = None  # tokens; None: all of the text

    def subjects(self, table: Table) -> tuple[str, ...]:
        """The table's models, also those that are not here."""
        return table.subjects[: table.quick] if self.quick else table.subjects


#: More than the held-out documentation has; of WikiText-2 a twelfth, which tells rows apart.
FULL = Config(seeds=5, limit=32_768)
QUICK = Config(seeds=1, quick=True, limit=4_096)


@dataclass(frozen=True)
class Job:
    """One run for all ``tables``, in as many processes as there are cores."""

    tables: tuple[str, ...]
    config: Config
    folder: Path
    text: str = "docs"

    @property
    def label(self) -> str:
        return f"quantized models: {', '.join(self.tables)}"

    def run(self, progress: Callable[[int, int, str], None] = lambda *_: None) -> dict[str, Any]:
        """Each table's rows as `judge.found` has them, and the models that are not here."""
        from macsmith.experiments.quantized.judge import found
        from macsmith.experiments.quantized.runner import run

        chosen = [TABLES[name] for name in self.tables]
        wanted = {table.id: points_of(table, self.config, self.text) for table in chosen}
        # Model by model: a process keeps the last ones that it has loaded.
        every = sorted(
            (point for rows in wanted.values() for points in rows.values() for point in points),
            key=lambda point: (list(SUBJECTS).index(point.subject), point.seed),
        )
        rows = run(every, self.folder, progress=progress)
        absent = sorted({
            name for table in chosen for name in self.config.subjects(table)
            if subject_file(SUBJECTS[name]) is None
        })  # fmt: skip
        return {
            "seeds": self.config.seeds,
            "absent": absent,
            "tables": {
                table.id: found(table, {
                    key: [rows[point] for point in points]
                    for key, points in wanted[table.id].items()
                })
                for table in chosen
            },
        }  # fmt: skip


def points_of(
    table: Table, config: Config, text: str = "docs"
) -> dict[tuple[str, str], list[Point]]:
    """By model and row ("full" is FP32): a point for each seed, of models that are here."""
    return {
        (name, row.name if row else "full"): [
            _point(table, name, row, seed, config.limit, text).settled()
            for seed in range(config.seeds)
        ]
        for name in config.subjects(table)
        if subject_file(SUBJECTS[name])
        for row in _rows(table)
    }


def _rows(table: Table) -> Iterator[Row | None]:
    yield None
    yield from table.rows


def _point(
    table: Table, subject: str, row: Row | None, seed: int, limit: int | None, text: str
) -> Point:
    how = {"seed": seed, "window": table.window, "limit": limit, "text": text}
    if row is None:
        return Point(subject, **how)
    how |= {"grouped": row.grouped, "errors": row.errors, "layers": row.layers}
    return Point(subject, row.recipe, length=row.length or LENGTH, **how)
