"""Tables of the report: each row with the paper's columns beside ours."""

import math
from collections.abc import Iterable
from functools import partial
from statistics import fmean
from typing import Any

from macsmith.experiments.quantized.compare import VERDICTS
from macsmith.experiments.quantized.judge import finding

__all__ = ["view"]

_FAMILIES = ("opt", "llama")


def view(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the templates show of a run's tables; None without them."""
    if not found:
        return None
    return {
        "seeds": found["seeds"],
        "absent": found["absent"],
        "tables": [_table(table) for table in found["tables"].values()],
    }


def _table(table: dict[str, Any]) -> dict[str, Any]:
    columns = _paper_columns(table["rows"])
    models = [model["model"] for model in table["models"]]
    return {
        "id": table["id"],
        "title": f"{table['source']}: {table['sentence']}",
        "finding": finding(table),
        "models": [
            model | {"groups": f", groups of {model['group']}" * _grouped(table["rows"])}
            for model in table["models"]
        ],
        "calibration": _calibration(table["rows"]),
        "head": ["row", "recipe", *(f"paper: {name}" for name, _ in columns), *models],
        "rows": [
            [row["name"], row["how"], *(of(row) for _, of in columns)]
            + [_ours(row["ours"][model]) for model in models]
            for row in table["rows"]
        ],
        "orderings": list(_orderings(table["orderings"])),
        "checks": [f"{c['model']}: {c['text']}: {c['verdict']}" for c in table["checks"]],
    }


def _cells(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [cell for row in rows for cell in row["ours"].values()]


def _grouped(rows: list[dict[str, Any]]) -> bool:
    return any(cell["group_size"] for cell in _cells(rows))


def _calibration(rows: list[dict[str, Any]]) -> str:
    """What rows that are calibrated are calibrated on; empty where none is."""
    found = {
        (one["samples"], one["length"])
        for cell in _cells(rows)
        for one in cell["calibration"]
        if one
    }
    if not found:
        return ""
    samples, lengths = ({str(x) for x in part} for part in zip(*found, strict=True))
    numbers = [" or ".join(sorted(part, key=int)) for part in (samples, lengths)]
    return f"Calibrated on {numbers[0]} samples of {numbers[1]} tokens."


def _paper_columns(rows: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Name and text of a row: the smallest model of each family, and the geometric mean of it."""
    columns: list[tuple[str, Any]] = []
    for family in _FAMILIES:
        for key, text, unit in (
            ("paper_quotient", _with_perplexity, ""),
            ("paper", _accuracy, ", accuracy in %"),
        ):
            models = [m for m in rows[0][key] if m.startswith(family)]
            if not models:
                continue
            columns.append((f"{models[0]}{unit}", partial(text, model=models[0])))
            if len(models) > 1:
                mean = partial(_mean, key=key, models=models)
                columns.append((f"{len(models)} {family.upper()}, mean{unit}", mean))
            break
    return columns


def _with_perplexity(row: dict[str, Any], model: str) -> str:
    return f"{row['paper_quotient'][model]:,.3f} ({row['paper'][model]:,.2f})"


def _accuracy(row: dict[str, Any], model: str) -> str:
    return f"{row['paper'][model]:.2f}"


def _mean(row: dict[str, Any], key: str, models: list[str]) -> str:
    return f"{math.exp(fmean(math.log(row[key][m]) for m in models)):,.3f}"


def _ours(cell: dict[str, Any]) -> str:
    if cell["quotient"] is None:
        return "beyond e^700"
    spread = f" ± {cell['spread']:.3f}" if len(cell["ppl"]) > 1 and cell["spread"] else ""
    return f"{cell['quotient']:,.3f}{spread} ({fmean(cell['ppl']):,.2f})"


def _orderings(found: list[dict[str, Any]]) -> Iterable[str]:
    """A line per model and verdict."""
    for model in dict.fromkeys(one["model"] for one in found):
        mine = [one for one in found if one["model"] == model]
        parts = []
        for verdict in VERDICTS:
            pairs = [f"{o['better']} < {o['worse']}" for o in mine if o["verdict"] == verdict]
            listed = f" ({', '.join(pairs)})" if pairs and verdict != VERDICTS[1] else ""
            parts.append(f"{len(pairs)} {verdict}{listed}")
        yield f"{model}: {'; '.join(parts)}"
