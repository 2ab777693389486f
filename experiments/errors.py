"""`macsmith errors`: what a recipe does to each layer: ATQ's bound, and the terms of Eq. 4.

Both on the inputs that a layer was rounded on: see `macsmith.quant.bounds` and
`macsmith.quant.underflow`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from macsmith.experiments.models.calibration import USUAL, Calibration
from macsmith.experiments.sampled import Sampled, model_and_samples
from macsmith.experiments.store import provenance

__all__ = ["Errors", "layer_errors", "table"]

_EQUAL = 1e-9  # of the bound: float64's rounding


@dataclass(frozen=True, kw_only=True)
class Errors(Sampled):
    """Every layer's error, taken apart in two ways."""

    #: layer; bound: `ErrorBound`'s norms, their sum, and whether it holds; terms: `Terms`'
    layers: list[dict[str, Any]]

    @property
    def holds(self) -> bool:
        """Whether the bound does in all layers."""
        return all(row["bound"]["holds"] for row in self.layers)

    def lines(self) -> list[str]:
        beyond = [row["layer"] for row in self.layers if not row["bound"]["holds"]]
        count = len(self.layers)
        verdict = (
            f"BEYOND the bound in {len(beyond)} of {count} layers, the first is {beyond[0]}"
            if beyond
            else f"the bound holds in all {count} layers"
        )
        return [f"{self.what}: {verdict}; {self.seconds:.1f} s"]


def layer_errors(
    model: str,
    recipe: str,
    calibration: Calibration = USUAL,
    *,
    outliers: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Errors:
    """Each layer of ``model`` as ``recipe`` rounds it, block by block.

    Recipes that need no calibration are measured on its samples too. ``outliers`` are put in first
    (`models.outliers`). ValueError as of `quantize_`.
    """
    import torch

    from macsmith.quant import Recipe, quantize_
    from macsmith.quant.bounds import error_bound
    from macsmith.quant.underflow import terms

    start = time.perf_counter()
    chosen = Recipe.get(recipe)
    net, drawn = model_and_samples(model, calibration, outliers=outliers)
    rows: list[dict[str, Any]] = []

    def watch(name: str, layer: Any, quantized: Any, inputs: list) -> None:
        x = torch.cat(inputs)
        found = error_bound(layer, quantized, x)
        rows.append({
            "layer": name,
            "bound": found._asdict() | {
                "bound": found.bound, "holds": found.total <= found.bound * (1 + _EQUAL),
            },
            "terms": terms(name, layer, quantized, x)._asdict(),
        })  # fmt: skip

    quantize_(net, chosen, drawn, progress=progress, watch=watch)
    return Errors(
        model=model,
        recipe=chosen.model_dump(mode="json"),
        calibration=calibration.record(drawn),
        outliers=outliers,
        layers=rows,
        seconds=time.perf_counter() - start,
        provenance=provenance(),
    )


def table(result: Errors) -> Any:
    """A rich table of the layers: norms over that of the output, Eq. 4's terms over their sum."""
    from rich.table import Table

    shown = Table(title="norms over the output's; Eq. 4's terms (of weights alone) over their sum")
    shown.add_column("layer")
    for title in ("weights", "inputs", "bound", "measured", "rounding", "underflow", "cross"):
        shown.add_column(title, justify="right")
    for row in result.layers:
        bound, terms = row["bound"], row["terms"]
        norms = (bound[name] / (bound["output"] or 1) for name in ("weights", "inputs", "bound"))
        measured = f"{bound['total'] / (bound['output'] or 1):.4f}" + "  BEYOND" * (
            not bound["holds"]
        )
        parts = (terms[name] / (terms["total"] or 1) for name in ("rounding", "underflow", "cross"))
        shown.add_row(
            row["layer"], *(f"{x:.4f}" for x in norms), measured, *(f"{x:.3f}" for x in parts)
        )
    return shown
