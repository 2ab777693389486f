# amaranth: UnusedElaboratable=no
"""GEMM tiles driven with operands: energy, and every result where and when it is due."""

from dataclasses import replace

import numpy as np
import pytest
from technology import needs_osu018

from macsmith.experiments import gates_gemm, operands
from macsmith.experiments.gates_gemm import GEMMS
from macsmith.experiments.measure import driven, measure
from macsmith.experiments.units import get_unit
from macsmith.hw.synth import synthesize
from macsmith.sim.requantize import requantize
from macsmith.sim.spec import MacSpec

SHAPE = {"rows": 3, "cols": 2, "depth": 64}
SLOW = MacSpec("int3", "int3", 12)
FAST = MacSpec("int3z", "int2", 11, "saturate", lanes=3), {"exits": 2, "pipeline": 1, "sums": True}


def uniform(spec, depth=32):
    """Few streams of short sums: a tile is large."""
    streams = operands.uniform(spec, depth=depth)
    return replace(
        streams,
        **{n: x[:8, : 4 * depth] for n in ("w", "a", "z", "clear", "za")
           if (x := getattr(streams, n)) is not None},
    )  # fmt: skip


@needs_osu018
def test_a_tile_has_energy_and_equals_golden():
    spec, options = FAST
    streams = uniform(spec)
    found = measure(
        "gemm", spec, pdk="osu018", operands=streams, options=SHAPE | options, clock_ps=10**5
    )
    assert found.netlist_equal is True
    assert found.energy.products == streams.products * 6
    assert found.compared == streams.clear.sum() * 6
    assert 0 < found.energy.leakage_pj < found.energy.dynamic_pj
    assert found.lines()[-1].endswith("equal the engine, and the golden model in a sample")


@needs_osu018
def test_a_wrong_tile_is_seen(monkeypatch):
    """What comes out is wrong, comes too late, or comes too often; or the model is wrong."""
    component, streams = get_unit("gemm").make(SLOW, **SHAPE), uniform(SLOW)
    made = synthesize(component, "osu018", clock_ps=10**6, name="gemm")
    spent, compared, different = driven(GEMMS, component, made, streams)
    assert (compared, different) == (8 * 4 * 6, 0)
    shown = {name: codes.copy() for name, codes in spent.activity.outputs.items()}
    at = component.latency + 31
    assert not shown["o__valid"][5, at - 1]
    assert shown["o__valid"][5, at : at + 6].all()  # three rows of two, one at a time
    assert not shown["o__valid"][5, at + 6]
    shown["o__payload"][5, at, 1 + 3] ^= 1
    assert GEMMS.compare(shown, streams, component) == (compared, 1)
    shown["o__valid"][5, at] = 0
    assert GEMMS.compare(shown, streams, component) == (compared, 2)
    monkeypatch.setattr(gates_gemm, "requantize", lambda *_, **__: 10**6)
    with pytest.raises(AssertionError, match=r"^the result of stream 0 and stream [0-9]+ is not"):
        GEMMS.compare(shown, streams, component)


def test_results_fill_the_range_and_are_goldens():
    spec = MacSpec("int3z", "int4", 16)
    tile = get_unit("gemm").make(spec, **SHAPE)
    streams = uniform(spec)
    assert len(np.unique(streams.za)) > 8
    due = GEMMS.expected(streams, tile)
    codes = due[due >= 0]
    assert codes.size == 8 * 4 * 6
    assert {127, 128} <= set(codes.tolist())
    # The first result of a stream: its own activations and weights.
    t, levels = 3, spec.weights.levels_at(int(streams.z[3, 0]))
    w, a = streams.w[t, :32].tolist(), streams.a[t, :32].tolist()
    acc = sum(levels[x] * spec.activations.levels[y] for x, y in zip(w, a, strict=True))
    scales = gates_gemm._scales(streams, tile, 0, 32)[0]
    each = [int(scales[name][t]) for name in ("multiplier", "shift", "zero_point")]
    correction = int(streams.za[t, 0]) * sum(levels[x] for x in w)
    want = requantize(acc, *each, tile.numbers, correction=correction)
    assert due[t][due[t] >= 0][0] == want % 256


def test_wide_accumulators_are_goldens():
    spec = MacSpec("int3", "int3", 40)
    tile = get_unit("gemm").make(spec, **SHAPE)
    narrow = get_unit("gemm").make(replace(spec, acc_width=16), **SHAPE)
    streams = uniform(spec)
    assert (GEMMS.expected(streams, tile) == GEMMS.expected(streams, narrow)).all()


def test_operands_that_a_tile_cannot_take_are_refused():
    spec = MacSpec("int3", "int3", 12)

    def refused(given, words, **options):
        with pytest.raises(ValueError, match=words):
            GEMMS.stimulus(given, get_unit("gemm").make(spec, **options))

    refused(uniform(spec), r"^an array of 9 x 2 needs operands in as many streams, not 8$",
            rows=9, cols=2)  # fmt: skip
    refused(uniform(spec, depth=3), r"^an array of 4 rows waits where a sum has 3 products$")
    refused(uniform(spec), r"^a tile for 31 products of a sum cannot take 32$", depth=31)
