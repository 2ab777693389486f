"""The jitted part of `hw.gatesim`: one loop over cycles, 64 streams in the bits of a word.

What it calls is in `gatesim_counts` and `gatesim_waves`. numba's cache does not notice edits there:
after one, touch this file.
"""

import numba
import numpy as np

from macsmith.hw.gatesim_counts import count_cells, count_net
from macsmith.hw.gatesim_waves import apply, count_events, settle_waves

__all__ = ["simulate"]

_EVENTS = 2**12  # room for so many to begin with


@numba.njit(cache=True)
def simulate(
    values, lanes, stimulus, input_nets, output_nets,
    settle, clock_fall, clock_rise, clock_nets, rounds,
    next_state, clear, preset, state, clocked_on, falling,
    pin_start, pins, hist_start, settle_cells, clock_cells, delays, arrival,
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
    delays       int64             of each line of `settle` (see `settle_waves`); none: at once
    arrival      int64             when operands come, after the clock's edge
    responses    uint64 [cycles, outputs]  out
    toggles      int64 [nets, 2]   out, added to: rising and falling edges of each net
    histogram    int64             out, added to: per cell, by (pins before, pins after), how often
    """
    settled = values.copy()
    before = values.copy()
    timed = delays.shape[0] > 0
    after = values.copy()
    first, count = np.zeros(values.shape[0], np.int64), np.zeros(values.shape[0], np.int64)
    room = _EVENTS + input_nets.shape[0]
    times, words = np.empty(room, np.int64), np.empty(room, np.uint64)
    for cycle in range(stimulus.shape[0]):
        for i in range(input_nets.shape[0]):
            values[input_nets[i]] = stimulus[cycle, i]
        if timed:
            times, words = settle_waves(
                settled, values, input_nets, arrival, settle, delays, first, count, times, words
            )
            count_events(
                settled, lanes, first, count, times, words, toggles,
                settle_cells, pin_start, pins, hist_start, histogram, before, after,
            )  # fmt: skip
        else:
            _run(settle, values)
            for _ in range(rounds):
                if not _force(values, clear, preset, state):
                    break
                _run(settle, values)
            for net in range(toggles.shape[0]):
                count_net(settled, values, lanes, net, toggles)
            count_cells(
                settled, values, lanes, settle_cells, pin_start, pins, hist_start, histogram
            )
        for i in range(output_nets.shape[0]):
            responses[cycle, i] = values[output_nets[i]]
        settled[:] = values

        before[:] = values
        _run(clock_fall, values)
        if falling:
            _take(before, values, next_state, state, clocked_on)
            _force(values, clear, preset, state)
            _run(settle, values)
            _run(clock_fall, values)
        for i in range(clock_nets.shape[0]):
            count_net(before, values, lanes, clock_nets[i], toggles)
        count_cells(before, values, lanes, clock_cells, pin_start, pins, hist_start, histogram)

        before[:] = values
        _run(clock_rise, values)
        _take(before, values, next_state, state, clocked_on)
        _force(values, clear, preset, state)
        for i in range(clock_nets.shape[0]):
            count_net(before, values, lanes, clock_nets[i], toggles)
        count_cells(before, values, lanes, clock_cells, pin_start, pins, hist_start, histogram)
        for i in range(state.shape[0]):  # their outputs move when the next operands settle
            settled[state[i]] = values[state[i]]
        for i in range(clock_nets.shape[0]):  # behind a gate they may not be what they were
            settled[clock_nets[i]] = values[clock_nets[i]]


@numba.njit(cache=True)
def _run(program, values):
    for i in range(program.shape[0]):
        a, b = values[program[i, 2]], values[program[i, 3]]
        values[program[i, 1]] = apply(program[i, 0], a, b)


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
