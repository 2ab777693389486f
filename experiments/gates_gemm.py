"""How a GEMM tile's netlist is driven with operands, and what it must answer.

As an array (`gates_arrays`) it is driven with what is known beforehand: beats come without a pause,
what leaves is taken at once, and where its rows leave slower than they are done, the array stands
still for a known time. Rows are tokens and columns channels: stream s is a tile of the activations
of the streams from s on, and of the weights of the streams from s on.

Each channel is scaled as an output layer's quantizer would: its least and greatest corrected sum,
over all tokens, become the ends of the results' range.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.gates import ENGINE, Gates
from macsmith.experiments.gates_arrays import SAMPLE, bounds, output_beats, sums_of, tiled
from macsmith.experiments.operands import Operands
from macsmith.experiments.payloads import numbers_of, packed
from macsmith.sim import ndarray
from macsmith.sim.codec import decode
from macsmith.sim.requantize import fixed_point, requantize

__all__ = ["GEMMS"]


@dataclass(frozen=True)
class _Timing:
    """When it is that nothing waits for the outside.

    Attributes
    ----------
    lasts : int64 [steps of the array]
        Cycles of each: a row that leaves takes as many as there are results of an exit in it.
    rows : int64 [sums, rows]
        Cycle in which the first results of each row enter the exit.
    taken : int64 [sums]
        Cycle in which what belongs to a tile is taken, with its last row.
    cycles : int
        Up to the last results.
    """

    lasts: NDArray[np.int64]
    rows: NDArray[np.int64]
    taken: NDArray[np.int64]
    cycles: int

    @classmethod
    def of(cls, operands: Operands, tile: Any) -> "_Timing":
        slow = tile.cols // tile.exits
        ends = np.array([end for _, end in bounds(operands)])
        steps = ends[:, None] - 1 + tile.array.latency + np.arange(tile.rows)
        lasts = np.ones(steps.max() + 1, np.int64)
        lasts[steps] = slow
        rows = (np.cumsum(lasts) - lasts)[steps]
        taken = rows[:, -1] + slow - 1
        return cls(lasts, rows, taken, int(taken[-1]) + tile.exit.latency + 1)


def _scales(operands: Operands, tile: Any, start: int, end: int) -> tuple[dict, NDArray, NDArray]:
    """Of the sums of these products: what belongs to each token or channel (``za``, ``weight_sum``,
    ``multiplier``, ``shift``, ``zero_point``), sums, corrections; the last two [tokens, channels].
    """
    numbers, count = tile.numbers, len(operands.w)
    if end - start > tile.depth:
        raise ValueError(f"a tile for {tile.depth} products of a sum cannot take {end - start}")
    sums = sums_of(operands, tile, start, end)
    found, corrections = {}, np.zeros_like(sums)
    if numbers.correction_width:
        z = None if operands.z is None else operands.z[:, start]
        levels = decode(operands.w[:, start:end], tile.spec.weights, z)
        none = np.zeros(count, np.int64)
        found["za"] = none if operands.za is None else operands.za[:, start].astype(np.int64)
        found["weight_sum"] = levels.astype(np.int64).sum(axis=1)
        corrections = np.outer(found["za"], found["weight_sum"])
    low, high = ((sums - corrections).min(axis=0), (sums - corrections).max(axis=0))
    least, greatest = numbers.out_range
    factors = (greatest - least) / np.maximum(high - low, 1)
    scales = [fixed_point(float(factor), numbers) for factor in factors]
    found["multiplier"], found["shift"] = np.array(scales, np.int64).T
    zeros = np.rint(least - low * factors)
    found["zero_point"] = np.clip(zeros, least, greatest).astype(np.int64)
    return found, sums, corrections


def _results(operands: Operands, tile: Any, start: int, end: int) -> NDArray[np.int64]:
    """Requantized sums of these products, [tokens, channels].

    AssertionError where they are not golden's, in a sample.
    """
    numbers = tile.numbers
    scales, sums, corrections = _scales(operands, tile, start, end)
    each = [scales[name] for name in ("multiplier", "shift", "zero_point")]

    def golden(t: int, n: int) -> int:
        return requantize(
            int(sums[t, n]), *(int(x[n]) for x in each), numbers, correction=int(corrections[t, n])
        )

    places = np.ndindex(sums.shape)
    if numbers.product_width > ndarray.WIDEST:
        return np.array([golden(t, n) for t, n in places]).reshape(sums.shape)
    wide = [np.broadcast_to(x, sums.shape) for x in each]
    found = ndarray.requantize(sums, *wide, numbers, correction=corrections)
    for k in range(SAMPLE):
        t, n = k * (len(sums) - 1) // (SAMPLE - 1), (7 * k + start) % len(sums)
        if found[t, n] != golden(t, n):
            raise AssertionError(f"the result of stream {t} and stream {n} is not golden's")
    return found


def _stimulus(operands: Operands, tile: Any) -> dict[str, NDArray]:
    beats = output_beats(operands, tile)
    streams, count = beats.shape[:2]
    timing = _Timing.of(operands, tile)
    cycle = np.arange(timing.cycles)
    # The beat of the step that a cycle belongs to; after the last one its payload stays.
    step = np.searchsorted(np.cumsum(timing.lasts), cycle, side="right")
    place = np.searchsorted(timing.taken, cycle, side="left")
    scales = [_scales(operands, tile, *ends)[0] for ends in bounds(operands)]
    fields = {}
    for name in scales[0]:
        parts = tile.rows if name == "za" else tile.cols
        of_stream = np.arange(streams)[:, None] + np.arange(parts)
        fields[name] = np.stack([one[name][of_stream % streams] for one in scales], axis=1)
    tiles = packed(tile.tile.payload.shape(), fields)
    return {
        "i__payload": beats[:, np.minimum(step, count - 1)],
        "i__valid": (step < count)[None].astype(np.uint8),
        "tile__payload": tiles[:, np.minimum(place, len(scales) - 1)],
        "tile__valid": (place < len(scales))[None].astype(np.uint8),
        "o__ready": np.ones((1, timing.cycles), np.uint8),
    }


def _expected(operands: Operands, tile: Any) -> NDArray[np.int64]:
    timing = _Timing.of(operands, tile)
    due = np.full((len(operands.w), timing.cycles, tile.exits), -1)
    mask = 2**tile.numbers.out_width - 1
    for rows, ends in zip(timing.rows, bounds(operands), strict=True):
        y = tiled(_results(operands, tile, *ends) & mask, tile.rows, tile.cols)
        for r, begin in enumerate(rows + tile.exit.latency - tile.latency):
            for k in range(tile.cols // tile.exits):
                due[:, begin + k] = y[:, r, k * tile.exits : (k + 1) * tile.exits]
    return due


def _shown(shown: NDArray[np.int64], tile: Any) -> NDArray[np.int64]:
    """Of the payload's bits the results, without ``last`` and what is beside them."""
    width = tile.numbers.out_width
    return numbers_of(shown[..., 1 : 1 + tile.exits * width], width)


GEMMS = Gates(
    _stimulus,
    "o__payload",
    _expected,
    parts=lambda tile: tile.o.payload.shape().size,
    products=lambda operands, tile: operands.products * tile.rows * tile.cols,
    results=_shown,
    strobe="o__valid",
    reference=ENGINE,
)
