"""The report's pictures: accuracy against area, accuracy against energy."""

import io
from typing import Any

__all__ = ["marked", "pareto", "png"]

MARKERS = "osD^vP*Xh<>p"
PANELS = (("area_um2", "area of one MAC (um$^2$)"), ("energy_pj", "energy per product (pJ)"))


def pareto(points: list[dict[str, Any]], library: str, clock_ps: float) -> bytes:
    """PNG of two panels; a point has model, format, ratio (of perplexities), area_um2, energy_pj.

    The vertical axis is perplexity over the model's own in FP32, so that models share it.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    formats = sorted({p["format"] for p in points}, key=_order(points))
    models = sorted({p["model"] for p in points})
    colours = dict(zip(models, ("#1f5fa8", "#d1642a", "#3a8f5c"), strict=False))
    figure, axes = plt.subplots(
        1, len(PANELS), figsize=(10, 4.2), sharey=True, layout="constrained"
    )
    for axis, (key, label) in zip(axes, PANELS, strict=True):
        for model in models:
            mine = sorted((p for p in points if p["model"] == model), key=lambda p: p[key])
            front = _front(mine, key)
            axis.plot([p[key] for p in front], [p["ratio"] for p in front],
                      color=colours[model], lw=1, alpha=0.5, drawstyle="steps-post")  # fmt: skip
            for p in mine:
                marker = MARKERS[formats.index(p["format"]) % len(MARKERS)]
                axis.plot(p[key], p["ratio"], marker, color=colours[model], ms=7)
        axis.set_xlabel(label)
        axis.set_xlim(left=0)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel("perplexity / perplexity in FP32")
    lines = [plt.Line2D([], [], color=colours[m], label=m) for m in models]
    lines += [marked(fmt, MARKERS[i % len(MARKERS)]) for i, fmt in enumerate(formats)]
    figure.legend(handles=lines, loc="outside right upper", frameon=False, fontsize=9)
    figure.suptitle(
        f"8-bit activations, 32-bit accumulator, the smaller of plain and Booth multipliers, "
        f"{library} at {clock_ps:g} ps",
        fontsize=10,
    )
    return png(figure)


def marked(name: str, marker: str) -> Any:
    """A legend's entry for a marker, whatever its colour."""
    from matplotlib import pyplot as plt

    return plt.Line2D([], [], color="grey", ls="", marker=marker, label=name)


def png(figure: Any) -> bytes:
    """The picture, which is closed; the same bytes for the same picture."""
    from matplotlib import pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def _front(points: list[dict], key: str) -> list[dict]:
    """Points, by ascending ``key``, that no cheaper one equals in perplexity."""
    front: list[dict] = []
    for p in points:
        if not front or p["ratio"] < front[-1]["ratio"]:
            front.append(p)
    return front


def _order(points: list[dict]):
    area = {p["format"]: p["area_um2"] for p in points}
    return lambda fmt: (-area[fmt], fmt)
