"""The jitted part of `hw.gatesim` that counts what moved, 64 streams in the bits of a word."""

import numba
import numpy as np

__all__ = ["count_cell", "count_cells", "count_net", "ones"]

_MINTERMS = 16  # states of up to four pins
_LANE = 4  # pairs of states that cost as much as a stream


@numba.njit(cache=True)
def count_cells(before, values, lanes, cells, pin_start, pins, hist_start, histogram):
    """Add the events of `cells`."""
    for k in range(cells.shape[0]):
        count_cell(before, values, lanes, cells[k], pin_start, pins, hist_start, histogram)


@numba.njit(cache=True)
def count_cell(before, values, lanes, cell, pin_start, pins, hist_start, histogram):
    """Add the event of one cell: by states of all streams at once, where that is less to do, or
    stream by stream."""
    first, end = pin_start[cell], pin_start[cell + 1]
    moved = np.uint64(0)
    for p in range(first, end):
        moved |= before[pins[p]] ^ values[pins[p]]
    moved &= lanes
    if moved == 0:
        return
    states = 1 << (end - first)
    start = hist_start[cell]
    if states > _MINTERMS or states * states > _LANE * ones(moved):
        _count_lanes(before, values, moved, pins, first, end, start, histogram)
        return
    old, new = np.empty(_MINTERMS, np.uint64), np.empty(_MINTERMS, np.uint64)
    _minterms(before, pins, first, end, moved, old)
    _minterms(values, pins, first, end, moved, new)
    for i in range(states):
        if old[i] != 0:
            for j in range(states):
                histogram[start + i * states + j] += ones(old[i] & new[j])


@numba.njit(cache=True)
def _minterms(values, pins, first, end, lanes, out):
    """out[i] = in which of `lanes` the pins are in state i, the first pin the highest bit."""
    out[0] = lanes
    states = 1
    for p in range(first, end):
        word = values[pins[p]]
        for i in range(states - 1, -1, -1):
            out[2 * i + 1] = out[i] & word
            out[2 * i] = out[i] & ~word
        states *= 2


@numba.njit(cache=True)
def _count_lanes(before, values, moved, pins, first, end, start, histogram):
    while moved != 0:
        lane = moved & (~moved + np.uint64(1))
        moved ^= lane
        old, new = np.int64(0), np.int64(0)
        for p in range(first, end):
            old = old << 1 | np.int64((before[pins[p]] & lane) != 0)
            new = new << 1 | np.int64((values[pins[p]] & lane) != 0)
        histogram[start + (old << (end - first) | new)] += 1


@numba.njit(cache=True)
def count_net(before, values, lanes, net, toggles):
    changed = (before[net] ^ values[net]) & lanes
    if changed != 0:
        toggles[net, 0] += ones(changed & values[net])
        toggles[net, 1] += ones(changed & before[net])


@numba.njit(cache=True)
def ones(word):
    """How many bits of a 64-bit word are set."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))
