"""`macsmith scales`: Eq. 1's error by the scales of each method, group of layers by group."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from statistics import fmean
from typing import Any

from macsmith.experiments.inference import Result, recipe_name
from macsmith.experiments.models import locate
from macsmith.experiments.models.calibration import USUAL, Calibration
from macsmith.experiments.store import provenance

__all__ = ["COMPARED", "Scaled", "compare_scales", "table"]

#: "rtn" is no scale at all. AQAS searches those of "rtn" and "smoothquant" too, AWQ's not.
COMPARED = ("rtn", "smoothquant", "awq", "aqas")
_INSIDE = ("rtn", "smoothquant")
#: Of an error: the same scale, measured twice, is no difference.
_EQUAL = 1e-6


@dataclass(frozen=True, kw_only=True)
class Scaled(Result):
    """The error that each of `COMPARED` leaves in every group of layers that can be scaled."""

    recipe: dict[str, Any]
    calibration: dict[str, Any]
    outliers: bool
    rows: list[dict[str, Any]]  # layers: names; errors: mean square at the output, by method
    unscaled: list[str]  # layers whose input can be scaled nowhere

    @property
    def holds(self) -> bool:
        """Whether AQAS is nowhere above what it searches."""
        return all(
            row["errors"]["aqas"] <= row["errors"][name] * (1 + _EQUAL)
            for row in self.rows
            for name in _INSIDE
        )

    def as_dict(self) -> dict:
        return super().as_dict() | {"holds": self.holds}

    def lines(self) -> list[str]:
        where = f"{self.model}{' with outliers' * self.outliers}, {recipe_name(self.recipe)}"
        verdict = "never above" if self.holds else "ABOVE"
        lines = [f"{where}: AQAS {verdict} no scales and SmoothQuant's"]
        for other in (name for name in COMPARED if name != "aqas"):
            below = [
                r for r in self.rows if r["errors"]["aqas"] < r["errors"][other] * (1 - _EQUAL)
            ]
            above = [
                r for r in self.rows if r["errors"]["aqas"] > r["errors"][other] * (1 + _EQUAL)
            ]
            ratios = [q for r in self.rows if (q := _ratio(r["errors"], other)) is not None]
            part = (
                f"; its error is {_geometric(ratios):.3f} of it in the geometric mean, "
                f"{min(ratios):.3f} to {max(ratios):.3f}"
                if ratios
                else ""
            )
            lines.append(
                f"  below {other} on {_layers(below)} of {_layers(self.rows)} layers "
                f"({len(below)} of {len(self.rows)} groups), above on {_layers(above)}{part}"
            )
        left = f"{len(self.unscaled)} layers cannot be scaled; " if self.unscaled else ""
        return [*lines, f"{left}{self.seconds:.1f} s"]


def compare_scales(
    model: str,
    recipe: str = "w4a8-aqas-int4z",
    calibration: Calibration = USUAL,
    *,
    outliers: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Scaled:
    """Eq. 1 of Lee et al. 2023, at the output of each group of layers of ``model`` in float.

    Every method scales the same float block, groups one by one, nothing folded: errors of a row
    differ by the scale alone. Formats and the options of "smoothquant", "awq" and "aqas" are those
    of ``recipe``, by default their own. ``outliers`` are put in first (`models.outliers`).
    ``progress(done, layers)`` is called after each block. ValueError as of `quantize_`, or if no
    layer can be scaled or activations stay in float, where Eq. 1 is AWQ's.
    """
    import torch

    from macsmith.experiments.models.outliers import put_outliers
    from macsmith.quant import Recipe, steps
    from macsmith.quant.blocks import blocks_of, check_calibration, inside_blocks
    from macsmith.quant.calibrate import one_thread
    from macsmith.quant.convert import linear_layers
    from macsmith.quant.groups import groups_of
    from macsmith.quant.io import load_model, load_tokenizer

    start = time.perf_counter()
    chosen, place = Recipe.get(recipe), locate(model)
    if not chosen.activations.quantized:
        raise ValueError("activations stay in float: AQAS's objective is AWQ's then")
    mine = {step.method: step for step in chosen.steps}
    usual = (steps.Rtn(), steps.SmoothQuant(), steps.Awq(), steps.Aqas())
    asked = {name: mine.get(name, step) for name, step in zip(COMPARED, usual, strict=True)}
    tokenizer, net = load_tokenizer(place), load_model(place)
    if outliers:
        put_outliers(net)
    drawn = calibration.resolved(tokenizer).ids(tokenizer, net)
    ids = check_calibration(drawn, net, "aqas")
    rows, unscaled = [], []
    with torch.no_grad(), one_thread():
        layers = inside_blocks(net, linear_layers(net, chosen))
        done = 0
        for block in blocks_of(net, layers, ids, [asked["aqas"].samples]):
            block.check()
            for group in groups_of(block):
                if group.producer is None:
                    unscaled += group.names
                else:
                    rows.append(_row(block, group, asked, chosen))
            done += len(block.layers)
            if progress:
                progress(done, len(layers))
    if not rows:
        raise ValueError(f"{model}: no layer's input can be scaled")
    return Scaled(
        model=model,
        recipe=chosen.model_dump(mode="json"),
        calibration=calibration.record(drawn),
        outliers=outliers,
        rows=rows,
        unscaled=unscaled,
        seconds=time.perf_counter() - start,
        provenance=provenance(),
    )


def _row(block: Any, group: Any, asked: dict[str, Any], recipe: Any) -> dict[str, Any]:
    """Every method's error on a group, by AQAS's objective."""
    import torch

    from macsmith.quant.methods import METHODS
    from macsmith.quant.methods.objective import Objective

    aqas = asked["aqas"]
    whole = aqas.objective == "attention"
    objective = Objective(block, group, recipe, aqas.samples, inputs_too=True, whole=whole)
    errors = {}
    for name, step in asked.items():
        scale = METHODS[type(step)].scale
        s = scale(block, group, step, recipe) if scale else None
        errors[name] = objective.error(torch.ones(group.width) if s is None else s)
    return {"layers": list(group.names), "errors": errors}


def table(result: Scaled) -> Any:
    """A rich table of the groups; errors over that of no scale."""
    from rich.table import Table

    shown = Table(title="error of a group's output, over that of no scale (rtn)")
    for title in ("layers", "rtn, mean square", *COMPARED[1:]):
        shown.add_column(title, justify="left" if title == "layers" else "right")
    split = [name.split(".")[:-1] for row in result.rows for name in row["layers"]]
    same = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, zip(*split, strict=False)))
    for row in result.rows:
        errors = row["errors"]
        names = (".".join(name.split(".")[same:]) for name in row["layers"])
        quotients = (errors[name] / (errors["rtn"] or 1) for name in COMPARED[1:])
        shown.add_row(", ".join(names), f"{errors['rtn']:.3g}", *(f"{q:.3f}" for q in quotients))
    return shown


def _ratio(errors: dict[str, float], other: str) -> float | None:
    """AQAS's error over another's; None where either is 0."""
    return errors["aqas"] / errors[other] if errors["aqas"] and errors[other] else None


def _geometric(ratios: list[float]) -> float:
    return math.exp(fmean(map(math.log, ratios)))


def _layers(rows: list[dict[str, Any]]) -> int:
    return sum(len(row["layers"]) for row in rows)
