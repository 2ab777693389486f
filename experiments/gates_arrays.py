"""How a systolic array's netlist is driven with operands, and what it must answer.

It never waits here: beats come without a pause, and what leaves is taken at once. So it is driven
with what is known beforehand, as the other units are. Stream s is a tile of the streams of operands
from s on: row or beat i has the activations of stream s + i, column c the weights of stream s + c.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.gates import ENGINE, Gates, require_aligned
from macsmith.experiments.operands import Operands
from macsmith.experiments.payloads import numbers_of, packed
from macsmith.sim import golden

__all__ = [
    "ARRAYS", "SAMPLE", "bounds", "output_beats", "sums_of", "tiled", "weight_passes",
    "weight_stimulus",
]  # fmt: skip

SAMPLE = 3  # sums of a matrix that golden computes too


def bounds(operands: Operands) -> list[tuple[int, int]]:
    """First product of each sum, and the one after it."""
    require_aligned(operands)
    starts = np.flatnonzero(operands.clear[0]).tolist()
    return list(zip(starts, [*starts[1:], operands.clear.shape[1]], strict=True))


def sums_of(operands: Operands, array: Any, start: int, end: int) -> NDArray[np.int64]:
    """Sums of these products: of every stream's activations (down) and every one's weights.

    AssertionError where they are not golden's, in a sample.
    """
    from macsmith.sim import engine

    spec, count = array.spec, len(operands.w)
    if start == end:
        return np.zeros((count, count), np.int64)
    a, w = (np.ascontiguousarray(x[:, start:end]) for x in (operands.a, operands.w))
    z = None if operands.z is None else operands.z[:, start].astype(np.int64)
    found = engine.matmul(a, w, spec, z)
    for k in range(SAMPLE):
        t, n = k * (count - 1) // (SAMPLE - 1), (7 * k + start) % count
        zero = None if z is None else int(z[n])
        if found[t, n] != golden.dot(a[t].tolist(), w[n].tolist(), spec, zero):
            raise AssertionError(f"the sum of stream {t} and stream {n} is not golden's")
    return found


def _sums(operands: Operands, array: Any, start: int, end: int) -> NDArray[np.int64]:
    """Codes of `sums_of`."""
    return sums_of(operands, array, start, end) & (2**array.spec.acc_width - 1)


def tiled(matrix: NDArray, down: int, cols: int) -> NDArray:
    """[streams, down, cols]: of stream s what belongs to streams s + i and s + c."""
    s, i, c = np.ogrid[: len(matrix), :down, :cols]
    return matrix[(s + i) % len(matrix), (s + c) % len(matrix)]


def _after(codes: NDArray, count: int) -> NDArray:
    """[streams, cycles, count]: beside the codes of stream s those of the streams after it."""
    return np.stack([np.roll(codes, -k, axis=0) for k in range(count)], axis=-1)


def output_beats(operands: Operands, array: Any) -> NDArray[np.uint8]:
    """Payloads of an output-stationary array, one for each product of a stream, without a pause.

    ValueError where the array would wait, or there are too few streams for it.
    """
    short = min(end - start for start, end in bounds(operands))
    if short < array.rows:
        raise ValueError(f"an array of {array.rows} rows waits where a sum has {short} products")
    if len(operands.w) < max(array.rows, array.cols):
        raise ValueError(
            f"an array of {array.rows} x {array.cols} needs operands in as many streams, "
            f"not {len(operands.w)}"
        )
    first = operands.clear[..., None]
    fields = {"first": first, "last": np.roll(first, -1, axis=1)}
    fields["last"][:, -1] = True
    fields["a"], fields["w"] = _after(operands.a, array.rows), _after(operands.w, array.cols)
    if operands.z is not None:
        fields["z"] = _after(operands.z, array.cols)
    return packed(array.i.payload.shape(), fields)


def weight_passes(operands: Operands, array: Any) -> list[tuple[int, int, int]]:
    """Of every group of products whose weights a weight-stationary array can keep: where its sum
    starts, its first product, and how many groups of this sum come after it.

    ValueError if there is none, or too few streams for an array not to wait for its weights.
    """
    tokens, least = len(operands.w), 2 * array.rows + array.cols - 1
    if tokens < least:
        raise ValueError(
            f"an array of {array.rows} x {array.cols} needs operands in {least} streams, not "
            f"{tokens}, so as not to wait for its weights"
        )
    found = [
        (start, first, (end - first) // array.rows - 1)
        for start, end in bounds(operands)
        for first in range(start, end - array.rows + 1, array.rows)
    ]
    if not found:
        raise ValueError(f"no sum has {array.rows} products for as many rows")
    return found


def weight_stimulus(
    operands: Operands, array: Any, places: Sequence[tuple[int, int]]
) -> dict[str, NDArray]:
    """A beat of each stream for each place: where its sum starts, and the first of its products.

    Weights are loaded in the cycles before they are used; ``last`` is low.
    """
    rows, cols, tokens = array.rows, array.cols, len(operands.w)
    cycles = rows + len(places) * tokens
    weights = operands.w.shape[0], cycles, cols
    w, z = np.zeros(weights, np.int64), np.zeros(weights, np.int64)
    a, acc = np.zeros((tokens, cycles, rows), np.int64), np.zeros(weights, np.int64)
    first, loads = np.zeros((1, cycles, 1), np.uint8), np.zeros((1, cycles), np.uint8)
    for k, (start, place) in enumerate(places):
        at = rows + k * tokens
        taken, beats = slice(at - rows, at), slice(at, at + tokens)
        first[:, at], loads[:, taken] = 1, 1
        w[:, taken] = _after(operands.w[:, place : place + rows], cols)
        if operands.z is not None:
            z[:, taken] = _after(operands.z[:, place : place + rows], cols)
        for r in range(rows):
            a[:, beats, r] = _after(operands.a[:, place + r], tokens)
        acc[:, beats] = tiled(_sums(operands, array, start, place), tokens, cols)
    valid = np.ones((1, cycles), np.uint8)
    valid[:, :rows] = 0
    every = np.broadcast_to(first, (tokens, cycles, 1))
    beats = {"first": every, "last": np.zeros_like(every), "a": a, "acc": acc}
    kept = {"w": w} | ({"z": z} if operands.z is not None else {})
    return {
        "i__payload": packed(array.i.payload.shape(), beats),
        "i__valid": valid,
        "load__payload": packed(array.load.payload.shape(), kept),
        "load__valid": loads,
        "o__ready": np.ones((1, cycles), np.uint8),
    }


class _OutputStationary:
    """A beat in each cycle; after its last one a sum's rows leave."""

    @staticmethod
    def stimulus(operands: Operands, array: Any) -> dict[str, NDArray]:
        beats = output_beats(operands, array)
        idle = np.repeat(beats[:, -1:], array.rows - 1, axis=1)
        valid = np.ones(beats.shape[:2], np.uint8)
        return {
            "i__payload": np.concatenate([beats, idle], axis=1),
            "i__valid": np.concatenate([valid, np.zeros(idle.shape[:2], np.uint8)], axis=1),
            "o__ready": np.ones((1, beats.shape[1] + array.rows - 1), np.uint8),
        }

    @staticmethod
    def expected(operands: Operands, array: Any) -> NDArray[np.int64]:
        streams, cycles = operands.w.shape
        due = np.full((streams, cycles + array.rows - 1, array.cols), -1)
        for start, end in bounds(operands):
            found = _sums(operands, array, start, end)
            due[:, end - 1 : end - 1 + array.rows] = tiled(found, array.rows, array.cols)
        return due

    @staticmethod
    def products(operands: Operands, array: Any) -> int:
        return operands.products * array.rows * array.cols


class _WeightStationary:
    """Weights of as many products of a sum as there are rows stay for a beat of each stream.

    What is on top of their products are the sums of the products before. Of all places in the sums
    as many are taken, evenly spaced, as make about as many beats as a stream has products.
    """

    @staticmethod
    def places(operands: Operands, array: Any) -> list[tuple[int, int]]:
        """Where a sum starts, and the first product whose weights are kept."""
        every = weight_passes(operands, array)
        count = max(1, min(len(every), operands.w.shape[1] // len(operands.w)))
        return [every[k * len(every) // count][:2] for k in range(count)]

    @classmethod
    def stimulus(cls, operands: Operands, array: Any) -> dict[str, NDArray]:
        return weight_stimulus(operands, array, cls.places(operands, array))

    @classmethod
    def expected(cls, operands: Operands, array: Any) -> NDArray[np.int64]:
        rows, cols, tokens = array.rows, array.cols, len(operands.w)
        due = [np.full((tokens, rows, cols), -1)]
        for start, place in cls.places(operands, array):
            due.append(tiled(_sums(operands, array, start, place + rows), tokens, cols))
        return np.concatenate(due, axis=1)

    @classmethod
    def products(cls, operands: Operands, array: Any) -> int:
        beats = len(cls.places(operands, array)) * len(operands.w) ** 2
        return beats * array.rows * array.cols


_FLOWS = {"output": _OutputStationary, "weight": _WeightStationary}


def _by_flow(what: str, operands: Operands, array: Any) -> Any:
    return getattr(_FLOWS[array.dataflow], what)(operands, array)


def _results(shown: NDArray[np.int64], array: Any) -> NDArray[np.int64]:
    """Of the payload's bits the sums, without ``last``."""
    return numbers_of(shown[..., 1:], array.spec.acc_width)


ARRAYS = Gates(
    partial(_by_flow, "stimulus"),
    "o__payload",
    partial(_by_flow, "expected"),
    parts=lambda array: 1 + array.cols * array.spec.acc_width,
    products=partial(_by_flow, "products"),
    results=_results,
    strobe="o__valid",
    reference=ENGINE,
)
