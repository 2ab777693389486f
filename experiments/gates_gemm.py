"""How a GEMM tile's netlist is driven with operands, and what it must answer.

As an array (`gates_arrays`) it is driven with what is known beforehand: beats come without a pause,
what leaves is taken at once, and where its rows leave slower than they are done, the array stands
still for a known time. Rows ("weight": beats) are tokens and columns channels: stream s is a tile
of the activations of the streams from s on, and of the weights of the streams from s on. Of a
weight-stationary tile the whole sums are compared, at ``o``, and not the partial ones.

Each channel is scaled as an output layer's quantizer would: its least and greatest corrected sum,
over all tokens, become the ends of the results' range.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.gates import ENGINE, Gates
from macsmith.experiments.gates_arrays import (
    SAMPLE,
    bounds,
    output_beats,
    sums_of,
    tiled,
    weight_passes,
    weight_stimulus,
)
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
    rows : int64 [tiles, rows]
        Cycle in which the first results of each row enter the exit.
    taken : int64 [tiles]
        Cycle in which what belongs to a tile is taken, with its last row.
    cycles : int
        Up to the last results.
    """

    lasts: NDArray[np.int64]
    rows: NDArray[np.int64]
    taken: NDArray[np.int64]
    cycles: int

    @classmethod
    def of(cls, steps: NDArray[np.int64], beats: int, tile: Any) -> "_Timing":
        """From the step [sums, rows] in which each row is in front of the exit."""
        slow = tile.cols // tile.exits
        lasts = np.ones(max(steps.max() + 1, beats), np.int64)
        lasts[steps] = slow
        rows = (np.cumsum(lasts) - lasts)[steps]
        taken = rows[:, -1] + slow - 1
        end = max(taken[-1] + tile.exit.latency + 1, lasts[:beats].sum())
        return cls(lasts, rows, taken, int(end))

    def steps(self) -> NDArray[np.int64]:
        """The step that each cycle belongs to."""
        return np.searchsorted(np.cumsum(self.lasts), np.arange(self.cycles), side="right")


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


def _tiles(
    operands: Operands, tile: Any, timing: _Timing, sums: Sequence[tuple[int, int]], tokens: int
) -> dict[str, NDArray]:
    """What belongs to each tile, of ``tokens`` of a sum, at ``tile``."""
    fields: dict[str, list[NDArray]] = {}
    stream = np.arange(len(operands.w))[:, None]
    for start, end in sums:
        for name, one in _scales(operands, tile, start, end)[0].items():
            parts = (stream + np.arange(tokens if name == "za" else tile.cols)) % len(stream)
            of_sum = one[parts]
            if name == "za":
                shape = len(stream), tokens // tile.exit.rows, tile.exit.rows
                of_sum = of_sum.reshape(shape)
            else:
                of_sum = np.repeat(of_sum[:, None], tokens // tile.exit.rows, axis=1)
            fields.setdefault(name, []).append(of_sum)
    every = {name: np.concatenate(parts, axis=1) for name, parts in fields.items()}
    tiles = packed(tile.tile.payload.shape(), every)
    place = np.searchsorted(timing.taken, np.arange(timing.cycles), side="left")
    return {
        "tile__payload": tiles[:, np.minimum(place, tiles.shape[1] - 1)],
        "tile__valid": (place < tiles.shape[1])[None].astype(np.uint8),
        "o__ready": np.ones((1, timing.cycles), np.uint8),
    }


def _due(
    operands: Operands, tile: Any, timing: _Timing, sums: Sequence[tuple[int, int]], tokens: int
) -> NDArray[np.int64]:
    """What ``o`` shows, from the cycle of the first operands and the tile's latency on."""
    due = np.full((len(operands.w), timing.cycles, tile.exits), -1)
    mask = 2**tile.numbers.out_width - 1
    rows = timing.rows.reshape(len(sums), tokens)
    for begins, ends in zip(rows, sums, strict=True):
        y = tiled(_results(operands, tile, *ends) & mask, tokens, tile.cols)
        for r, begin in enumerate(begins + tile.exit.latency - tile.latency):
            for k in range(tile.cols // tile.exits):
                due[:, begin + k] = y[:, r, k * tile.exits : (k + 1) * tile.exits]
    return due


class _OutputStationary:
    """A beat in each step; after its last one a sum's rows leave."""

    @staticmethod
    def _timing(operands: Operands, tile: Any) -> _Timing:
        ends = np.array([end for _, end in bounds(operands)])
        steps = ends[:, None] - 1 + tile.array.latency + np.arange(tile.rows)
        return _Timing.of(steps, operands.w.shape[1], tile)

    @classmethod
    def stimulus(cls, operands: Operands, tile: Any) -> dict[str, NDArray]:
        beats = output_beats(operands, tile)
        timing, count = cls._timing(operands, tile), beats.shape[1]
        step = timing.steps()  # after the last one its payload stays
        return {
            "i__payload": beats[:, np.minimum(step, count - 1)],
            "i__valid": (step < count)[None].astype(np.uint8),
            **_tiles(operands, tile, timing, bounds(operands), tile.rows),
        }

    @classmethod
    def expected(cls, operands: Operands, tile: Any) -> NDArray[np.int64]:
        return _due(operands, tile, cls._timing(operands, tile), bounds(operands), tile.rows)

    @staticmethod
    def products(operands: Operands, tile: Any) -> int:
        return operands.products * tile.rows * tile.cols


class _WeightStationary:
    """The passes of whole sums: as many sums, evenly spaced and at least one, as make about as many
    beats as a stream has products."""

    @staticmethod
    def _passes(operands: Operands, tile: Any) -> list[tuple[int, int, int]]:
        every = weight_passes(operands, tile)
        starts = [start for start, first, _ in every if start == first]
        beats = len(operands.w) * (every[0][2] + 1)
        count = max(1, min(len(starts), operands.w.shape[1] // beats))
        chosen = {starts[k * len(starts) // count] for k in range(count)}
        return [one for one in every if one[0] in chosen]

    @classmethod
    def _timing(cls, operands: Operands, tile: Any) -> tuple[_Timing, list[tuple[int, int]]]:
        """And the products of each sum, from where it starts to where it ends."""
        passes, tokens = cls._passes(operands, tile), len(operands.w)
        whole = [k for k, (_, _, more) in enumerate(passes) if not more]
        begin = tile.rows + tokens * np.array(whole)[:, None]
        steps = (begin + np.arange(tokens) + tile.array.latency).reshape(-1, 1)
        sums = [(passes[k][0], passes[k][1] + tile.rows) for k in whole]
        return _Timing.of(steps, tile.rows + tokens * len(passes), tile), sums

    @classmethod
    def stimulus(cls, operands: Operands, tile: Any) -> dict[str, NDArray]:
        timing, sums = cls._timing(operands, tile)
        passes = cls._passes(operands, tile)
        inner = weight_stimulus(operands, tile, [one[:2] for one in passes])
        last = np.repeat([not more for *_, more in passes], len(operands.w))
        inner["i__payload"][:, tile.rows :, 1] = last
        count = inner["i__valid"].shape[1]
        step = timing.steps()
        here = np.minimum(step, count - 1)
        found = {name: inner[name][:, here] for name in inner if name != "o__ready"}
        found["i__valid"] *= step < count
        # A row of weights is taken in any cycle, also of a step that lasts for several.
        found["load__valid"] *= np.append(True, step[1:] != step[:-1]) & (step < count)
        tiles = _tiles(operands, tile, timing, sums, len(operands.w))
        return {**found, **tiles, "partial__ready": np.ones((1, timing.cycles), np.uint8)}

    @classmethod
    def expected(cls, operands: Operands, tile: Any) -> NDArray[np.int64]:
        timing, sums = cls._timing(operands, tile)
        return _due(operands, tile, timing, sums, len(operands.w))

    @classmethod
    def products(cls, operands: Operands, tile: Any) -> int:
        beats = len(cls._passes(operands, tile)) * len(operands.w) ** 2
        return beats * tile.rows * tile.cols


_FLOWS = {"output": _OutputStationary, "weight": _WeightStationary}


def _by_flow(what: str, operands: Operands, tile: Any) -> Any:
    return getattr(_FLOWS[tile.dataflow], what)(operands, tile)


def _shown(shown: NDArray[np.int64], tile: Any) -> NDArray[np.int64]:
    """Of the payload's bits the results, without ``last`` and what is beside them."""
    width = tile.numbers.out_width
    return numbers_of(shown[..., 1 : 1 + tile.exits * width], width)


GEMMS = Gates(
    partial(_by_flow, "stimulus"),
    "o__payload",
    partial(_by_flow, "expected"),
    parts=lambda tile: tile.o.payload.shape().size,
    products=partial(_by_flow, "products"),
    results=_shown,
    strobe="o__valid",
    reference=ENGINE,
)
