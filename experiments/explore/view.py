"""An exploration in a report: tables, the picture of all points, and what bounds the ratio."""

from typing import Any

from macsmith.experiments.explore.findings import AREA, ENERGY
from macsmith.experiments.plots import marked, png

__all__ = ["PICTURE", "picture", "view"]

PICTURE = "exploration.png"
_MARKERS = {"mac": "o", "dot": "s", "shared": "^", "array": "D"}


def view(found: dict[str, Any]) -> dict[str, Any]:
    """What the templates show of `Exploration.summary`."""
    rungs = [
        rung | {"chosen": [_chosen(one) for one in rung["area_of"]]} for rung in found["ladder"]
    ]
    return found | {"ladder": rungs, "bound": _bound(found["ladder"][-1])}


def _chosen(row: dict[str, Any]) -> str:
    """Which row a rung took for its area."""
    lanes = f" of {row['lanes']}" if row["lanes"] > 1 else ""
    outputs = f" of {row['outputs']} outputs" if row["outputs"] > 1 else ""
    size = f" {row['rows']} x {row['cols']}" if row["unit"] == "array" else ""
    return (
        f"{row['weights']} {row['unit']}{lanes}{outputs}{size} {row['style']}, "
        f"{row['acc_width']} bits, {row[AREA]:.2f} um2"
    )


def _bound(rung: dict[str, Any]) -> dict[str, float] | None:
    """The best area of INT8 over INT4, near 2, and of dINT4 over INT4, which takes from it."""
    area, tax = rung["area_ratio"], rung["int4_area_ratio"]
    return {"int8": area * tax, "dint4": tax, "ratio": area} if area and tax else None


def picture(found: dict[str, Any]) -> bytes | None:
    """PNG: every point that counts, area against energy of a product, and each format's front."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    clouds = {name: rows for name, rows in found["clouds"].items() if rows}
    if not clouds:
        return None
    figure, axis = plt.subplots(figsize=(8.6, 5), layout="constrained")
    colours = plt.get_cmap("tab10" if len(clouds) <= 10 else "tab20").colors
    smallest = {name: min(row[AREA] for row in rows) for name, rows in clouds.items()}
    for k, weights in enumerate(sorted(clouds, key=lambda name: (-smallest[name], name))):
        rows, colour = clouds[weights], colours[k % len(colours)]
        for unit, marker in _MARKERS.items():
            mine = [row for row in rows if row["unit"] == unit]
            axis.plot([row[AREA] for row in mine], [row[ENERGY] for row in mine], marker,
                      color=colour, ms=4.5, alpha=0.55, mew=0)  # fmt: skip
        front = found["fronts"][weights]
        axis.plot([x for x, _ in front], [y for _, y in front], color=colour, lw=1.4,
                  drawstyle="steps-post", label=weights)  # fmt: skip
    axis.set_xlabel("area of one product a cycle (um$^2$)")
    axis.set_ylabel("energy per product (pJ)")
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.25)
    handles = axis.get_legend_handles_labels()[0]
    handles += [marked(unit, marker) for unit, marker in _MARKERS.items()]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=9)
    figure.suptitle(
        f"{found['measured']} points, activations INT8, operands of a layer, "
        f"{found['library']} at {found['clock_ps']:g} ps",
        fontsize=10,
    )
    return png(figure)
