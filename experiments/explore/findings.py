"""What the points of an exploration say together: fronts, best against best, and the ladder.

A row counts where it meets its clock and its netlist computes what golden does. Areas and energies
are per product (of one MAC a cycle), so that units of several lanes and outputs compare.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from macsmith.experiments.hardware import DEPTH

__all__ = [
    "AREA", "ENERGY", "HAZARDS", "MEASURES", "RUNGS", "Rung", "at_clocks", "best", "chosen",
    "counts", "front", "ladder", "structures", "wrong",
]  # fmt: skip

AREA, ENERGY, HAZARDS = "area_per_mac_um2", "energy_per_mac_pj", "hazard_energy_per_mac_pj"
#: What is compared, by what a ratio of it is called.
MEASURES = {"area": AREA, "energy": ENERGY, "hazard_energy": HAZARDS}
#: Weights that the ladder compares, with INT8 activations; dINT4 in any coding of its levels.
WIDE, NARROW, PLAIN4 = ("int8",), ("dint4", "dint4_sm", "dint4_sr", "dint4_r4"), ("int4",)

Row = dict[str, Any]


@dataclass(frozen=True)
class Rung:
    """One set of assumptions: rows that meet them may be chosen, the best of each format is."""

    name: str
    text: str
    takes: Callable[[Row], bool] = field(repr=False)


def _mac(row: Row) -> bool:
    return row["unit"] == "mac" and not row["pipeline"]


def _plain_style(row: Row) -> bool:
    return _mac(row) and row["style"] == "plain" and row["adders"] == "gates"


def _plain(row: Row) -> bool:
    return _plain_style(row) and not row["enough"]


def _layer(row: Row) -> bool:
    return row["operands"] == "layer" and not row["booth"]


RUNGS = (
    Rung(
        "plain",
        "the paper's likely conditions: plain RTL, equal 32-bit accumulators, uniform operands",
        lambda row: _plain(row) and not row["booth"] and row["operands"] == "uniform",
    ),
    Rung(
        "operands",
        "the same on operands of a real layer",
        lambda row: _plain(row) and _layer(row),
    ),
    Rung(
        "narrow",
        f"the same, accumulators just wide enough for {DEPTH:,} products (this line only)",
        lambda row: _plain_style(row) and row["enough"] and _layer(row),
    ),
    Rung(
        "booth",
        "operands of a real layer, products as Booth multipliers by Yosys (this line only)",
        lambda row: _plain(row) and row["booth"] and row["operands"] == "layer",
    ),
    Rung(
        "styles",
        "the best microarchitecture for each format",
        lambda row: _mac(row) and _layer(row) and not row["enough"],
    ),
    Rung(
        "accumulators",
        f"the same, accumulators just wide enough for {DEPTH:,} products",
        lambda row: _mac(row) and _layer(row) and row["enough"],
    ),
    Rung(
        "best",
        "the same, of any unit: lanes that share an accumulator, outputs that share a recoding, "
        "pipeline stages",
        lambda row: _layer(row) and row["enough"],
    ),
)


def wrong(row: Row) -> bool:
    """Whether a row's netlist computes what golden does not."""
    return not row["problem"] and row["netlist_equal"] is False


def counts(row: Row) -> bool:
    """Whether a row's figures may be compared."""
    return not row["problem"] and row["met"] is not False and not wrong(row)


def best(rows: Iterable[Row], weights: Collection[str], key: str) -> Row | None:
    """The row of one of the weight formats with the least ``key``; None without one."""
    mine = [row for row in rows if row["weights"] in weights and row[key] is not None]
    return min(mine, key=lambda row: row[key], default=None)


def ladder(rows: Iterable[Row], clock_ps: float) -> list[dict[str, Any]]:
    """Per rung INT8 over dINT4 at a clock, and which rows were chosen.

    A ratio is None where a format has no row that counts; `area_of`, `energy_of` and
    `hazard_energy_of` describe the rows chosen, INT8's first: each measure chooses its own.
    `hazard_energy_ratio` is of energy with hazards, which not every row has: a format's best is of
    those that do, and there is none where the one with the least energy does not (`chosen`).
    `int4_area_ratio` and so on are dINT4 over INT4.
    """
    able = [row for row in rows if counts(row) and row["clock_ps"] == clock_ps]
    found = []
    for rung in RUNGS:
        mine = [row for row in able if rung.takes(row)]
        step: dict[str, Any] = {"name": rung.name, "text": rung.text, "points": len(mine)}
        for what, key in MEASURES.items():
            wide, narrow, int4 = (
                None if key == HAZARDS and _lacks(best(mine, names, ENERGY)) else
                best(mine, names, key)
                for names in (WIDE, NARROW, PLAIN4)
            )  # fmt: skip
            step[f"{what}_ratio"] = _ratio(wide, narrow, key)
            step[f"int4_{what}_ratio"] = _ratio(narrow, int4, key)
            step[f"{what}_of"] = [_described(row, key) for row in (wide, narrow, int4) if row]
        found.append(step)
    return found


def chosen(rows: Sequence[Row], clock_ps: float) -> list[int]:
    """Places of the rows that a rung chooses for their energy, of a format each."""
    able = [row for row in rows if counts(row) and row["clock_ps"] == clock_ps]
    found = []
    for rung, names in product(RUNGS, (WIDE, NARROW, PLAIN4)):
        row = best(filter(rung.takes, able), names, ENERGY)
        found += [k for k, one in enumerate(rows) if one is row]
    return sorted(set(found))


def _lacks(row: Row | None) -> bool:
    return row is None or row[HAZARDS] is None


def at_clocks(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The last rung at every clock at which all of its formats have rows: `clock_ps`, and the rest
    as of `ladder`, fastest clock first."""
    rows = list(rows)
    found = [
        {"clock_ps": clock} | ladder(rows, clock)[-1]
        for clock in sorted({row["clock_ps"] for row in rows})
    ]
    return [one for one in found if one["area_ratio"] and one["int4_area_ratio"]]


def structures(rows: Iterable[Row], clock_ps: float) -> list[dict[str, Any]]:
    """Area and energy of a product by structure and format of weights, each in its best style.

    Accumulators are just wide enough, operands a layer's. `area` and `energy` may be of different
    styles, `area_style` and `energy_style`; None where nothing counts.
    """
    able = [
        row
        for row in rows
        if counts(row) and row["clock_ps"] == clock_ps and row["enough"] and _layer(row)
    ]
    by: dict[tuple[str, str], list[Row]] = {}
    for row in able:
        by.setdefault((_structure(row), row["weights"]), []).append(row)
    found = []
    for (structure, weights), mine in by.items():
        line: dict[str, Any] = {"structure": structure, "weights": weights}
        for what, key in (("area", AREA), ("energy", ENERGY)):
            row = best(mine, (weights,), key)
            line[what] = row[key] if row else None
            line[f"{what}_style"] = row["style"] if row else None
        found.append(line)
    return found


def _structure(row: Row) -> str:
    """What a person would call it."""
    pipeline = f", {row['pipeline']} pipeline stage" if row["pipeline"] else ""
    if row["unit"] == "array":
        return f"array {row['rows']} x {row['cols']}, {row['dataflow']}-stationary"
    if row["unit"] == "shared":
        return f"shared multiples, {row['outputs']} outputs{pipeline}"
    return (f"dot product of {row['lanes']}" if row["lanes"] > 1 else "MAC") + pipeline


def front(rows: Iterable[Row], keys: Sequence[str] = (AREA, ENERGY)) -> list[Row]:
    """Rows that count and that no other one equals or betters in every key, by the first key."""
    able = [row for row in rows if counts(row) and all(row[key] is not None for key in keys)]
    able.sort(key=lambda row: tuple(row[key] for key in keys))
    kept: list[Row] = []
    for row in able:
        if not any(all(other[key] <= row[key] for key in keys) for other in kept):
            kept.append(row)
    return kept


def _ratio(over: Row | None, under: Row | None, key: str) -> float | None:
    return over[key] / under[key] if over and under and under[key] else None


def _described(row: Row, key: str) -> dict[str, Any]:
    names = ("unit", "style", "weights", "acc_width", "lanes", "outputs", "pipeline", "adders",
             "rows", "cols")  # fmt: skip
    return {name: row[name] for name in names} | {key: row[key], "delay_ps": row["delay_ps"]}
