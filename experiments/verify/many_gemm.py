"""Traffic of a GEMM tile: random tiles of many depths in arrays, and what they come to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.payloads import packed
from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.gemm import READY, beats_out, packed_beat
from macsmith.experiments.verify.gemm_cases import deepest
from macsmith.experiments.verify.gemm_layers import output_rows, requantized
from macsmith.experiments.verify.many import MOST
from macsmith.experiments.verify.many_arrays import (
    Plan,
    beat_fields,
    beats_of,
    element_sums,
    ends_of,
    picked,
    plan,
    rows_of,
    weight_beats,
)
from macsmith.experiments.verify.requantizing import any_size, scales_of
from macsmith.experiments.verify.traffic import Queue, Traffic
from macsmith.sim import ndarray
from macsmith.sim.requantize import RequantizeSpec, requantize

__all__ = ["many_gemm"]


@dataclass(frozen=True)
class _Flow:
    """What goes through the array of a tile.

    sources  by port, without ``tile``
    sinks    by port, without ``o``
    sums     int64 [segments, tiles, rows of a tile, cols]
    tiles    int64 [segments]
    golden   (segment) -> payloads of these ports, and rows of sums, by the golden model
    """

    sources: dict[str, Queue]
    sinks: dict[str, Queue]
    sums: NDArray[np.int64]
    tiles: NDArray[np.int64]
    golden: Callable[[int], tuple[dict[str, list[int]], list[list[int]]]]


def many_gemm(one: Instance, most: int = MOST) -> tuple[int, Traffic]:
    """Streams to play it in, and random tiles with ``most`` products or more."""
    rng = np.random.default_rng(0)
    how = plan(one, rng, most)
    component = get_unit(one.unit).make(one.spec, **one.options)
    numbers, exits = component.numbers, component.exits
    flow = {"output": _output, "weight": _weight}[component.dataflow](one, rng, how, component)
    scales, difference = _scaled(one, numbers, rng, flow.sums)
    y, in_arrays = _requantized(numbers, scales, flow.sums, difference)
    ends, out = rows_of(y, exits)
    shown = {"last": ends, "y": out}
    if one.options["sums"]:
        shown["sum"] = rows_of(difference, exits)[1]
    height, cols = flow.sums.shape[2:]
    beats_of_tile = height * cols // exits

    def golden(segment: int) -> dict[str, list[int]]:
        found, rows = flow.golden(segment)
        tiles = [
            {name: x[segment, k].tolist() for name, x in scales.items()}
            for k in range(flow.tiles[segment])
        ]
        found["tile"] = [packed_beat(component, "tile", tile) for tile in tiles]
        found["o"] = beats_out(component, requantized(tiles, rows, height, numbers))
        return found

    layouts = {name: getattr(component, name).payload.shape() for name in ("tile", "o")}
    traffic = Traffic(
        flow.sources | {"tile": Queue(packed(layouts["tile"], scales), flow.tiles)},
        flow.sinks | {"o": Queue(packed(layouts["o"], shown), flow.tiles * beats_of_tile)},
        READY[component.dataflow],
        products=np.full(how.segments, how.beats * component.rows * cols),
        results=flow.tiles * height * cols
        + sum((queue.count * cols for queue in flow.sinks.values()), np.zeros_like(flow.tiles)),
        cut=how.cut,
        golden=golden,
        in_arrays=in_arrays,
    )
    return how.streams, traffic


def _output(one: Instance, rng: np.random.Generator, how: Plan, component: Any) -> _Flow:
    a, w, z = beats_of(one, rng, how.shape)
    last = ends_of(rng, how.shape, component.rows)
    first = _begun(last, deepest(one))
    sums, tiles = picked(element_sums(one, a, w, z, first), last)
    fields = beat_fields(one, first, last, a, w, z)
    bits = packed(component.i.payload.shape(), fields)

    def golden(segment: int) -> tuple[dict[str, list[int]], list[list[int]]]:
        sent = [
            {name: x[segment, beat].tolist() for name, x in fields.items()}
            for beat in range(how.beats)
        ]
        sent = [beat | {n: int(beat[n][0]) for n in ("first", "last")} for beat in sent]
        rows = output_rows(one.spec, component.rows, component.cols, sent)
        return {"i": [packed_beat(component, "i", beat) for beat in sent]}, rows

    queue = Queue(bits, np.full(how.segments, how.beats))
    return _Flow({"i": queue}, {}, sums, tiles, golden)


def _weight(one: Instance, rng: np.random.Generator, how: Plan, component: Any) -> _Flow:
    """Half of the beats have ``last``; sums that enter are not those that have left before."""
    made = weight_beats(one, rng, how.shape, often=0.5)
    made.last[:, :2] = False, True  # of both kinds there is one
    (sums, tiles), (partial, left) = (picked(made.out, where) for where in (made.last, ~made.last))
    bits = made.payloads(component)
    port = component.partial.payload.shape()

    def golden(segment: int) -> tuple[dict[str, list[int]], list[list[int]]]:
        model = made.model(one, segment)
        ends = made.last[segment]
        rows = [row for row, last in zip(model.rows_out, ends, strict=True) if last]
        kept = [row for row, last in zip(model.rows_out, ends, strict=True) if not last]
        partial = [packed_beat(component, "partial", {"acc": row}) for row in kept]
        return {**model.sources, "partial": partial}, rows

    return _Flow(
        {
            "load": Queue(bits["load"], made.loads),
            "i": Queue(bits["i"], np.full(how.segments, how.beats)),
        },
        {"partial": Queue(packed(port, {"acc": partial}), left)},
        sums[:, :, None],
        tiles,
        golden,
    )


def _begun(last: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """Beats with ``first``: after each ``last``, which is set where a tile would be too deep."""
    depth = np.zeros(len(last), np.int64)
    for beat in range(last.shape[1]):
        depth += 1
        last[:, beat] |= depth == most
        depth[last[:, beat]] = 0
    first = np.roll(last, 1, axis=1)
    first[:, 0] = True
    return first


def _scaled(
    one: Instance, numbers: RequantizeSpec, rng: np.random.Generator, sums: NDArray[np.int64]
) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    """What belongs to each tile, [segments, tiles, parts], and its corrected sums."""
    spec, depth = one.spec, one.options["depth"]
    per_row, per_col = sums[..., 0], sums[..., 0, :]
    found, difference = {}, sums
    if numbers.correction_width:
        found["za"] = rng.integers(*spec.activations.level_range, per_row.shape, endpoint=True)
        low, high = (depth * level for level in spec.weights.level_range)
        any_sum = any_size(rng, min(low, -high - 1), max(high, -low - 1), per_col.shape)
        found["weight_sum"] = np.clip(any_sum, min(0, low), max(0, high))
        difference = sums - found["za"][..., None] * found["weight_sum"][..., None, :]
    row = rng.integers(0, sums.shape[2], per_col.shape)[..., None, :]
    fitted = np.take_along_axis(difference, row, axis=2)[..., 0, :]
    found["multiplier"], found["shift"] = scales_of(numbers, rng, fitted)
    found["zero_point"] = any_size(rng, *numbers.out_range, per_col.shape)
    return found, difference


def _requantized(
    numbers: RequantizeSpec, scales: dict, sums: NDArray[np.int64], difference: NDArray[np.int64]
) -> tuple[NDArray[np.int64], bool]:
    """Every result, and whether it is a model's in arrays: what int64 may not hold is golden's."""
    operands = [
        np.broadcast_to(scales[name][..., None, :], sums.shape)
        for name in ("multiplier", "shift", "zero_point")
    ]
    correction = sums - difference
    if numbers.product_width <= ndarray.WIDEST:
        return ndarray.requantize(sums, *operands, numbers, correction=correction), True
    columns = zip(*(x.ravel().tolist() for x in (sums, *operands, correction)), strict=True)
    found = [requantize(*four, numbers, correction=wrong) for *four, wrong in columns]
    return np.array(found).reshape(sums.shape), False
