"""Mapped netlists against golden: the streams of the benches, many at once, bit-parallel."""

import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.measure import choose_library, clock_of
from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import many
from macsmith.experiments.verify.bench import FULL, Effort, Instance
from macsmith.experiments.verify.results import Checked, VerifyResult
from macsmith.experiments.verify.runner import Case, cases_of, describe
from macsmith.experiments.verify.stimulus import Stream
from macsmith.experiments.verify.sums import drive_sums
from macsmith.hw.gatesim import run as simulate
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import Netlist
from macsmith.hw.synth import synthesize
from macsmith.sim.spec import MacSpec

__all__ = ["check", "verify_netlists"]

#: Streams of the bench, each drawn with a seed of its own.
STREAMS = 8
EFFORT = Effort(random=300, exhaustive=2**10, sample=2**9, runs=2)
WORD = 62  # bits of a part of a port: `gatesim` packs int64


def verify_netlists(
    unit: str,
    specs: Sequence[MacSpec],
    *,
    pdk: str | None = None,
    liberty: Iterable[Path] | None = None,
    adders: str = "gates",
    **options: Any,
) -> VerifyResult:
    """Synthesise each spec (and its companion) and compare what the netlist does with golden.

    ValueError if there is no library or the unit has a handshake, and as `synthesize` says.
    """
    if not specs:
        raise ValueError("nothing to verify: no spec was given")
    if get_unit(unit).handshake:
        raise ValueError(f"{unit} answers when it is ready: its netlist has no bench of streams")
    technology = choose_library(pdk, liberty)
    if technology is None:
        raise ValueError("a netlist needs a library: give --pdk or --liberty (`macsmith doctor`)")
    modules: dict[str, Checked] = {}
    seconds = Counter()
    cycles = 0
    for case in cases_of(unit, specs, options):
        started = time.perf_counter()
        component = get_unit(unit).make(case.spec, **dict(case.options))
        found = synthesize(
            component, technology, clock_ps=clock_of(technology), name=unit, adders=adders
        )
        seconds["synthesis"] += time.perf_counter() - started
        one = describe(unit, _free(case, modules), case.spec, component, **dict(case.options))
        checked, length, spent = check(one, found.netlist, found.technology)
        modules[one.module] = checked
        cycles = max(cycles, length)
        seconds.update(spent)
    return VerifyResult(unit, f"{technology.name} netlists", modules, cycles, dict(seconds))


def _free(case: Case, taken: Mapping[str, Any]) -> str:
    name = case.module
    while name in taken:
        name += "_"
    return name


def check(
    one: Instance, netlist: Netlist, library: Library, most: int = many.MOST
) -> tuple[Checked, int, dict[str, float]]:
    """What a netlist answers to the bench's streams, and to every operand or ``most`` of them.

    Returns the verdict, the cycles of the longest stream, and seconds by step.
    """
    started = time.perf_counter()
    # Without a register nothing depends on what came before: one stream has every operand.
    efforts = [EFFORT] * STREAMS if one.latency else [FULL]
    streams = [_stream(one, seed, effort) for seed, effort in enumerate(efforts)]
    golden_s = time.perf_counter() - started
    cycles = max(map(len, streams))
    stim = np.array([_padded(s.stim, cycles) for s in streams], object)
    want = np.array([_padded(s.want, cycles) for s in streams], object)
    live = np.array([np.arange(cycles) < len(s) for s in streams])
    ports = {port.name: _parts(stim >> one.shifts[port.name], port.width) for port in one.inputs}
    due = {p.name: _parts(want >> one.result_shifts[p.name], p.width) for p in one.outputs}
    wrong, first = _compare(one, netlist, library, ports, due, live)
    results = sum(sum(s.entered) for s in streams)
    bins = sum((Counter(s.cover.bins) for s in streams), Counter())
    bins = {name: bins[name] for name in streams[0].cover.bins}
    events = sum((s.cover.events for s in streams), Counter())
    if get_unit(one.unit).driver() is drive_sums:
        before = time.perf_counter()
        drawn = many.draw(one, most=most)
        sums = many.expected(drawn, one)
        for k in (0, len(sums) - 1):
            if sums[k].tolist() != many.follow(drawn, one, k):
                raise AssertionError(f"{one.module}: the model in arrays is not golden's")
        golden_s += time.perf_counter() - before
        each = one.spec.acc_width
        due = {"acc": _delayed(sums & (2**each - 1), drawn.rst, one.latency)}
        everywhere = np.ones_like(drawn.en)
        more, text = _compare(one, netlist, library, drawn.ports(one), due, everywhere)
        wrong, first = wrong + more, first or text
        results += int(drawn.en.sum())
        events["all operands" if drawn.exhaustive else "random operands"] += 1
        cycles = max(cycles, drawn.en.shape[1])
    spent = time.perf_counter() - started
    return (
        Checked(results, wrong, first, bins, events),
        cycles,
        {"golden": golden_s, "simulation": spent - golden_s},
    )


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
