"""QuantLinear: float and exact mean the same, and exact is the golden model to the last bit."""

import numpy as np
import pytest
import torch
from torch import nn

from macsmith.quant.linear import EXECUTIONS, QuantLinear
from macsmith.quant.recipe import Accumulator, Activations, Recipe, Weights
from macsmith.sim import golden

FORMATS = [
    "int8",
    "int4",
    "dint4",
    "dint4_sm",
    "dint3",
    "int4z",
    "dint4z",
    "dint3z",
    "nf4",
    "fp4_e2m1",
]


def make(weights: str, k: int = 40, n: int = 12, **options) -> tuple[nn.Linear, Recipe]:
    torch.manual_seed(0)
    group = options.pop("group_size", 0)
    recipe = Recipe(weights=Weights(format=weights, group_size=group), **options)
    return nn.Linear(k, n), recipe


def golden_linear(layer: QuantLinear, x: torch.Tensor) -> torch.Tensor:
    """Every output by `golden.linear`, then the bias: slow, plain, and written separately."""
    a = layer.quantize_input(x)
    out = np.empty((len(a.codes), layer.out_features), np.float32)
    for t in range(len(a.codes)):
        for n in range(layer.out_features):
            zero = (None,) if layer.zero_point is None else layer.zero_point[n].tolist()
            out[t, n] = golden.linear(
                a.codes[t].tolist(),
                a.scale[t].item(),
                int(a.zero[t]),
                layer.qweight[n].tolist(),
                layer.scale[n].tolist(),
                layer.spec,
                zero_points=zero,
            )
    y = torch.from_numpy(out)
    return y if layer.bias is None else y + layer.bias


@pytest.mark.parametrize("group", [0, 16, 13])
@pytest.mark.parametrize("weights", FORMATS)
def test_exact_is_golden(weights, group):
    if group == 13:
        group_size, k = 13, 39
    else:
        group_size, k = group, 40 if group == 0 else 40 + 8 * (group == 16)
    linear, recipe = make(weights, k=k, n=5, group_size=group_size)
    layer = QuantLinear.from_float(linear, recipe)
    layer.execution = "exact"
    x = torch.randn(3, k)
    assert torch.equal(layer(x), golden_linear(layer, x))


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("lanes", [1, 3])
def test_exact_overflows_as_the_hardware_does(overflow, lanes):
    accumulator = Accumulator(width=13, overflow=overflow, lanes=lanes)
    linear, recipe = make("dint4", n=6, accumulator=accumulator)
    layer = QuantLinear.from_float(linear, recipe)
    x = torch.randn(4, 40) + 2
    layer.execution = "exact"
    exact = layer(x)
    assert torch.equal(exact, golden_linear(layer, x))
    layer.execution = "float"
    assert not torch.allclose(exact, layer(x), atol=1e-3), "nothing overflowed: the test is void"


@pytest.mark.parametrize("group", [0, 16])
@pytest.mark.parametrize("weights", FORMATS)
def test_float_differs_from_exact_by_the_rounding_of_its_sum_only(weights, group):
    linear, recipe = make(weights, k=200, n=30, group_size=group)
    layer = QuantLinear.from_float(linear, recipe)
    x = torch.randn(17, 200)
    y = {}
    for layer.execution in EXECUTIONS:
        y[layer.execution] = layer(x).double()
    a = layer.quantize_input(x)
    value = (a.codes.view(torch.int8).double() - a.zero[:, None]) * a.scale[:, None]
    magnitude = value.abs() @ layer.dequantized_weight().double().abs().T + linear.bias.abs()
    # A product of two rounded factors and a sum of 200, each step off by at most 2**-24 relative;
    # 16 more steps cover scales, conversion, groups and bias.
    bound = (200 + 16) * 2.0**-24 * magnitude
    assert ((y["float"] - y["exact"]).abs() <= bound).all()
    assert (y["exact"] - linear(x).double()).abs().max() > 0


@pytest.mark.parametrize("weights", ["int8", "dint4", "dint4z"])
def test_weights_are_rounded_to_the_nearest_level(weights):
    linear, recipe = make(weights, k=64, n=20)
    layer = QuantLinear.from_float(linear, recipe)
    fmt = layer.spec.weights
    w = linear.weight.detach().double().numpy()
    for n in range(20):
        z = 0 if layer.zero_point is None else int(layer.zero_point[n])
        table = np.array(fmt.levels_at(z)) / 2**fmt.frac_bits * layer.scale[n].double().item()
        best = np.abs(w[n][:, None] - table).min(axis=1)
        got = np.abs(w[n] - table[layer.qweight[n].numpy()])
        assert (got <= best * (1 + 1e-6) + 1e-9).all()


def test_the_argument_is_not_touched():
    linear, recipe = make("dint4z")
    before = {name: tensor.clone() for name, tensor in linear.state_dict().items()}
    layer = QuantLinear.from_float(linear, recipe)
    layer.bias += 1
    assert all(torch.equal(linear.state_dict()[name], before[name]) for name in before)
    assert linear.weight.requires_grad
    x = torch.randn(2, 40)
    kept = x.clone()
    layer(x)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("weights", ["int4", "dint4z"])
def test_zero_rows_and_zero_tokens_give_zero(weights, execution):
    linear, recipe = make(weights)
    with torch.no_grad():
        linear.weight[3] = 0
        linear.bias[:] = 0
    layer = QuantLinear.from_float(linear, recipe)
    layer.execution = execution
    x = torch.randn(4, 40)
    x[2] = 0
    y = layer(x)
    assert torch.isfinite(y).all()
    assert (y[2] == 0).all()
    assert (y[:, 3] == 0).all()


@pytest.mark.parametrize("weights", ["dint4", "int4z"])
def test_exact_does_not_depend_on_threads_or_on_the_batch(weights):
    linear, recipe = make(weights, k=128, n=96)
    layer = QuantLinear.from_float(linear, recipe)
    layer.execution = "exact"
    x = torch.randn(50, 128)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = layer(x)
        torch.set_num_threads(2)
        assert torch.equal(layer(x), one)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.cat([layer(row[None]) for row in x]), one)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_shapes_and_dtypes_are_kept(execution):
    linear, recipe = make("dint4")
    layer = QuantLinear.from_float(linear.half(), recipe)
    layer.execution = execution
    for shape in ((40,), (2, 3, 40), (0, 40)):
        y = layer(torch.randn(shape).half())
        assert y.shape == (*shape[:-1], 12)
        assert y.dtype == torch.float16


def test_casting_a_layer_leaves_its_scales_alone():
    linear, recipe = make("int4z")
    layer = QuantLinear.from_float(linear, recipe)
    kept = layer.scale.clone()
    layer.to(torch.bfloat16).to(torch.float64)
    assert layer.scale.dtype == torch.float32
    assert torch.equal(layer.scale, kept)
    assert layer.bias.dtype == torch.float64


def test_symmetric_activations_in_any_format():
    for name in ("int8", "fp8_e4m3", "int4"):
        activations = Activations(format=name, scheme="token-symmetric")
        linear, recipe = make("dint4", n=4, activations=activations)
        layer = QuantLinear.from_float(linear, recipe)
        x = torch.randn(3, 40)
        a = layer.quantize_input(x)
        assert (a.zero == 0).all()
        assert a.codes.int().max() < 2**layer.spec.activations.width
        layer.execution = "exact"
        assert torch.equal(layer(x), golden_linear(layer, x))


@pytest.mark.parametrize("group", [0, 7])
@pytest.mark.parametrize("weights", ["int4", "dint4z", "nf4"])
def test_activations_in_float_are_used_as_they_are(weights, group):
    activations = Activations(scheme="float")
    linear, recipe = make(weights, activations=activations, group_size=group)
    layer = QuantLinear.from_float(linear, recipe)
    x = torch.randn(2, 3, 40)
    wanted = x @ layer.dequantized_weight().T + linear.bias
    assert torch.allclose(layer(x), wanted, rtol=1e-6, atol=1e-6)
    half = x.half()
    assert torch.allclose(layer(half).float(), wanted, rtol=1e-2, atol=1e-2)
    assert f"{weights} x float, " in repr(layer)
    with pytest.raises(ValueError, match=r"^exact execution needs quantized activations"):
        layer.execution = "exact"
    assert layer.execution == "float"
    with pytest.raises(ValueError, match=r"^activations that stay in float have no codes$"):
        layer.quantize_input(x)
    x[1, 1, 1] = float("inf")
    with pytest.raises(ValueError, match="the input of a quantized layer is not finite"):
        layer(x)


def test_asymmetric_tokens_by_hand():
    linear, recipe = make("int8", k=3, n=1)
    a = QuantLinear.from_float(linear, recipe).quantize_input(torch.tensor([[-1.0, 0.0, 1.55]]))
    assert a.scale.item() == torch.tensor(2.55).div(255).item()  # 0.01: 255 steps of it
    assert a.zero.item() == 100 - 128
    assert a.codes.view(torch.int8).tolist() == [[-128, -28, 127]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(bad):
    linear, recipe = make("dint4")
    layer = QuantLinear.from_float(linear, recipe)
    x = torch.zeros(2, 40)
    x[1, 5] = bad
    with pytest.raises(ValueError, match="the input of a quantized layer is not finite"):
        layer(x)
    with torch.no_grad():
        linear.weight[1, 1] = bad
    with pytest.raises(ValueError, match="the weight has values that are not finite"):
        QuantLinear.from_float(linear, recipe)


def test_wrong_settings_are_refused():
    linear, recipe = make("dint4")
    layer = QuantLinear.from_float(linear, recipe)
    with pytest.raises(ValueError, match="execution must be one of float, exact, not 'fast'"):
        layer.execution = "fast"
    narrow = Recipe(
        weights=Weights(format="int8"), accumulator=Accumulator(width=20, overflow="exact")
    )
    with pytest.raises(ValueError, match="accumulator of 20 bits is not exact for 40 int8 x int8"):
        QuantLinear.from_float(linear, narrow)
    assert "dint4 x int8, 32-bit wrap, execution=float" in repr(layer)
