"""Operand streams: golden over them, and that a real layer's are the layer's."""

import numpy as np
import pytest

from macsmith.experiments import operands
from macsmith.sim import engine, golden
from macsmith.sim.spec import MacSpec


@pytest.mark.parametrize("weights", ["dint4", "dint4z"])
def test_expected_is_golden_from_each_clear(weights):
    spec = MacSpec(weights, "int8", 16, "saturate", lanes=3)
    streams = operands.uniform(spec, depth=100)
    assert streams.products == streams.w.size >= operands.PRODUCTS * operands.STREAMS
    out = streams.expected(spec)
    for s, first in ((0, 0), (5, 100), (63, 2000)):
        part = slice(first, first + 100)
        z = None if streams.z is None else int(streams.z[s, first])
        a, w = streams.a[s, part].tolist(), streams.w[s, part].tolist()
        assert out[s, part].tolist() == golden.trace(a, w, spec, z)
        assert streams.clear[s, part].tolist() == [True] + [False] * 99


@pytest.mark.parametrize("weights", ["int8", "dint4", "int4z"])
def test_real_operands_are_the_layers(weights):
    """Every sum of the streams is one of the layer's accumulators."""
    spec = MacSpec(weights, "int8")
    streams = operands.from_layer(spec)
    layer, _, found = operands.layer_codes(spec)
    z = None if layer.zero_point is None else layer.zero_point[:, 0]
    accumulators = set(engine.matmul(found.codes, layer.qweight, spec, z).flatten().tolist())
    ends = np.roll(streams.clear, -1, axis=1)
    sums = streams.expected(spec)[ends]
    assert len(sums) == streams.clear.sum() > 100
    assert set(sums.tolist()) <= accumulators
    assert len(set(sums.tolist())) > 100


def test_same_seed_same_operands():
    spec = MacSpec("dint4", "int8")
    first, again = operands.uniform(spec, seed=3), operands.uniform(spec, seed=3)
    np.testing.assert_array_equal(first.w, again.w)
    assert (operands.uniform(spec, seed=4).w != first.w).any()
