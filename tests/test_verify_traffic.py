# amaranth: UnusedElaboratable=no
"""Traffic on netlists with a handshake: its models are golden's, and what is wrong is found."""

import random
import re
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from technology import library, needs_osu018

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import gates_streams, many_arrays, many_gemm, traffic
from macsmith.experiments.verify.bench import Effort
from macsmith.experiments.verify.faults_mapped import Faults
from macsmith.experiments.verify.gates_check import EFFORT
from macsmith.experiments.verify.runner import describe
from macsmith.hw.gatesim_steps import Steps
from macsmith.hw.netlist import CONST0, CONST1, Instance
from macsmith.hw.synth import synthesize
from macsmith.sim.requantize import ROUNDINGS
from macsmith.sim.spec import MacSpec

SMALL = MacSpec("int3", "int3", 7)
SHAPE = {"rows": 2, "cols": 2}
DRAW = {"array": many_arrays.many_array, "gemm": many_gemm.many_gemm}
CASES = [
    ("array", MacSpec("dint4z", "int8", 14, "saturate", lanes=3), {"rows": 3, "decode": "edge"}),
    ("array", MacSpec("dint4", "fp8_e4m3", 30), {"cols": 1}),
    ("array", MacSpec("dint4z", "int8", 62), {"dataflow": "weight", "rows": 1}),
    ("array", MacSpec("dint4", "int8", 63, "exact"), {"dataflow": "weight"}),
    ("array", MacSpec("dint4", "int4", 9, "saturate"), {"dataflow": "weight", "cols": 3}),
    *(("gemm", MacSpec("dint4z", "int8", 17, "saturate"), {"exits": 2, "sums": True,
       "rounding": rounding}) for rounding in ROUNDINGS),
    ("gemm", MacSpec("nf4", "int8", 40), {"rows": 3, "depth": 16}),
    ("gemm", MacSpec("int4", "int4", 10, "exact"), {"zero_points": False, "depth": 5}),
]  # fmt: skip


def instance(unit, spec, **options):
    options = {**SHAPE, **options}
    return describe(unit, unit, spec, get_unit(unit).make(spec, **options), **options)


@pytest.mark.parametrize(("unit", "spec", "options"), CASES)
def test_the_model_in_arrays_is_golden(unit, spec, options):
    one = instance(unit, spec, **options)
    streams, made = DRAW[unit](one, 2**12)
    whole = made.cut.reshape(streams, -1) == 0
    assert whole[:, -1].all()
    assert not whole[:, 0].any()
    assert made.products[whole.ravel()].sum() >= 2**12
    made.require_golden([0, 1, 17, len(made.cut) - 1])
    assert len(np.unique(made.sinks["o"].bits[1::2, :20], axis=0)) > 20


def test_every_place_of_a_result_and_both_ends_of_the_range_are_met():
    one = instance("gemm", MacSpec("dint4z", "int8", 32), sums=True)
    _, made = many_gemm.many_gemm(one, 2**14)
    out = made.sinks["o"]
    y = np.concatenate([out.bits[k, : out.count[k], 1:9] for k in range(len(out.count))])
    codes = y.astype(int) @ 2 ** np.arange(8)
    assert 0.05 < (codes == 127).mean() < 0.4
    assert 0.05 < (codes == 128).mean() < 0.4
    assert len(np.unique(codes)) == 256


@lru_cache(maxsize=4)
def mapped(unit, spec, **options):
    made = get_unit(unit).make(spec, **SHAPE, **options)
    return synthesize(made, library("osu018"), clock_ps=10**6, name=unit).netlist


@needs_osu018
@pytest.mark.parametrize("options", [{}, {"dataflow": "weight", "decode": "edge"}])
def test_an_array_is_golden(options):
    spec = MacSpec("int3", "int3", 7, "saturate", lanes=1 if options else 2)
    one, netlist = instance("array", spec, **options), mapped("array", spec, **options)
    checked, cycles = gates_streams.check_streams(one, netlist, library("osu018"), EFFORT, 2**15)
    assert checked.failure == ""
    assert checked.events["random products"] >= 2**15
    assert 2**12 < checked.in_arrays < checked.results
    assert cycles > 500
    assert {n for n in checked.bins if n.startswith("many: ")} == {
        "many: i waits", "many: o waits", "many: o is awaited", "many: reset under way",
        "many: every product", "many: i is ready after a reset",
        *(["many: load waits", "many: load is ready after a reset",
           "many: i is not ready after a reset"] if "dataflow" in options else []),
    }  # fmt: skip


@needs_osu018
def test_a_gemm_tile_is_golden():
    spec, options = MacSpec("int3", "int3", 9, "exact"), {"depth": 8, "exits": 2}
    one, netlist = instance("gemm", spec, **options), mapped("gemm", spec, **options)
    checked, _ = gates_streams.check_streams(one, netlist, library("osu018"), EFFORT, 2**13)
    assert checked.failure == ""
    assert checked.events["random products"] >= 2**13
    assert "many: tile waits" in checked.bins

    assert "many: tile is not ready after a reset" in checked.bins
    played = play(one, tied(netlist, "tile__ready", CONST0), 2**10)
    assert " != " in played.first


def play(one, netlist, most=2**12):
    streams, made = DRAW[one.unit](one, most)
    return traffic.play(Steps(netlist, library("osu018"), streams), made)


def tied(netlist, port, *bits):
    ports = dict(netlist.ports)
    ports[port] = replace(ports[port], bits=bits)
    return replace(netlist, ports=ports)


@needs_osu018
def test_a_broken_handshake_is_found():
    one, netlist = instance("array", SMALL), mapped("array", SMALL)
    (valid,), (taken,) = (netlist.ports[name].bits for name in ("o__valid", "o__ready"))
    for port, bit, words in (
        ("i__ready", CONST0, "i beat 0: ready is 0 after a reset"),
        ("i__ready", CONST1, " != "),  # also where it is full
        ("i__ready", valid, "i beat 0: ready is 0 after a reset"),
        ("o__valid", CONST0, "stuck for 400 cycles"),
        ("o__valid", CONST1, "o beat 0: comes before one entered"),
        ("o__valid", taken, "o beat 0: comes before one entered"),
    ):
        played = play(one, tied(netlist, port, bit))
        assert played.wrong, (port, bit)
        assert words in played.first, (port, bit)


@needs_osu018
def test_beats_that_wait_for_ready_are_found():
    one, netlist = instance("array", SMALL), mapped("array", SMALL)
    played = play(one, netlist)
    assert played.wrong == 0
    assert all(played.cover.bins.values())
    pins, fresh = {"A": "o__valid", "B": "o__ready"}, len(netlist.net_names)
    pins = {pin: netlist.ports[name].bits[0] for pin, name in pins.items()} | {"Y": fresh}
    late = replace(
        netlist,
        instances=(*netlist.instances, Instance("late", "AND2X2", pins)),
        net_names=(*netlist.net_names, "late"),
    )
    played = play(one, tied(late, "o__valid", fresh))
    missed = [name for name, times in played.cover.bins.items() if not times]
    assert missed == ["many: o waits"]


@needs_osu018
@pytest.mark.parametrize(
    ("change", "words"), [(-1, "o beat [0-9]+: is more than is due"), (1, "stuck for 400 cycles")]
)
def test_a_beat_too_many_or_too_few_is_found(change, words):
    one, netlist = instance("array", SMALL), mapped("array", SMALL)
    streams, made = many_arrays.many_array(one, 2**12)
    queue = made.sinks["o"]
    count = queue.count.copy()
    count[-1] += change
    bits = np.concatenate([queue.bits, queue.bits[:, -1:]], axis=1)
    other = replace(made, sinks={"o": traffic.Queue(bits, count)})
    played = traffic.play(Steps(netlist, library("osu018"), streams), other)
    assert played.wrong == 1
    assert re.match(rf"stream {streams - 1} segment 1 cycle [0-9]+: {words}$", played.first)


@needs_osu018
@pytest.mark.parametrize("options", [{}, {"dataflow": "weight", "decode": "edge"}])
def test_faults_that_the_bench_finds_are_found(options):
    one, netlist = instance("array", SMALL, **options), mapped("array", SMALL, **options)
    cells, rng, killed, tried = library("osu018"), random.Random(1), [], 0
    faults = Faults(netlist, cells)
    assert len(faults.by_operator) == 7
    brief = replace(one, effort=Effort(random=200, exhaustive=2**6, sample=2**6, runs=1))
    while len(killed) < 12:
        drawn = faults.draw(rng)
        tried += 1
        if drawn is None:
            continue
        bench, _ = gates_streams.followed(brief, Steps(drawn[2], cells))
        many = play(one, drawn[2])
        assert bool(many.wrong) >= bool(bench.wrong), drawn[:2]
        killed += [drawn[0]] if many.wrong else []
    assert tried < 20
    assert len(set(killed)) > 3


@needs_osu018
def test_a_wrong_model_in_arrays_is_found(monkeypatch):
    one, netlist = instance("array", SMALL), mapped("array", SMALL)
    right = many_arrays.element_sums

    def wrong_in(segment):
        def model(*operands):
            sums = right(*operands)
            sums[segment, -1, 1, 0] ^= 1
            return sums

        monkeypatch.setattr(many_arrays, "element_sums", model)

    wrong_in(3)  # which is not compared with golden, so that it is the netlist's word against it
    checked, _ = gates_streams.check_streams(one, netlist, library("osu018"), EFFORT, 2**12)
    assert checked.wrong == 2  # on from a reset, and on from placed sums
    assert checked.failure.startswith("array stream ")
    wrong_in(-1)
    with pytest.raises(AssertionError, match=r"^the model in arrays is not golden's$"):
        gates_streams.check_streams(one, netlist, library("osu018"), EFFORT, 2**12)


@needs_osu018
def test_traffic_that_compares_nothing_fails(monkeypatch):
    one, netlist = instance("array", SMALL), mapped("array", SMALL)
    streams, made = many_arrays.many_array(one, 2**12)
    empty = replace(made, sinks={"o": replace(made.sinks["o"], count=0 * made.sinks["o"].count)})
    with pytest.raises(AssertionError, match=r"^the model in arrays is not golden's$"):
        empty.require_golden([1])
    silent = replace(made, products=0 * made.products)  # nothing of it came out
    monkeypatch.setitem(
        gates_streams.MANY, get_unit("array").driver(), lambda *_: (streams, silent)
    )
    checked, _ = gates_streams.check_streams(one, netlist, library("osu018"), EFFORT, 2**12)
    assert checked.failure == "1 bins missed: many: every product"


def test_streams_hold_whole_segments():
    _, made = many_arrays.many_array(instance("array", SMALL), 2**10)

    class Few:
        streams = 48

    with pytest.raises(ValueError, match=r"segments do not fill 48 streams$"):
        traffic.play(Few(), made)
