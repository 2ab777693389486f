"""A mapped netlist, bit-parallel, against golden: the streams of the bench, and a million more."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import Effort, Instance
from macsmith.experiments.verify.floats import drive_float_mac
from macsmith.experiments.verify.floats_many import many_floats
from macsmith.experiments.verify.gates_streams import check_streams
from macsmith.experiments.verify.many import MOST, Drawn, in_parts, many_sums
from macsmith.experiments.verify.placed_sums import place_sums
from macsmith.experiments.verify.requantizing import drive_requantizer, many_requantized
from macsmith.experiments.verify.results import Checked, together
from macsmith.experiments.verify.stimulus import Stream
from macsmith.experiments.verify.sums_cases import drive_sums
from macsmith.hw.gatesim import run as simulate
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import Netlist

__all__ = ["EFFORT", "check", "check_placed"]

#: Streams of the bench, each drawn with a seed of its own.
STREAMS = 8
EFFORT = Effort(random=300, exhaustive=2**10, sample=2**9, runs=2, long=0, stalls=20)
CUT = 2**10  # cycles of a part of a stream
#: By what drives a unit, what draws many operands of it at once.
MANY = {
    drive_sums: many_sums,
    drive_requantizer: many_requantized,
    drive_float_mac: many_floats,
}


def check(
    one: Instance, netlist: Netlist, library: Library, most: int = MOST
) -> tuple[Checked, int]:
    """What a netlist answers to the bench's streams, and to every operand or ``most`` of them.

    One with a handshake is `gates_streams.check_streams`'.

    Returns the verdict and the cycles of the longest stream.
    """
    if get_unit(one.unit).handshake:
        return check_streams(one, netlist, library, EFFORT, most)
    draw = MANY.get(get_unit(one.unit).driver())
    if draw:
        streams = [_stream(one, seed, EFFORT) for seed in range(STREAMS)]
    else:  # decoders and multipliers: golden is a look at a table, fast enough for every operand
        streams = [_stream(one, 0, Effort(exhaustive=most, sample=most))]
    cycles, parts = max(map(len, streams)), [_check_streams(one, netlist, library, streams)]
    if draw:
        drawn = draw(one, most)
        what = "all operands" if drawn.exhaustive else "random operands"
        parts.append(_check_drawn(one, netlist, library, what, drawn))
        cycles = max(cycles, drawn.en.shape[1])
    if draw is many_sums:
        parts.append(check_placed(one, netlist, library))
    return together(parts), cycles


def check_placed(one: Instance, netlist: Netlist, library: Library) -> Checked:
    """What a unit that sums products makes of sums that are placed in its netlist."""
    drawn, bins = place_sums(one, netlist, library)
    if drawn is None:
        return Checked(0, 0, "", bins)
    found = _check_drawn(one, netlist, library, "operands from placed sums", drawn)
    return replace(found, bins=bins)


def _check_streams(
    one: Instance, netlist: Netlist, library: Library, streams: Sequence[Stream]
) -> Checked:
    wrong, first = _compare(one, netlist, library, *_laid_out(one, streams))
    hits = sum((Counter(s.cover.bins) for s in streams), Counter())
    bins = {name: hits[name] for name in streams[0].cover.bins}
    events = sum((s.cover.events for s in streams), Counter())
    return Checked(sum(sum(s.entered) for s in streams), wrong, first, bins, events)


def _check_drawn(
    one: Instance, netlist: Netlist, library: Library, what: str, drawn: Drawn
) -> Checked:
    live = np.ones_like(drawn.en)
    if drawn.upset is not None:  # what is shown before the first result is not the sum placed
        live[:, : one.latency] = False
    due = _due(one, drawn)
    wrong, first = _compare(one, netlist, library, drawn.ports, due, live, drawn.upset)
    entered = int(drawn.en.sum())
    return Checked(entered, wrong, first, {}, {what: entered}, entered * drawn.in_arrays)


def _due(one: Instance, drawn: Drawn) -> dict[str, NDArray[np.int64]]:
    """What the output must show, once the model in arrays is golden's in two of its streams."""
    due = drawn.due
    for k in (0, len(due) - 1):
        if due[k].tolist() != drawn.golden(k):
            raise AssertionError(f"{one.module}: the model in arrays is not golden's")
    (port,) = one.outputs
    codes = due & (2 ** (port.width // due.shape[-1]) - 1)
    return {port.name: _delayed(codes, drawn.rst, one.latency)}


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
    # What a netlist shows at first is from before the stream; a simulator's bench had it wait.
    at = np.arange(cycles)
    live = np.array([(at >= one.latency) & (at < len(stim)) for stim, _ in rows])
    stim, want = (
        np.array([_padded(x, cycles) for x in side], object) for side in zip(*rows, strict=True)
    )
    ports = {port.name: in_parts(stim >> one.shifts[port.name], port.width) for port in one.inputs}
    due = {p.name: in_parts(want >> one.result_shifts[p.name], p.width) for p in one.outputs}
    return ports, due, live


def _stream(one: Instance, seed: int, effort: Effort) -> Stream:
    stream = Stream(replace(one, effort=effort))
    get_unit(one.unit).driver()(stream, random.Random(f"{one.unit} {one.spec} {seed}"))
    return stream


def _padded(words: list[int], cycles: int) -> list[int]:
    return words + words[-1:] * (cycles - len(words))


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
    upset: NDArray[np.uint8] | None = None,
) -> tuple[int, str]:
    """Cycles in which a result is wrong, and what is wrong in the first."""
    given = {name: codes for name, codes in ports.items() if name in netlist.inputs}
    counts = {name: codes.shape[-1] for name, codes in due.items()}
    shown = simulate(netlist, library, given, parts=counts, counting=False, upset=upset).outputs
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
