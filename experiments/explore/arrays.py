"""Arrays of many elements, measured on small ones: what an element costs, and what the edges do.

Logic grows by an element for each row and column, by an edge for each row and each column, and not
otherwise: four small arrays tell all of that. Flip-flops grow with the square of rows and columns
besides, since row r is delayed r times; two more arrays tell that. Counters, which grow with the
logarithm, and what a larger array needs to drive its common strobes over more elements are missed.
"""

from collections.abc import Mapping
from typing import Any

from macsmith.experiments.units import get_unit
from macsmith.hw.pdk import Pdk
from macsmith.hw.synth import Synthesis, synthesize
from macsmith.sim.spec import MacSpec

__all__ = ["SIZES", "extrapolated", "measure_array"]

_SMALL, _MIDDLE, _LARGE = 2, 3, 4
_CORNERS = tuple((r, c) for r in (_SMALL, _LARGE) for c in (_SMALL, _LARGE))
#: Rows and columns of the arrays that are synthesised.
SIZES = (*_CORNERS, (_MIDDLE, _SMALL), (_SMALL, _MIDDLE))
#: Fields that are those of the slowest one.
_SHARED = ("delay_ps", "met", "endpoint", "voltage", "library_sha256")


def measure_array(
    spec: MacSpec, style: str, rows: int, cols: int, technology: Pdk, clock_ps: float, adders: str,
    options: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Area, flip-flops and delay of an array of ``rows`` by ``cols``.

    ``options`` are its others. Fields are those of `measure.Measurement` as far as there are any;
    the delay is the longest one of `SIZES`. ValueError where it cannot be built.
    """
    make = get_unit("array").make
    options = {**options, "style": style}
    make(spec, rows=rows, cols=cols, **options)  # the one that is asked for must be possible
    found = {
        (r, c): synthesize(
            make(spec, rows=r, cols=c, **options),
            technology,
            clock_ps=clock_ps,
            name="array",
            adders=adders,
        )
        for r, c in SIZES
    }
    slowest = max(found.values(), key=lambda one: one.delay_ps or 0.0)
    area, flops, sequential = extrapolated(found, rows, cols)
    return {
        **{name: value for name, value in slowest.as_dict().items() if name in _SHARED},
        "acc_width": spec.acc_width,
        "area_um2": area,
        "sequential_um2": sequential,
        "flops": flops,
        "recipe": ", ".join(sorted({one.recipe for one in found.values()})),
        **dict.fromkeys(("dynamic_pj", "leakage_pj", "power_mw", "netlist_equal")),
        "synthesised": [f"{r} x {c}" for r, c in SIZES],
    }


def extrapolated(
    found: Mapping[tuple[int, int], Synthesis], rows: int, cols: int
) -> tuple[float, int, float]:
    """Area in um2, flip-flops, and their area, of ``rows`` by ``cols`` from those of `SIZES`."""
    largest = found[_LARGE, _LARGE]
    logic = {size: one.area_um2 - one.sequential_um2 for size, one in found.items()}
    flops = {size: one.flops for size, one in found.items()}
    count = _bilinear(flops, rows, cols)
    for length, middle, end in (
        (rows, (_MIDDLE, _SMALL), (_LARGE, _SMALL)),
        (cols, (_SMALL, _MIDDLE), (_SMALL, _LARGE)),
    ):
        bend = flops[end] - 2 * flops[middle] + flops[_SMALL, _SMALL]
        count += bend * (length - _SMALL) * (length - _LARGE) / 2
    sequential = count * largest.sequential_um2 / largest.flops
    return _bilinear(logic, rows, cols) + sequential, round(count), sequential


def _bilinear(values: Mapping[tuple[int, int], float], rows: int, cols: int) -> float:
    """Through the four corners."""

    def weights(n: int) -> dict[int, float]:
        share = (n - _SMALL) / (_LARGE - _SMALL)
        return {_SMALL: 1 - share, _LARGE: share}

    by_row, by_col = weights(rows), weights(cols)
    return sum(by_row[r] * by_col[c] * values[r, c] for r, c in _CORNERS)
