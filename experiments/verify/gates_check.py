"""A mapped netlist, bit-parallel, against golden: the streams of the bench, and a million more."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import many
from macsmith.experiments.verify.bench import Effort, Instance
from macsmith.experiments.verify.results import Checked
from macsmith.experiments.verify.stimulus import Stream
from macsmith.experiments.verify.sums import drive_sums
from macsmith.hw.gatesim import run as simulate
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import Netlist

__all__ = ["EFFORT", "check"]

#: Streams of the bench, each drawn with a seed of its own.
STREAMS = 8
EFFORT = Effort(random=300, exhaustive=2**10, sample=2**9, runs=2)
CUT = 2**10  # cycles of a part of a stream
WORD = 62  # bits of a part of a port: `gatesim` packs int64


def check(
    one: Instance, netlist: Netlist, library: Library, most: int = many.MOST
) -> tuple[Checked, int]:
    """What a netlist answers to the bench's streams, and to every operand or ``most`` of them.

    Returns the verdict and the cycles of the longest stream.
    """
    sums = get_unit(one.unit).driver() is drive_sums
    # Without a register nothing depends on what came before: one stream has every operand.
    count = STREAMS if one.latency else 1
    whole = Effort(random=most // (4 * count), exhaustive=most, sample=most)  # benches take 4 times
    streams = [_stream(one, seed, EFFORT if sums else whole) for seed in range(count)]
    cycles = max(map(len, streams))
    wrong, first = _compare(one, netlist, library, *_laid_out(one, streams))
    results = sum(sum(s.entered) for s in streams)
    bins = sum((Counter(s.cover.bins) for s in streams), Counter())
    bins = {name: bins[name] for name in streams[0].cover.bins}
    events = sum((s.cover.events for s in streams), Counter())
    if sums:
        drawn = many.draw(one, most=most)
        due = _sums(one, drawn)
        everywhere = np.ones_like(drawn.en)
        more, text = _compare(one, netlist, library, drawn.ports(one), due, everywhere)
        wrong, first = wrong + more, first or text
        results += int(drawn.en.sum())
        events["all operands" if drawn.exhaustive else "random operands"] += 1
        cycles = max(cycles, drawn.en.shape[1])
    return Checked(results, wrong, first, bins, events), cycles


def _sums(one: Instance, drawn: many.Many) -> dict[str, NDArray[np.int64]]:
    """What the sums must show, once the model in arrays is golden's in two of its streams."""
    sums = many.expected(drawn, one)
    for k in (0, len(sums) - 1):
        if sums[k].tolist() != many.follow(drawn, one, k):
            raise AssertionError(f"{one.module}: the model in arrays is not golden's")
    return {"acc": _delayed(sums & (2**one.spec.acc_width - 1), drawn.rst, one.latency)}


def _laid_out(one: Instance, streams: Sequence[Stream]):
    """Operands and results by port, [streams, cycles, parts], and where a stream goes on."""
    rows = [(s.stim, s.want) for s in streams]
    if not one.latency:  # nothing depends on what came before, and many streams run side by side
        rows = [
            (stim[k : k + CUT], want[k : k + CUT])
            for stim, want in rows
            for k in range(0, len(stim), CUT)
        ]
    cycles = max(len(stim) for stim, _ in rows)
    live = np.array([np.arange(cycles) < len(stim) for stim, _ in rows])
    stim, want = (
        np.array([_padded(x, cycles) for x in side], object) for side in zip(*rows, strict=True)
    )
    ports = {port.name: _parts(stim >> one.shifts[port.name], port.width) for port in one.inputs}
    due = {p.name: _parts(want >> one.result_shifts[p.name], p.width) for p in one.outputs}
    return ports, due, live


def _stream(one: Instance, seed: int, effort: Effort) -> Stream:
    stream = Stream(replace(one, effort=effort))
    get_unit(one.unit).driver()(stream, random.Random(f"{one.unit} {one.spec} {seed}"))
    return stream


def _padded(words: list[int], cycles: int) -> list[int]:
    return words + words[-1:] * (cycles - len(words))


def _parts(words: NDArray, width: int) -> NDArray[np.int64]:
    """Python integers as [streams, cycles, parts] of at most WORD bits, the lowest part first."""
    count = next(n for n in range(1, width + 1) if width % n == 0 and width // n <= WORD)
    each = width // count
    return np.stack(
        [(words >> each * k & (2**each - 1)).astype(np.int64) for k in range(count)], axis=-1
    )


def _delayed(due: NDArray[np.int64], rst: NDArray[np.bool_], latency: int) -> NDArray[np.int64]:
    """What is due ``latency`` cycles later; what a reset finds on its way never shows."""
    want = np.zeros_like(due)
    want[:, latency:] = due[:, : due.shape[1] - latency]
    for back in range(1, latency):
        empty = np.zeros_like(rst)
        empty[:, back:] = rst[:, : rst.shape[1] - back]
        want[empty] = 0
    return want


def _compare(
    one: Instance,
    netlist: Netlist,
    library: Library,
    ports: Mapping[str, NDArray[np.int64]],
    due: Mapping[str, NDArray[np.int64]],
    live: NDArray[np.bool_],
) -> tuple[int, str]:
    """Cycles in which a result is wrong, and what is wrong in the first."""
    given = {name: codes for name, codes in ports.items() if name in netlist.inputs}
    counts = {name: codes.shape[-1] for name, codes in due.items()}
    shown = simulate(netlist, library, given, parts=counts).outputs
    wrong = np.zeros(live.shape, bool)
    for name, codes in due.items():
        wrong |= (shown[name] != codes).any(axis=-1) & live
    if not wrong.any():
        return 0, ""
    stream, cycle = np.unravel_index(wrong.argmax(), wrong.shape)
    entered = max(0, cycle - one.latency)
    driven = " ".join(f"{n}={codes[stream, entered].tolist()}" for n, codes in ports.items())
    text = ", ".join(
        f"{name} {shown[name][stream, cycle].tolist()} != {codes[stream, cycle].tolist()}"
        for name, codes in due.items()
        if (shown[name][stream, cycle] != codes[stream, cycle]).any()
    )
    return int(wrong.sum()), f"{one.module} stream {stream} cycle {entered}: {driven}: {text}"
