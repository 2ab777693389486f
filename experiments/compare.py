"""`macsmith eval --compare`: how far exact execution is from float, layer by layer."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from macsmith.experiments import loading
from macsmith.experiments.inference import Result, prepare
from macsmith.experiments.loading import Loading
from macsmith.experiments.models import locate
from macsmith.experiments.models.calibration import USUAL, Calibration
from macsmith.experiments.store import provenance

__all__ = ["Compared", "compare_model", "table"]

WINDOWS, WINDOW = 2, 128  # exact attention takes a product for each head: seconds a window


@dataclass(frozen=True, kw_only=True)
class Compared(Result):
    """Every layer of a quantized model, exact against float."""

    recipe: dict[str, Any]
    calibration: dict[str, Any] | None
    layers: list[dict[str, Any]]  # as of `macsmith.quant.compare.Difference`, and whether it holds
    holds: bool  # in all of them
    windows: int
    window: int
    text: str
    ids_sha256: str

    def lines(self) -> list[str]:
        worst = max(self.layers, key=lambda row: row["of_bound"])
        beyond = [row["layer"] for row in self.layers if not row["holds"]]
        verdict = (
            f"the bound holds in all {len(self.layers)}; {worst['layer']} uses "
            f"{worst['of_bound']:.2g} of it"
            if self.holds
            else f"BEYOND the bound in {len(beyond)} of {len(self.layers)}, the first is "
            f"{beyond[0]}: an accumulator that overflows, or a fault"
        )
        return [
            f"{verdict}; {self.windows} windows of {self.window} tokens, {self.text}, ids "
            f"{self.ids_sha256[:16]}, {self.seconds:.1f} s"
        ]


def compare_model(
    model: str,
    recipe: str | None = None,
    *,
    text: Path | None = None,
    window: int | None = None,
    limit: int | None = None,
    calibration: Calibration = USUAL,
    where: Loading = loading.USUAL,
    progress: Callable[[int, int], None] | None = None,
) -> Compared:
    """Every layer of ``model``, quantized by ``recipe`` if given, on the inputs that it meets.

    On the first ``limit`` windows of the text, else 2, of ``window`` tokens, else 128 or the
    model's context. ValueError as of `prepare` and `macsmith.quant.compare.compare`.
    """
    from macsmith.experiments.models.text import evaluation_text
    from macsmith.quant.compare import compare
    from macsmith.quant.evaluate import context, hash_ids
    from macsmith.quant.io import load_tokenizer

    start = time.perf_counter()
    count = WINDOWS if limit is None else limit
    if count < 1:
        raise ValueError(f"limit must be at least one window, not {limit}")
    net, used, calibrated = prepare(model, recipe, "exact", calibration, where)
    size = min(WINDOW, context(net)) if window is None else window
    if not 1 <= size <= context(net):
        raise ValueError(f"window: the model reads 1 to {context(net)} tokens, not {size}")
    tokens = evaluation_text(load_tokenizer(locate(model)), text or "docs")
    if tokens.count < size:
        raise ValueError(f"text too short: wanted one window of {size} tokens, got {tokens.count}")
    count = min(count, tokens.count // size)
    ids = tokens.ids[: count * size].view(count, size)
    found = compare(net, ids, progress=progress)
    return Compared(
        model=model,
        recipe=used,
        calibration=calibrated,
        layers=[asdict(one) | {"holds": one.holds} for one in found],
        holds=all(one.holds for one in found),
        windows=count,
        window=size,
        text=tokens.source,
        ids_sha256=hash_ids(ids.flatten()),
        seconds=time.perf_counter() - start,
        provenance=provenance(),
    )


def table(result: Compared) -> Any:
    """A rich table of the layers."""
    from rich.table import Table

    shown = Table(title="exact against float execution")
    shown.add_column("layer")
    for title in ("largest difference", "ulps", "part of the bound", "outputs that differ"):
        shown.add_column(title, justify="right")
    for row in result.layers:
        shown.add_row(
            row["layer"],
            f"{row['largest']:.3g}",
            f"{row['ulps']:.1f}",
            f"{row['of_bound']:.2g}" + ("" if row["holds"] else "  BEYOND"),
            f"{row['differing']} of {row['outputs']}",
        )
    return shown
