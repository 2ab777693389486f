"""Claim "exact": every recipe's exact execution against its float one, on identical inputs.

recipes     those of all tables' rows, each on its tables' models, and every preset; two names of
            one recipe count once. What has no exact execution is left out, and counted
difference  of a layer's outputs, in units of float32's last place, and as a part of the bound on it
            that rounding leaves: see `quant.compare`
verdict     of a recipe on a model: whether all of its layers are within the bound

Calibrated on few samples, the same for all recipes of a model, and DAQ in one epoch: these decide
codes and scales, and both executions have the same.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macsmith.experiments.quantized.frame import (
    SUBJECTS,
    Point,
    prepared,
    recipe_of,
    subject_file,
)
from macsmith.experiments.quantized.tables import TABLES

__all__ = ["FULL", "QUICK", "VERDICTS", "Config", "Job", "compare_point", "finding", "status"]

VERDICTS = ("within", "beyond")
_TOKENS = 64  # exact attention takes a product for each head: a window of half a second
_DRAW = {"samples": 4, "length": 32, "limit": _TOKENS, "window": _TOKENS}


@dataclass(frozen=True)
class Config:
    """Which models: of tables' rows, those that are also the tables'; of presets.

    `calibrated`: presets that are calibrated too.
    """

    models: tuple[str, ...]
    presets: tuple[str, ...]
    calibrated: bool = True


QUICK = Config(("opt-mini",), ("opt-mini",), calibrated=False)
FULL = Config(tuple(SUBJECTS), ("opt-mini",))


@dataclass(frozen=True)
class Job:
    """One run for all recipes, in as many processes as there are cores."""

    config: Config
    folder: Path
    text: str = "docs"
    label = "exact against float execution"

    def run(self, progress: Callable[[int, int, str], None] = lambda *_: None) -> dict[str, Any]:
        """A row for each recipe, the worst of its models; those left out, by reason."""
        from macsmith.experiments.quantized.runner import run

        points, left_out = chosen(self.config, self.text)
        found = run(points, self.folder, progress=progress, work=compare_point)
        by_recipe: dict[str, list[dict[str, Any]]] = {}
        for point in points:
            by_recipe.setdefault(point.recipe, []).append(found[point])
        return {
            "rows": [_over_models(rows) for rows in by_recipe.values()],
            "points": list(found.values()),
            "left_out": left_out,
        }


def chosen(config: Config, text: str = "docs") -> tuple[list[Point], dict[str, int]]:
    """What is compared, model by model, and how many recipes are not, by what keeps them from it.

    Of tables' rows and presets together. Left out too: presets that are calibrated, where
    ``config`` has none.
    """
    from macsmith.quant.presets import PRESETS

    here = [name for name in SUBJECTS if subject_file(SUBJECTS[name])]
    asked: list[tuple[Point, bool]] = [
        (Point(name, row.recipe, row.grouped, row.errors, text=text, **_DRAW), False)
        for table in TABLES.values()
        for name in table.subjects
        if name in here and name in config.models
        for row in table.rows
    ]
    asked += [
        (Point(name, preset, text=text, **_DRAW), True)
        for name in config.presets
        for preset in PRESETS
    ]
    found: dict[tuple[str, str], Point] = {}
    left: dict[str, str] = {}
    for point, preset in asked:
        recipe = recipe_of(point)
        same = recipe.model_dump_json(exclude={"name"})
        if recipe.float_only:
            left[same] = recipe.float_only
        elif preset and recipe.calibrated and not config.calibrated:
            left[same] = "is calibrated, for the full run"
        else:
            found.setdefault((point.subject, same), point.settled())
    compared = {same for _, same in found}
    reasons = Counter(why for same, why in left.items() if same not in compared)
    order = list(SUBJECTS)
    return sorted(found.values(), key=lambda point: order.index(point.subject)), dict(reasons)


def _in_short(recipe: Any) -> Any:
    """With one epoch of DAQ: ten would take longer than all other presets."""
    from macsmith.quant.steps import Daq

    steps = tuple(
        step.model_copy(update={"epochs": 1}) if isinstance(step, Daq) else step
        for step in recipe.steps
    )
    return recipe.model_copy(update={"steps": steps})


def compare_point(point: Point) -> dict[str, Any]:
    """The point's layers compared on the text's first tokens; one thread, whatever is here.

    `layers` has each one's difference in ulps and its part of the bound, by name.
    """
    from macsmith.quant.calibrate import one_thread
    from macsmith.quant.compare import compare

    start = time.perf_counter()
    with one_thread():
        model, ids, source, calibration = prepared(point, recipe=_in_short(recipe_of(point)))
        ids = ids[: point.limit].view(1, -1)
        found = compare(model, ids)
    worst = max(found, key=lambda one: one.ulps)
    return {
        "model": point.subject,
        "recipe": point.recipe,
        "ulps": worst.ulps,
        "layer": worst.layer,
        "of_bound": max(one.of_bound for one in found),
        "verdict": VERDICTS[not all(one.holds for one in found)],
        "layers": {one.layer: (one.ulps, one.of_bound) for one in found},
        "outputs": sum(one.outputs for one in found),
        "differing": sum(one.differing for one in found),
        "source": source,
        "calibration": calibration,
        "seconds": round(time.perf_counter() - start, 2),
    }


def _over_models(rows: list[dict[str, Any]]) -> dict[str, Any]:
    worst = max(rows, key=lambda row: row["ulps"])
    return {
        "recipe": worst["recipe"],
        "models": [row["model"] for row in rows],
        "layers": sum(len(row["layers"]) for row in rows),
        "ulps": worst["ulps"],
        "where": f"{worst['model']} {worst['layer']}",
        "of_bound": max(row["of_bound"] for row in rows),
        "verdict": max((row["verdict"] for row in rows), key=VERDICTS.index),
    }


def status(result: dict[str, Any]) -> int:
    """2: the bound holds in every layer of every recipe; 0: it does not, or there is none."""
    rows = result["rows"]
    return 2 if rows and all(row["verdict"] == VERDICTS[0] for row in rows) else 0


def finding(result: dict[str, Any]) -> str:
    """How many recipes are within the bound, the worst of these, and each that is not."""
    return "; ".join(_parts(result))


def _parts(result: dict[str, Any]) -> Iterator[str]:
    rows = result["rows"]
    inside = [row for row in rows if row["verdict"] == VERDICTS[0]]
    models = {model for row in rows for model in row["models"]}
    yield (
        f"{len(inside)} of {len(rows)} recipes stay within the bound of float32 rounding in every "
        f"layer and product of attention ({sum(row['layers'] for row in rows):,} compared, on "
        f"{len(models)} model{'s'[: len(models) > 1]})"
    )
    if inside:
        worst = max(inside, key=lambda row: row["ulps"])
        yield (
            f"of these at worst {worst['ulps']:.1f} units of the last place ({worst['recipe']}, "
            f"{worst['where']}) and {max(row['of_bound'] for row in inside):.2f} of the bound"
        )
    if names := [row["recipe"] for row in rows if row["verdict"] != VERDICTS[0]]:
        yield f"BEYOND it: {len(names)} ({', '.join(names)})"
    if result["left_out"]:
        parts = (f"{count} whose recipe {why}" for why, count in result["left_out"].items())
        yield f"left out: {', '.join(parts)}"
