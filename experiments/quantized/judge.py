"""What a table's rows say, beside what the paper printed: orderings, and how sure they are.

quotient    perplexity over that of FP32: what small and large models have in common
ordering    two rows of one part that *all* of the paper's columns of the model's family put in the
            same order (a tie in some of them does not count against it)
difference  of two rows in nats per token, d[seed, piece]; its mean has the standard error
            sqrt(var over seeds / seeds + var over pieces / pieces): samples of calibration and
            text are what would be drawn anew
verdict     an ordering holds where the mean is beyond SURE standard errors on the paper's side,
            is reversed beyond as many on the other, and is within the spread between
"""

import math
from itertools import combinations
from statistics import fmean, stdev, variance
from typing import Any

from macsmith.experiments.quantized.frame import SUBJECTS
from macsmith.experiments.quantized.papers import Printed
from macsmith.experiments.quantized.tables import Table

__all__ = ["VERDICTS", "finding", "found", "orderings", "status"]

SURE = 2.0  # standard errors
VERDICTS = ("holds", "within the spread", "reversed")

Rows = dict[tuple[str, str], list[dict[str, Any]]]


def found(table: Table, rows: Rows) -> dict[str, Any]:
    """A table's rows as data; ``rows`` are those of `frame.measure` by model and row, by seed."""
    models = list(dict.fromkeys(model for model, _ in rows))
    printed = table.printed()
    return {
        "id": table.id,
        "sentence": table.sentence,
        "source": table.source,
        "models": [_conditions(model, rows[model, "full"][0]) for model in models],
        "rows": [
            {
                "name": row.name,
                "recipe": row.recipe,
                "part": row.part,
                "paper": printed.rows.get(row.name, {}),
                "paper_quotient": _paper_quotients(printed, row.name),
                "ours": {model: _measured(model, row.name, rows) for model in models},
            }
            for row in table.rows
        ],
        "orderings": [
            {"model": model, "better": better, "worse": worse,
             "point": (better, worse) in table.point,
             **_compared(rows[model, better], rows[model, worse])}
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


def status(result: dict[str, Any]) -> int:
    """2: all of the table's points hold and nothing is reversed; 1: more holds than is reversed,
    and so do the points; 0 otherwise. Everything over all models."""
    counts, points = _counts(result["orderings"]), _counts(_points(result))
    if counts["reversed"] == 0 < points["holds"] == sum(points.values()):
        return 2
    return int(all(c["holds"] > c["reversed"] for c in (counts, points)))


def finding(result: dict[str, Any]) -> str:
    """One sentence on what agrees and what does not."""
    models = [model["model"] for model in result["models"]]
    counts = _counts(result["orderings"])
    text = (
        f"of {sum(counts.values())} orderings on which the paper's columns agree, over "
        f"{len(models)} small model{'s'[: len(models) > 1]}, {counts['holds']} hold, "
        f"{counts['within the spread']} are within the spread of seeds and text and "
        f"{counts['reversed']} are reversed"
    )
    text += "".join(f"; {line}" for line in _point_lines(result))
    ours = [cell["quotient"] for row in result["rows"] for cell in row["ours"].values()]
    ours = [x for x in ours if x is not None]
    paper = [x for row in result["rows"] for x in row["paper_quotient"].values()]
    if ours and paper:
        text += (
            f"; perplexity over FP32: {min(ours):.3f} to {max(ours):.3f} here, {min(paper):.3f} "
            f"to {max(paper):,.3f} in the paper, whose models are a thousand times larger"
        )
    return text


def _point_lines(result: dict[str, Any]) -> list[str]:
    """For each pair that the table is about: on how many models it holds, and by how much."""
    lines: dict[tuple[str, str], list[dict]] = {}
    for one in _points(result):
        lines.setdefault((one["better"], one["worse"]), []).append(one)
    return [
        f"{better} below {worse}: "
        + ", ".join(f"{n} {what}" for what, n in _counts(found).items() if n)
        + f" ({min(one['difference'] for one in found):+.3f} to "
        f"{max(one['difference'] for one in found):+.3f} nats)"
        for (better, worse), found in lines.items()
    ]


def _points(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in result["orderings"] if one["point"]]


def _counts(orderings: list[dict[str, Any]]) -> dict[str, int]:
    return {what: sum(one["verdict"] == what for one in orderings) for what in VERDICTS}


def _compared(better: list[dict], worse: list[dict]) -> dict[str, Any]:
    """The mean difference in nats, negative where ``better`` is, its standard error, a verdict."""
    gaps = [
        [a - b for a, b in zip(x["losses"], y["losses"], strict=True)]
        for x, y in zip(better, worse, strict=True)
    ]
    by_seed = [fmean(row) for row in gaps]
    by_piece = [fmean(column) for column in zip(*gaps, strict=True)]
    mean = fmean(by_seed)
    parts = [variance(line) / len(line) for line in (by_seed, by_piece) if len(line) > 1]
    error = math.sqrt(sum(parts)) if parts else math.inf  # one piece of text says nothing
    sure = abs(mean) > SURE * error
    verdict = VERDICTS[1] if not sure else VERDICTS[0 if mean < 0 else 2]
    return {
        "difference": mean,
        "standard_error": error if parts else None,
        "verdict": verdict,
    }


def _conditions(model: str, full: dict[str, Any]) -> dict[str, Any]:
    kept = ("ppl", "protocol", "tokens", "windows", "window", "ids_sha256", "dtype", "source")
    return {"model": model} | {key: full[key] for key in kept}


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
