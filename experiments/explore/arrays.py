"""Arrays of many elements, measured on small ones: what an element costs, and what the edges do.

Logic grows by an element for each row and column, by an edge for each row and each column, and not
otherwise: four small arrays tell all of that. Flip-flops grow with the square of rows and columns
besides, since row r is delayed r times; two more arrays tell that. Counters, which grow with the
logarithm, and what a larger array needs to drive its common strobes over more elements are missed.

Energy of a cycle is extrapolated as area is: that of the logic, and, for each flip-flop, that of
all flip-flops and the clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from macsmith.experiments.measure import driven
from macsmith.experiments.operands import Operands
from macsmith.experiments.units import get_unit
from macsmith.hw.clocking import clock_tree
from macsmith.hw.pdk import Pdk
from macsmith.hw.power import Energy
from macsmith.hw.synth import Synthesis, synthesize
from macsmith.sim.spec import MacSpec

__all__ = ["SIZES", "Small", "extrapolated", "measure_array"]

_SMALL, _MIDDLE, _LARGE = 2, 3, 4
_CORNERS = tuple((r, c) for r in (_SMALL, _LARGE) for c in (_SMALL, _LARGE))
#: Rows and columns of the arrays that are synthesised.
SIZES = (*_CORNERS, (_MIDDLE, _SMALL), (_SMALL, _MIDDLE))
#: Fields that are those of the slowest one.
_SHARED = ("delay_ps", "met", "endpoint", "voltage", "library_sha256")


@dataclass(frozen=True)
class Small:
    """An array that was synthesised: flip-flops, and what they and the rest have of a quantity."""

    flops: int
    sequential: float
    total: float


def measure_array(
    spec: MacSpec, style: str, rows: int, cols: int, technology: Pdk, clock_ps: float, adders: str,
    options: Mapping[str, Any], operands: Operands,
) -> dict[str, Any]:  # fmt: skip
    """Area, flip-flops, delay and energy of an array of ``rows`` by ``cols``.

    ``options`` are its others. Fields are those of `measure.Measurement` as far as there are any;
    the delay is the longest one of `SIZES`, and all of their netlists are compared with golden.
    ValueError where it cannot be built.
    """
    unit = get_unit("array")
    options = {**options, "style": style}
    unit.make(spec, rows=rows, cols=cols, **options)  # the one that is asked for must be possible
    found: dict[tuple[int, int], Synthesis] = {}
    spent: dict[tuple[int, int], Energy] = {}
    compared = different = 0
    for size in SIZES:
        component = unit.make(spec, rows=size[0], cols=size[1], **options)
        found[size] = synthesize(
            component, technology, clock_ps=clock_ps, name="array", adders=adders
        )
        spent[size], results, wrong = driven(unit.gates, component, found[size], operands)
        compared, different = compared + results, different + wrong
    if any(one.area_um2 is None for one in found.values()):
        raise ValueError("an array is put together from areas, and the library has none")
    slowest = max(found.values(), key=lambda one: one.delay_ps or 0.0)
    areas = {s: Small(one.flops, one.sequential_um2, one.area_um2) for s, one in found.items()}
    area, flops, sequential = extrapolated(areas, rows, cols)
    cycles = {s: _of_a_cycle(found[s], spent[s], s[0] * s[1]) for s in SIZES}
    dynamic = extrapolated(cycles, rows, cols)[0] / (rows * cols)
    largest = _LARGE, _LARGE
    # As busy as the largest of them: waits at both ends are of streams, and not of a size.
    larger, grown = rows * cols / _LARGE**2, area / found[largest].area_um2
    per_cycle = spent[largest].per_cycle * larger
    leakage = spent[largest].leakage_pj * grown / larger
    return {
        **{name: value for name, value in slowest.as_dict().items() if name in _SHARED},
        "acc_width": spec.acc_width,
        "area_um2": area,
        "sequential_um2": sequential,
        "flops": flops,
        "recipe": ", ".join(sorted({one.recipe for one in found.values()})),
        "dynamic_pj": dynamic,
        "leakage_pj": leakage,
        "leakage_nw": spent[largest].leakage_nw * grown,
        "per_cycle": per_cycle,
        "power_mw": (dynamic + leakage) * per_cycle / clock_ps * 1e3,  # pJ/ps = W
        "operands": operands.source,
        "netlist_equal": different == 0,
        "netlist_compared": compared,
        "netlist_different": different,
        "synthesised": [f"{r} x {c}" for r, c in SIZES],
    }


def _of_a_cycle(one: Synthesis, spent: Energy, elements: int) -> Small:
    """Energy in pJ: of the flip-flops, with the clock, and of all."""
    tree = clock_tree(one.netlist, one.technology, "clk")
    flops = sum(spent.by_cell[one.netlist.instances[index].name] for index in tree.flip_flops)
    clock = sum(spent.by_net[one.netlist.net_names[net]] for net in tree.nets)
    return Small(one.flops, (flops + clock) * elements, spent.dynamic_pj * elements)


def extrapolated(
    found: Mapping[tuple[int, int], Small], rows: int, cols: int
) -> tuple[float, int, float]:
    """All, flip-flops, and their part, of ``rows`` by ``cols`` from those of `SIZES`."""
    largest = found[_LARGE, _LARGE]
    logic = {size: one.total - one.sequential for size, one in found.items()}
    flops = {size: one.flops for size, one in found.items()}
    count = _bilinear(flops, rows, cols)
    for length, middle, end in (
        (rows, (_MIDDLE, _SMALL), (_LARGE, _SMALL)),
        (cols, (_SMALL, _MIDDLE), (_SMALL, _LARGE)),
    ):
        bend = flops[end] - 2 * flops[middle] + flops[_SMALL, _SMALL]
        count += bend * (length - _SMALL) * (length - _LARGE) / 2
    sequential = count * largest.sequential / largest.flops
    return _bilinear(logic, rows, cols) + sequential, round(count), sequential


def _bilinear(values: Mapping[tuple[int, int], float], rows: int, cols: int) -> float:
    """Through the four corners."""

    def weights(n: int) -> dict[int, float]:
        share = (n - _SMALL) / (_LARGE - _SMALL)
        return {_SMALL: 1 - share, _LARGE: share}

    by_row, by_col = weights(rows), weights(cols)
    return sum(by_row[r] * by_col[c] * values[r, c] for r, c in _CORNERS)
