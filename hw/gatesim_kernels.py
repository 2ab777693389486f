"""The jitted part of `hw.gatesim`: one loop over cycles, 64 streams in the bits of a word.

All jitted code is in this file, because numba's cache does not notice edits elsewhere.
"""

import numba
import numpy as np

__all__ = ["AND", "NOT", "OR", "XOR", "simulate"]

AND, OR, XOR, NOT = 0, 1, 2, 3
_MINTERMS = 16  # up to three pins: 64 pairs of states cost less than 64 streams


@numba.njit(cache=True)
def simulate(
    values, lanes, stimulus, input_nets, output_nets,
    settle, clock_fall, clock_rise, clock_nets, rounds,
    next_state, clear, preset, state, clocked_on, falling,
    pin_start, pins, hist_start, settle_cells, clock_cells,
    responses, toggles, histogram,
):  # fmt: skip
    """Simulate len(stimulus) cycles; `values` holds the state before and after.

    A cycle: operands settle, outputs are recorded, the clock falls, the clock rises. A program is
    int32 [n, 4]: (operation, destination, source, source), all indices of `values`.

    values       uint64 [signals]  nets first, then temporaries; bit s belongs to stream s
    lanes        uint64            mask of the streams that count
    stimulus     uint64 [cycles, inputs]
    input_nets   int32 [inputs]    nets that the stimulus drives
    output_nets  int32 [outputs]   nets that are recorded
    settle       program           flip-flop outputs, then every stateless cell in order, then what
                                   the flip-flops see
    clock_fall, clock_rise         programs: clock port and clock cells, with the clock low or high
    clock_nets   int32             nets that carry the clock
    rounds       int               how often a clear or preset may change what clears or presets
    next_state, clear, preset, state, clocked_on   int32 [flip-flops]: signals of each flip-flop;
                                   it takes its next state where clocked_on rises
    falling      bool              whether the falling edge of the clock makes one of them rise
    pin_start    int64 [cells + 1] slices of `pins`
    pins         int32             per cell its inputs, then its state
    hist_start   int64 [cells]     where each cell's part of `histogram` begins
    settle_cells, clock_cells      int64: cells looked at when operands settle, at clock edges
    responses    uint64 [cycles, outputs]  out
    toggles      int64 [nets, 2]   out, added to: rising and falling edges of each net
    histogram    int64             out, added to: per cell, by (pins before, pins after), how often
    """
    settled = values.copy()
    before = values.copy()
    for cycle in range(stimulus.shape[0]):
        for i in range(input_nets.shape[0]):
            values[input_nets[i]] = stimulus[cycle, i]
        _run(settle, values)
        for _ in range(rounds):
            if not _force(values, clear, preset, state):
                break
            _run(settle, values)
        for i in range(output_nets.shape[0]):
            responses[cycle, i] = values[output_nets[i]]
        for net in range(toggles.shape[0]):
            _count_net(settled, values, lanes, net, toggles)
        _count_cells(settled, values, lanes, settle_cells, pin_start, pins, hist_start, histogram)
        settled[:] = values

        before[:] = values
        _run(clock_fall, values)
        if falling:
            _take(before, values, next_state, state, clocked_on)
            _force(values, clear, preset, state)
            _run(settle, values)
            _run(clock_fall, values)
        for i in range(clock_nets.shape[0]):
            _count_net(before, values, lanes, clock_nets[i], toggles)
        _count_cells(before, values, lanes, clock_cells, pin_start, pins, hist_start, histogram)

        before[:] = values
        _run(clock_rise, values)
        _take(before, values, next_state, state, clocked_on)
        _force(values, clear, preset, state)
        for i in range(clock_nets.shape[0]):
            _count_net(before, values, lanes, clock_nets[i], toggles)
        _count_cells(before, values, lanes, clock_cells, pin_start, pins, hist_start, histogram)
        for i in range(state.shape[0]):  # their outputs move when the next operands settle
            settled[state[i]] = values[state[i]]
        for i in range(clock_nets.shape[0]):  # behind a gate they may not be what they were
            settled[clock_nets[i]] = values[clock_nets[i]]


@numba.njit(cache=True)
def _run(program, values):
    for i in range(program.shape[0]):
        op, a, b = program[i, 0], values[program[i, 2]], values[program[i, 3]]
        if op == AND:
            values[program[i, 1]] = a & b
        elif op == OR:
            values[program[i, 1]] = a | b
        elif op == XOR:
            values[program[i, 1]] = a ^ b
        else:
            values[program[i, 1]] = ~a


@numba.njit(cache=True)
def _take(before, values, next_state, state, clocked_on):
    """Give every flip-flop its next state in the streams where its clock has risen."""
    for i in range(state.shape[0]):
        rose = values[clocked_on[i]] & ~before[clocked_on[i]]
        values[state[i]] = (before[next_state[i]] & rose) | (values[state[i]] & ~rose)


@numba.njit(cache=True)
def _force(values, clear, preset, state):
    """Apply clear and preset, clear first among equals; return whether a state changed."""
    changed = False
    for i in range(state.shape[0]):
        old = values[state[i]]
        new = (old | values[preset[i]]) & ~values[clear[i]]
        values[state[i]] = new
        changed |= new != old
    return changed


@numba.njit(cache=True)
def _count_cells(before, values, lanes, cells, pin_start, pins, hist_start, histogram):
    """Add the events of `cells`: cells with few pins by states, all streams at once; the others
    stream by stream."""
    old, new = np.empty(_MINTERMS, np.uint64), np.empty(_MINTERMS, np.uint64)
    for k in range(cells.shape[0]):
        cell = cells[k]
        first, end = pin_start[cell], pin_start[cell + 1]
        moved = np.uint64(0)
        for p in range(first, end):
            moved |= before[pins[p]] ^ values[pins[p]]
        moved &= lanes
        if moved == 0:
            continue
        states = 1 << (end - first)
        start = hist_start[cell]
        if states <= _MINTERMS:
            _minterms(before, pins, first, end, moved, old)
            _minterms(values, pins, first, end, moved, new)
            for i in range(states):
                if old[i] != 0:
                    for j in range(states):
                        histogram[start + i * states + j] += _ones(old[i] & new[j])
        else:
            _count_lanes(before, values, moved, pins, first, end, start, histogram)


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
def _count_net(before, values, lanes, net, toggles):
    changed = (before[net] ^ values[net]) & lanes
    if changed != 0:
        toggles[net, 0] += _ones(changed & values[net])
        toggles[net, 1] += _ones(changed & before[net])


@numba.njit(cache=True)
def _ones(word):
    """How many bits of a 64-bit word are set."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))
