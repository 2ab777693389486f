"""`macsmith scales`: Eq. 1's error by the scales of each method, in groups and in single layers.

A group has one input and so one scale. Its error is what AQAS minimizes: of queries, keys and
values at attention's output. That of a layer by itself, at its own output, nobody minimizes; a
scale that is better for the group may be worse for one of its layers.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import takewhile
from statistics import fmean
from typing import Any

from macsmith.experiments.models.calibration import USUAL, Calibration
from macsmith.experiments.sampled import Sampled, model_and_samples
from macsmith.experiments.store import provenance

__all__ = ["COMPARED", "Scaled", "compare_scales", "table"]

#: "rtn" is no scale at all. AQAS searches those of "rtn" and "smoothquant" too, AWQ's not.
COMPARED = ("rtn", "smoothquant", "awq", "aqas")
_INSIDE = ("rtn", "smoothquant")
#: Of an error: the same scale, measured twice, is no difference.
_EQUAL = 1e-6


@dataclass(frozen=True, kw_only=True)
class Scaled(Sampled):
    """The error that each of `COMPARED` leaves in every group of layers that can be scaled."""

    #: layers: names; errors: mean square at the group's output, by method; single: the same at each
    #: layer's own output, in their order; possible: whether a scale that AQAS tries is above none
    #: and SmoothQuant's in no single layer
    rows: list[dict[str, Any]]
    unscaled: list[str]  # layers whose input can be scaled nowhere

    @property
    def holds(self) -> bool:
        """Whether AQAS is nowhere above what it searches."""
        return all(
            row["errors"]["aqas"] <= row["errors"][name] * (1 + _EQUAL)
            for row in self.rows
            for name in _INSIDE
        )

    def lines(self) -> list[str]:
        verdict = "never above" if self.holds else "ABOVE"
        singles = [errors for row in self.rows for errors in row["single"]]
        lines = [
            f"{self.what}: AQAS {verdict} no scales and SmoothQuant's in a group, its objective"
        ]
        for other in (name for name in COMPARED if name != "aqas"):
            lines += [
                f"  against {other}, groups: {_said([row['errors'] for row in self.rows], other)}",
                f"  against {other}, layers by themselves, no method's objective: "
                f"{_said(singles, other)}",
            ]
        several = [row for row in self.rows if len(row["single"]) > 1]
        if several:
            never = sum(not row["possible"] for row in several)
            lines.append(
                f"  in {never} of {len(several)} groups of several layers every scale that AQAS "
                "tries is above no scales or SmoothQuant's in one of them by itself"
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

    from macsmith.quant import Recipe, steps
    from macsmith.quant.blocks import blocks_of, inside_blocks
    from macsmith.quant.calibrate import one_thread
    from macsmith.quant.calibration import check_calibration
    from macsmith.quant.convert import linear_layers
    from macsmith.quant.groups import groups_of

    start = time.perf_counter()
    chosen = Recipe.get(recipe)
    if not chosen.activations.quantized:
        raise ValueError("activations stay in float: AQAS's objective is AWQ's then")
    mine = {step.method: step for step in chosen.steps}
    usual = (steps.Rtn(), steps.SmoothQuant(), steps.Awq(), steps.Aqas())
    asked = {name: mine.get(name, step) for name, step in zip(COMPARED, usual, strict=True)}
    net, drawn = model_and_samples(model, calibration, outliers=outliers)
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
    from macsmith.quant.methods.aqas import tried
    from macsmith.quant.methods.objective import Objective

    aqas = asked["aqas"]
    whole = aqas.objective == "attention"
    alone = [
        replace(group, names=(name,), layers=(layer,))
        for name, layer in zip(group.names, group.layers, strict=True)
    ]
    together, *singly = (
        Objective(block, one, recipe, aqas.samples, inputs_too=True, whole=at_parent)
        for one, at_parent in ((group, whole), *((one, False) for one in alone))
    )
    errors, single = {}, [{} for _ in alone]
    for name, step in asked.items():
        scale = METHODS[type(step)].scale
        s = scale(block, group, step, recipe) if scale else None
        s = torch.ones(group.width) if s is None else s
        errors[name] = together.error(s)
        for found, objective in zip(single, singly, strict=True):
            found[name] = objective.error(s)
    possible = any(
        all(
            objective.error(s) <= min(found[name] for name in _INSIDE) * (1 + _EQUAL)
            for found, objective in zip(single, singly, strict=True)
        )
        for s in tried(block, group, aqas)
    )
    return {
        "layers": list(group.names), "errors": errors, "single": single, "possible": possible
    }  # fmt: skip


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


def _said(found: list[dict[str, float]], other: str) -> str:
    """In how many AQAS is below and above another method, and by how much."""
    ratios = [errors["aqas"] / errors[other] for errors in found if errors["aqas"] * errors[other]]
    below = sum(e["aqas"] < e[other] * (1 - _EQUAL) for e in found)
    above = sum(e["aqas"] > e[other] * (1 + _EQUAL) for e in found)
    part = (
        f"; its error is {math.exp(fmean(map(math.log, ratios))):.3f} of it in the geometric mean, "
        f"{min(ratios):.3f} to {max(ratios):.3f}"
        if ratios
        else ""
    )
    return f"below in {below} of {len(found)}, above in {above}{part}"
