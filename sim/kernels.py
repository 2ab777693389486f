"""Bit-accurate numba kernels: integer loops, nothing else, results written to ``out``.

Every jitted helper lives in this file: numba's on-disk cache does not notice edits in other files.
numba computes every integer in int64, so widths are explicit: each sum is cast back to the type of
the register that holds it.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

__all__ = ["TILE", "in_tiles", "matmul_clamped", "wrap_in_place"]

#: Outputs of one job. Their accumulators stay in the first-level cache while k runs, their weights
#: (2,048 deep, int32) in the second while every row of activations passes.
TILE = 128


def in_tiles(levels: NDArray, dtype) -> NDArray:
    """Weight levels [N, K] as ``dtype`` [ceil(N / TILE), K, TILE], outputs innermost, zero-padded.

    Contiguous runs of one constant length are what lets the compiler use full vectors.
    """
    rows, depth = levels.shape
    count = -(-rows // TILE)
    tiles = np.zeros((count * TILE, depth), dtype)
    tiles[:rows] = levels
    return np.ascontiguousarray(tiles.reshape(count, TILE, depth).transpose(0, 2, 1))


@njit(cache=True, parallel=True)
def matmul_clamped(a, w, lo, hi, lanes, out):
    """out[t, n] = the accumulator after k = 0..K-1, clamped to [lo, hi] after every group.

    a      [T, K]             activation levels, int32 or int64
    w      [tiles, K, TILE]   weight levels from `in_tiles`, same type
    lo, hi int                clamp; with int32, lo + a group and hi + a group must fit int32
    lanes  int                consecutive products summed exactly before they enter the accumulator;
                              the last group may be short
    out    int64 [T, N]

    The order of k is the hardware's and observable, so only outputs run in parallel.
    """
    register = w.dtype.type
    low, high = register(lo), register(hi)
    depth = a.shape[1]
    for job in prange(w.shape[0] * a.shape[0]):
        t, tile = job % a.shape[0], job // a.shape[0]
        acc = np.zeros(TILE, w.dtype)
        for group in range(0, depth, lanes):
            for k in range(group, min(group + lanes, depth)):
                level = a[t, k]
                for n in range(TILE):
                    acc[n] = register(acc[n] + register(level * w[tile, k, n]))
            for n in range(TILE):
                clamped = low if acc[n] < low else acc[n]
                acc[n] = high if clamped > high else clamped
        first = tile * TILE
        for n in range(min(TILE, out.shape[1] - first)):
            out[t, first + n] = acc[n]


@njit(cache=True)  # so little work that waking threads would take longer
def wrap_in_place(acc, width):
    """``acc`` int64 [T, N] becomes the two's-complement value of its low ``width`` bits (1..63)."""
    shift = 64 - width
    for t in range(acc.shape[0]):
        for n in range(acc.shape[1]):
            acc[t, n] = (acc[t, n] << shift) >> shift
