"""Weights in float beside the codes: added in the stated order, bit for bit, in both executions."""

import numpy as np
import pytest
import torch

from macsmith.quant import QuantLinear
from macsmith.quant.kept import Kept, index_dtype
from macsmith.quant.recipe import Weights
from macsmith.quant.weights import quantize_weight
from macsmith.sim.catalog import get_format
from macsmith.sim.spec import MacSpec

N, K = 7, 30


def layers(weights="dint4", group=0, dtype=torch.float32):
    """A layer with every sixth weight kept, and the same one without."""
    torch.manual_seed(0)
    w = torch.randn(N, K)
    keep = torch.rand(N, K) < 1 / 6
    keep[2] = False
    keep[3, ::2] = True
    spec = MacSpec(get_format(weights), get_format("int8"))
    options = Weights(format=weights, group_size=group)
    q = quantize_weight(w.masked_fill(keep, 0), spec.weights, options)
    index = keep.flatten().nonzero()[:, 0].to(torch.int32)
    kept = Kept(index, w[keep].to(dtype))
    bias = torch.randn(N)
    return [QuantLinear(*q[:3], bias, spec=spec, group_size=group, kept=k) for k in (kept, None)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("group", [0, 8])
@pytest.mark.parametrize("weights", ["int8", "dint4", "dint4z", "nf4"])
@pytest.mark.parametrize("execution", ["exact", "float"])
def test_kept_weights_are_added_one_by_one_in_float32(execution, weights, group, dtype):
    layer, plain = layers(weights, group, dtype)
    for m in (layer, plain):
        m.execution = execution
    bias, plain.bias = plain.bias.numpy(), None
    x = torch.randn(5, K)
    y = plain(x).numpy()
    seen = layer.quantize_input(x).dequantized(layer.spec.activations).numpy()
    ran = 0
    for place, value in zip(layer.kept_index.tolist(), layer.kept_value.tolist(), strict=True):
        n, k = divmod(place, K)
        for t in range(5):
            y[t, n] = np.float32(y[t, n] + np.float32(seen[t, k] * np.float32(value)))
            ran += 1
    assert ran > 5 * 30
    y = y + bias
    assert torch.equal(layer(x), torch.from_numpy(y))
    if execution == "exact":
        alone = torch.cat([layer(row[None]) for row in x])
        assert torch.equal(layer(x), alone)


def test_the_whole_weight_is_codes_and_kept():
    layer, plain = layers()
    gap = (layer.dequantized_weight() - plain.dequantized_weight()).flatten()
    wanted = torch.zeros(N * K)
    wanted[layer.kept_index.long()] = layer.kept_value
    assert torch.equal(gap, wanted)
    assert f"{len(layer.kept_index)} in float" in repr(layer)
    assert "in float" not in repr(plain)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_kept_values_stay_what_they_are_when_the_module_is_cast(dtype):
    layer, _ = layers()
    before = layer.kept_value.clone()
    layer(torch.ones(1, K))  # decodes
    layer.to(dtype)
    assert layer.kept_value.dtype == torch.float32
    assert torch.equal(layer.kept_value, before)
    assert layer(torch.ones(1, K, dtype=dtype)).dtype == dtype


def test_other_values_loaded_are_the_ones_computed_with():
    layer, plain = layers()
    x = torch.randn(2, K)
    layer(x)
    state = layer.state_dict() | {"kept_value": torch.zeros_like(layer.kept_value)}
    layer.load_state_dict(state)
    assert torch.equal(layer(x), plain(x))


def test_places_are_numbered_in_32_bits_as_long_as_that_reaches():
    assert index_dtype((2**16, 2**15)) == torch.int32
    assert index_dtype((2**16, 2**15 + 1)) == torch.int64
