"""The jitted part of `hw.gatesim` in which a cycle takes time: waveforms, 64 streams in a word.

A waveform is what a signal is before the cycle and its events, (time, word) in order of time. A
cell's output follows its function `delay` later, and a bit that does not stay for that long is not
followed (inertial delay): so hazards appear, and the shortest of them vanish.
"""

import numba
import numpy as np

from macsmith.hw.gatesim_counts import count_cell, ones

__all__ = ["AND", "NOT", "OR", "XOR", "apply", "count_events", "settle_waves"]

AND, OR, XOR, NOT = 0, 1, 2, 3


@numba.njit(cache=True)
def apply(op, a, b):
    """One operation on two words."""
    if op == AND:
        return a & b
    if op == OR:
        return a | b
    if op == XOR:
        return a ^ b
    return ~a


@numba.njit(cache=True)
def settle_waves(
    initial, values, inputs, arrival, program, delays, first, count, times, words
):  # fmt: skip
    """Make the waveform of every signal that `program` computes, and give `values` their ends.

    initial      uint64 [signals]  before the cycle
    values       uint64 [signals]  of `inputs` what they are from `arrival` on; of others: out
    program      int32 [n, 4]      as of `gatesim_kernels.simulate`
    delays       int64 [n]         of what each line computes; -1: a cell's inner signal, at once
    first, count int64 [signals]   out: each signal's part of `times` and `words`
    times        int64             of events; the result is these two, longer if they have to be
    words        uint64
    """
    used = 0
    for signal in range(values.shape[0]):
        first[signal], count[signal] = used, 0
    for i in range(inputs.shape[0]):
        net = inputs[i]
        if values[net] != initial[net]:
            first[net], count[net] = used, 1
            times[used], words[used] = arrival, values[net]
            used += 1
    for k in range(program.shape[0]):
        op, target, a, b = program[k, 0], program[k, 1], program[k, 2], program[k, 3]
        most = used + count[a] + count[b] + 3
        if most > times.shape[0]:
            times = np.concatenate((times, np.empty(most, np.int64)))
            words = np.concatenate((words, np.empty(most, np.uint64)))
        first[target] = used
        word = apply(op, initial[a], initial[b])
        if delays[k] < 0:
            initial[target] = word
        end = _follow(op, initial[target], a, b, initial, first, count, times, words, used)
        if delays[k] > 0:
            end = _delay(delays[k], initial[target], times, words, used, end)
        count[target] = end - used
        values[target] = words[end - 1] if end > used else initial[target]
        used = end
    return times, words


@numba.njit(cache=True)
def _follow(op, last, a, b, initial, first, count, times, words, used):
    """Append the events of a function of two signals, which has been `last`; where they end."""
    at_a, at_b = first[a], first[b]
    end_a, end_b = at_a + count[a], at_b + count[b]
    word_a, word_b = initial[a], initial[b]
    now = np.int64(0)
    while True:
        word = apply(op, word_a, word_b)
        if word != last:
            times[used], words[used] = now, word
            used += 1
            last = word
        if at_a == end_a and at_b == end_b:
            return used
        now = np.int64(2**62)
        if at_a < end_a:
            now = times[at_a]
        if at_b < end_b and times[at_b] < now:
            now = times[at_b]
        if at_a < end_a and times[at_a] == now:
            word_a = words[at_a]
            at_a += 1
        if at_b < end_b and times[at_b] == now:
            word_b = words[at_b]
            at_b += 1


@numba.njit(cache=True)
def _delay(delay, last, times, words, start, end):
    """Events start .. end as an output that follows `delay` later has them; where they end now."""
    kept = start
    previous = last
    for k in range(start, end):
        time, word = times[k], words[k]
        short = np.uint64(0)  # bits that change again before the output has followed
        after = word
        for later in range(k + 1, end):
            if times[later] >= time + delay:
                break
            short |= words[later] ^ after
            after = words[later]
        out = (previous & short) | (word & ~short)
        if out != previous:
            times[kept], words[kept] = time + delay, out
            kept += 1
            previous = out
    return kept


@numba.njit(cache=True)
def count_events(
    initial, lanes, first, count, times, words, toggles,
    cells, pin_start, pins, hist_start, histogram, before, after,
):  # fmt: skip
    """Add the edges of nets to `toggles`, and what cells saw to `histogram`.

    `before` and `after` are room for one word a signal.
    """
    for net in range(toggles.shape[0]):
        last = initial[net]
        for k in range(first[net], first[net] + count[net]):
            changed = (last ^ words[k]) & lanes
            toggles[net, 0] += ones(changed & words[k])
            toggles[net, 1] += ones(changed & last)
            last = words[k]
    for i in range(cells.shape[0]):
        cell = cells[i]
        begin, end = pin_start[cell], pin_start[cell + 1]
        place = np.zeros(end - begin, np.int64)
        for p in range(begin, end):
            before[pins[p]] = after[pins[p]] = initial[pins[p]]
        while True:
            now = np.int64(2**62)
            for p in range(begin, end):
                at = place[p - begin]
                if at < count[pins[p]]:
                    now = min(now, times[first[pins[p]] + at])
            if now == 2**62:
                break
            for p in range(begin, end):
                at = place[p - begin]
                if at < count[pins[p]] and times[first[pins[p]] + at] == now:
                    after[pins[p]] = words[first[pins[p]] + at]
                    place[p - begin] += 1
            count_cell(before, after, lanes, cell, pin_start, pins, hist_start, histogram)
            for p in range(begin, end):
                before[pins[p]] = after[pins[p]]
