"""What a table's rows say, beside what the paper printed.

quotient    perplexity over that of FP32: what small and large models have in common
ordering    two rows of one part that *all* of the paper's columns of the model's family put in the
            same order (a tie in some of them does not count against it)

Whether an ordering holds, is reversed, or is within the spread: see `compare`.
"""

import math
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

from macsmith.experiments.quantized.checks import CHECKS
from macsmith.experiments.quantized.compare import VERDICTS, Rows, compared
from macsmith.experiments.quantized.frame import SUBJECTS
from macsmith.experiments.quantized.papers import Printed
from macsmith.experiments.quantized.tables import Table

__all__ = ["finding", "found", "orderings", "status"]


def found(table: Table, rows: Rows) -> dict[str, Any]:
    """A table's rows as data; ``rows`` are those of `frame.measure` by model and row, by seed."""
    models = list(dict.fromkeys(model for model, _ in rows))
    printed = table.printed()
    return {
        "id": table.id,
        "sentence": table.sentence,
        "source": table.source,
        "note": table.note,
        "models": [_conditions(model, rows[model, "full"][0]) for model in models],
        "rows": [
            {
                "name": row.name,
                "recipe": row.recipe,
                "errors": row.errors,
                "how": row.how,
                "part": row.part,
                "paper": printed.rows.get(row.name, {}),
                "paper_quotient": _paper_quotients(printed, row.name),
                "ours": {
                    model: {"group_size": SUBJECTS[model].group * row.grouped}
                    | _measured(model, row.name, rows)
                    for model in models
                },
            }
            for row in table.rows
        ],
        "stated_by": "all of the paper's columns" if printed.rows else "the claims",
        "checks": [
            {"model": model, **CHECKS[table.id](model, rows)}
            for model in models
            if table.id in CHECKS
        ],
        "orderings": [
            {"model": model, "better": better, "worse": worse,
             "point": (better, worse) in table.point,
             **compared(rows[model, better], rows[model, worse])}
            for model in models
            for better, worse in orderings(table, SUBJECTS[model].family)
        ],
    }  # fmt: skip


def orderings(table: Table, family: str) -> list[tuple[str, str]]:
    """(better, worse) that the paper's columns of a family agree on; of all, if it has none.

    Where no table could be read, those that the claim states.
    """
    rows = table.printed().rows
    if not rows:
        return list(table.orders)
    agreed = []
    for one, other in combinations(table.rows, 2):
        if one.part != other.part:
            continue
        columns = [c for c in rows[one.name] if c.startswith(family)] or list(rows[one.name])
        gaps = [rows[one.name][c] - rows[other.name][c] for c in columns]
        gaps = [-gap for gap in gaps] if table.higher else gaps
        if any(gaps) and max(gaps) <= 0:
            agreed.append((one.name, other.name))
        elif any(gaps) and min(gaps) >= 0:
            agreed.append((other.name, one.name))
    return agreed


def status(result: dict[str, Any]) -> int | None:
    """2: the table's points and checks all hold, and nothing is reversed; 1: more of them, and more
    of all, holds than is reversed; 0 otherwise. Over all models. None, nothing is decided: points
    and checks are all within the spread, and of the rest no more is reversed than holds."""
    points = _counts([one for one in result["orderings"] if one["point"]] + result["checks"])
    counts = _counts(result["orderings"] + result["checks"])
    if points["holds"] == points["reversed"] == 0 and counts["reversed"] <= counts["holds"]:
        return None
    if counts["reversed"] == 0 < points["holds"] == sum(points.values()):
        return 2
    return int(all(c["holds"] > c["reversed"] for c in (counts, points)))


def finding(result: dict[str, Any]) -> str:
    """One sentence on what agrees and what does not."""
    models = len(result["models"])
    counts = _counts(result["orderings"])
    total = sum(counts.values())
    parts = [
        f"of {total} orderings that {result['stated_by']} have, over {models} small "
        f"model{'s'[: models > 1]}, {counts['holds']} hold, {counts['within the spread']} are "
        f"within the spread of seeds and text and {counts['reversed']} are reversed"
        if total
        else f"there is no ordering that {result['stated_by']} have",
        *_point_lines(result),
        *(f"{one['model']}: {one['text']} ({one['verdict']})" for one in result["checks"]),
    ]
    ours = [cell["quotient"] for row in result["rows"] for cell in row["ours"].values()]
    ours = [x for x in ours if x is not None]
    paper = [x for row in result["rows"] for x in row["paper_quotient"].values()]
    if ours:
        parts.append(f"perplexity over FP32: {min(ours):.3f} to {max(ours):.3f} here")
    if ours and paper:
        parts[-1] += (
            f", {min(paper):.3f} to {max(paper):,.3f} in the paper, whose models are a thousand "
            "times larger"
        )
    if result["note"]:
        parts.append(result["note"])
    return "; ".join(parts)


def _point_lines(result: dict[str, Any]) -> list[str]:
    """For each pair that the table is about: on how many models it holds, and by how much."""
    lines: dict[tuple[str, str], list[dict]] = {}
    for one in result["orderings"]:
        if one["point"]:
            lines.setdefault((one["better"], one["worse"]), []).append(one)
    return [
        f"{better} below {worse}: "
        + ", ".join(f"{n} {what}" for what, n in _counts(found).items() if n)
        + f" ({_least_to_largest([one['difference'] for one in found])} nats)"
        for (better, worse), found in lines.items()
    ]


def _least_to_largest(numbers: list[float]) -> str:
    ends = dict.fromkeys(f"{number:+.3f}" for number in (min(numbers), max(numbers)))
    return " to ".join(ends)


def _counts(verdicts: list[dict[str, Any]]) -> dict[str, int]:
    return {what: sum(one["verdict"] == what for one in verdicts) for what in VERDICTS}


def _conditions(model: str, full: dict[str, Any]) -> dict[str, Any]:
    kept = ("ppl", "protocol", "tokens", "windows", "window", "ids_sha256", "dtype", "source")
    return {"model": model, "group": SUBJECTS[model].group} | {key: full[key] for key in kept}


def _measured(model: str, row: str, rows: Rows) -> dict[str, Any]:
    """Perplexity by seed; mean quotient and the seeds' spread (0 where one seed is all)."""
    cells = rows[model, row]
    full = rows[model, "full"][0]["loss"]
    by_seed = {cell["seed"]: cell for cell in cells}
    gaps = [cell["loss"] - full for cell in by_seed.values()]
    quotients = [math.exp(gap) for gap in gaps if gap < 700]
    whole = len(quotients) == len(gaps)
    return {
        "ppl": [cell["ppl"] for cell in by_seed.values()],
        "losses": [cell["losses"] for cell in by_seed.values()],
        "quotient": fmean(quotients) if whole else None,
        "spread": (stdev(quotients) if len(quotients) > 1 else 0.0) if whole else None,
        "calibration": [cell["calibration"] for cell in by_seed.values()],
        "seconds": sum(cell["seconds"] for cell in by_seed.values()),
    }


def _paper_quotients(printed: Printed, row: str) -> dict[str, float]:
    """The paper's perplexity over its FP16 for each model; empty for accuracies."""
    line = printed.rows.get(row, {})
    return {m: ppl / printed.full[m] for m, ppl in line.items() if m in printed.full}
