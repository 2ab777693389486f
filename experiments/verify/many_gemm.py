"""Traffic of a GEMM tile: random tiles of many depths in arrays, and what they come to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.payloads import packed
from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.gemm import READY, beats_out, deepest, packed_beat
from macsmith.experiments.verify.gemm_layers import results
from macsmith.experiments.verify.many import MOST
from macsmith.experiments.verify.many_arrays import (
    beat_fields,
    beats_of,
    element_sums,
    ends_of,
    picked,
    plan,
    rows_of,
)
from macsmith.experiments.verify.requantizing import any_size, scales_of
from macsmith.experiments.verify.traffic import Queue, Traffic
from macsmith.sim import ndarray
from macsmith.sim.requantize import RequantizeSpec, requantize
from macsmith.sim.spec import MacSpec

__all__ = ["many_gemm"]


@dataclass(frozen=True)
class _Tile:
    """A tile as `gemm_layers.results` wants a layer: beats and what belongs to them, as sent."""

    spec: MacSpec
    rows: int
    cols: int
    sent: list[dict[str, Any]]
    scales: dict[str, list[int]]

    @property
    def depth(self) -> int:
        return len(self.sent)

    def beats(self) -> Iterator[dict]:
        return iter(self.sent)

    def tiles(self) -> Iterator[dict]:
        return iter([self.scales])


def many_gemm(one: Instance, most: int = MOST) -> tuple[int, Traffic]:
    """Streams to play it in, and random tiles with ``most`` products or more."""
    rng = np.random.default_rng(0)
    how = plan(one, rng, most)
    component = get_unit(one.unit).make(one.spec, **one.options)
    numbers, rows, exits = component.numbers, one.options["rows"], one.options["exits"]
    a, w, z = beats_of(one, rng, how.shape)
    last = ends_of(rng, how.shape, rows)
    first = _begun(last, deepest(one))
    sums, tiles = picked(element_sums(one, a, w, z, first), last)
    scales, difference = _scaled(one, numbers, rng, sums)
    y, in_arrays = _requantized(numbers, scales, sums, difference)
    fields = beat_fields(one, first, last, a, w, z)
    ends, out = rows_of(y, exits)
    shown = {"last": ends, "y": out}
    if one.options["sums"]:
        shown["sum"] = rows_of(difference, exits)[1]
    size = sums.shape[2] * sums.shape[3]

    def golden(segment: int) -> dict[str, list[int]]:
        sent = [
            {name: x[segment, beat].tolist() for name, x in fields.items()}
            for beat in range(how.beats)
        ]
        sent = [beat | {n: int(beat[n][0]) for n in ("first", "last")} for beat in sent]
        found: dict[str, list[int]] = {"i": [], "tile": [], "o": []}
        found["i"] = [packed_beat(component, "i", beat) for beat in sent]
        starts = [*np.flatnonzero(first[segment]).tolist(), how.beats]
        for k in range(tiles[segment]):
            mine = {name: x[segment, k].tolist() for name, x in scales.items()}
            tile = _Tile(one.spec, *sums.shape[2:], sent[starts[k] : starts[k + 1]], mine)
            found["tile"].append(packed_beat(component, "tile", mine))
            found["o"] += beats_out(component, list(results(tile, numbers)))
        return found

    layouts = {name: getattr(component, name).payload.shape() for name in ("i", "tile", "o")}
    traffic = Traffic(
        {
            "i": Queue(packed(layouts["i"], fields), np.full(how.segments, how.beats)),
            "tile": Queue(packed(layouts["tile"], scales), tiles),
        },
        {"o": Queue(packed(layouts["o"], shown), tiles * (size // exits))},
        READY,
        products=np.full(how.segments, how.beats * size),
        results=tiles * size,
        cut=how.cut,
        golden=golden,
        in_arrays=in_arrays,
    )
    return how.streams, traffic


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
