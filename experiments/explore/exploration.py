"""`macsmith explore`: the whole of it, from a library's name to rows, fronts and the ladder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from macsmith.experiments.explore import campaign, findings, grid
from macsmith.experiments.measure import adders_of, choose_library, clock_of
from macsmith.experiments.store import provenance

__all__ = ["GRIDS", "Exploration", "Job", "explore"]

GRIDS = {"quick": grid.QUICK, "default": grid.DEFAULT, "full": grid.FULL}
_SHOWN = 12  # rows of a front


@dataclass(frozen=True)
class Exploration:
    """What was found in one library.

    Attributes
    ----------
    pdk, grid : str
    clock_ps : float
        Of the ladder, and of the fronts.
    rows : list of dict
        See `campaign.run`.
    ladder : list of dict
        See `findings.ladder`.
    """

    pdk: str
    grid: str
    clock_ps: float
    rows: list[dict[str, Any]] = field(repr=False)
    ladder: list[dict[str, Any]] = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether every netlist computes what golden does."""
        return not any(map(findings.wrong, self.rows))

    @property
    def fronts(self) -> dict[str, list[dict[str, Any]]]:
        """By weight format: rows that no other one betters in area and energy per product."""
        return {n: findings.front(rows) for n, rows in self._comparable().items()}

    def as_dict(self) -> dict[str, Any]:
        return {
            "library": self.pdk,
            "grid": self.grid,
            "clock_ps": self.clock_ps,
            "rows": self.rows,
            "ladder": self.ladder,
            "clocks": findings.at_clocks(self.rows),
            "provenance": provenance(),
        }

    def summary(self) -> dict[str, Any]:
        """What a report shows: ladder, structures, and of each row what a picture needs."""
        keys = ("label", "weights", "unit", "lanes", findings.AREA, findings.ENERGY)
        return {
            "library": self.pdk,
            "grid": self.grid,
            "clock_ps": self.clock_ps,
            "measured": len(self.rows),
            "counted": sum(map(findings.counts, self.rows)),
            "wrong": sum(map(findings.wrong, self.rows)),
            "ladder": self.ladder,
            "clocks": findings.at_clocks(self.rows),
            "structures": findings.structures(self.rows, self.clock_ps),
            "fronts": {
                weights: [(row[findings.AREA], row[findings.ENERGY]) for row in rows]
                for weights, rows in self.fronts.items()
            },
            "clouds": {
                weights: [{key: row[key] for key in keys} for row in rows]
                for weights, rows in self._comparable().items()
            },
        }

    def _comparable(self) -> dict[str, list[dict[str, Any]]]:
        """By weight format the rows that count at the clock and on operands of a layer."""
        able = [
            row
            for row in self.rows
            if findings.counts(row)
            and row["clock_ps"] == self.clock_ps
            and row["operands"] == "layer"
            and row[findings.AREA] is not None
            and row[findings.ENERGY] is not None
        ]
        names = dict.fromkeys(row["weights"] for row in able)
        return {n: [row for row in able if row["weights"] == n] for n in names}

    def lines(self) -> list[str]:
        """For a person: what does not count, the fronts, the ladder."""
        counted = sum(map(findings.counts, self.rows))
        lines = [
            f"{self.pdk}, grid {self.grid}: {len(self.rows)} points, {counted} of them meet "
            "their clock and compute what golden does",
            *(f"{row['problem']}: {row['label']}" for row in self.rows if row["problem"]),
            *(
                f"{row['netlist_different']:,} of {row['netlist_compared']:,} results DIFFER: "
                f"{row['label']}"
                for row in self.rows
                if findings.wrong(row)
            ),
            "",
            f"best at {self.clock_ps:g} ps, area and energy per product on operands of a layer",
        ]
        for weights, front in self.fronts.items():
            lines += [
                f"  {weights:9} {row[findings.AREA]:8.2f} um2 {row[findings.ENERGY]:9.5f} pJ  "
                f"{row['label']}"
                for row in front[:_SHOWN]
            ]
        lines += [
            "",
            "INT8 over dINT4: area, energy, energy with hazards; dINT4 over INT4: the same",
            *(f"  {rung['name']:13} {_ratios(rung)}  {rung['text']}" for rung in self.ladder),
            "",
            f"the last line, {self.ladder[-1]['name']}, by clock",
            *(
                f"  {one['clock_ps']:10g} ps {_ratios(one)}"
                for one in findings.at_clocks(self.rows)
            ),
        ]
        return lines


def _ratios(rung: dict[str, Any]) -> str:
    names = [f"{over}{what}_ratio" for over in ("", "int4_") for what in findings.MEASURES]
    return " ".join("   -" if rung[name] is None else f"{rung[name]:.2f}" for name in names)


def explore(
    pdk: str | None,
    which: str = "default",
    *,
    liberty: Sequence[Path] = (),
    clock_ps: float | None = None,
    output: Path = Path("results/explore"),
    jobs: int | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, label: None,
) -> Exploration:
    """Measure a grid (a name of GRIDS) in a library, going on where a stopped run was.

    The library is a name, ``pdk``, or files, ``liberty``. ``clock_ps`` defaults to its usual one;
    the grid's clocks are multiples of it. What a rung of the ladder chooses for its energy is
    measured with hazards too. Rows are kept in ``output``. ValueError on bad input, and where there
    is no library.
    """
    if which not in GRIDS:
        raise ValueError(f"the grid must be one of {', '.join(GRIDS)}, not {which!r}")
    technology = choose_library(pdk, liberty)
    if technology is None:
        raise ValueError("an exploration needs a library: see `macsmith pdk list`")
    technology.load().require_flip_flop()
    clock_ps = clock_of(technology, clock_ps)
    points = grid.points(GRIDS[which], clock_ps, adders_of(technology))
    measured = partial(
        campaign.run, technology=technology, folder=output / technology.name, jobs=jobs,
        progress=progress,
    )  # fmt: skip
    rows = _with_hazards(points, measured(points), clock_ps, measured)
    ladder = findings.ladder(rows, clock_ps)
    return Exploration(technology.name, which, clock_ps, rows, ladder)


def _with_hazards(
    points: Sequence[grid.Point],
    rows: list[dict[str, Any]],
    clock_ps: float,
    measured: Callable[[list[grid.Point]], list[dict[str, Any] | None]],
) -> list[dict[str, Any]]:
    """The rows, of which those that a rung chooses for their energy have hazards where they can.

    An array, and a library without delays, have none.
    """
    lacking = [
        k
        for k in findings.chosen(rows, clock_ps)
        if rows[k][findings.HAZARDS] is None and not points[k].dataflow
    ]
    again = measured([replace(points[k], hazards=True) for k in lacking]) if lacking else []
    better = {k: row for k, row in zip(lacking, again, strict=True) if row and not row["problem"]}
    return [better.get(k, row) for k, row in enumerate(rows)]


@dataclass(frozen=True)
class Job:
    """The exploration of a report: the quick grid, and what ``folder`` has of the default one."""

    folder: Path

    @property
    def label(self) -> str:
        return "best structures, INT8 against dINT4"

    def run(self) -> dict[str, Any] | None:
        """What a report shows; None where there is no library."""
        technology = choose_library(None)
        if technology is None:
            return None
        found = explore(technology.name, "quick", output=self.folder)
        points = grid.points(GRIDS["default"], found.clock_ps, adders_of(technology))
        kept = partial(
            campaign.kept, technology=technology, folder=self.folder / technology.name
        )  # fmt: skip
        pairs = [pair for pair in zip(points, kept(points), strict=True) if pair[1] is not None]
        if len(pairs) > len(found.rows):
            rows = _with_hazards(*map(list, zip(*pairs, strict=True)), found.clock_ps, kept)
            ladder = findings.ladder(rows, found.clock_ps)
            found = Exploration(found.pdk, "default", found.clock_ps, rows, ladder)
        return found.summary() | {"points": len(points)}
