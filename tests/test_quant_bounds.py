"""The bound on a layer's error: each norm against its definition, and what the sum promises."""

import math

import pytest
import torch
from torch import nn

from macsmith.quant import QuantLinear
from macsmith.quant.bounds import ErrorBound, error_bound
from macsmith.quant.recipe import Activations, Recipe, Weights


@pytest.mark.parametrize("group", [0, 7])
@pytest.mark.parametrize(
    ("weights", "orientation"),
    [
        ("int8", "positive"), ("int4", "positive"), ("dint4z", "positive"), ("nf4", "positive"),
        ("int4", "tail"),
    ],
)  # fmt: skip
def test_each_norm_is_its_definition_and_the_bound_holds(weights, orientation, group):
    torch.manual_seed(0)
    linear = nn.Linear(19, 6)
    options = Weights(format=weights, group_size=group, orientation=orientation)
    layer = QuantLinear.from_float(linear, Recipe(weights=options))
    assert (layer.scale < 0).any() == (orientation != "positive")
    x = torch.randn(2, 5, 19) * torch.randn(19).exp()
    found = error_bound(linear, layer, x)
    sums = dict.fromkeys(ErrorBound._fields, 0.0)
    w, rounded = linear.weight.tolist(), layer.dequantized_weight().tolist()
    a = layer.quantize_input(x)
    for t, token in enumerate(x.reshape(-1, 19).tolist()):
        level = a.codes[t].view(torch.int8).tolist()
        seen = [(q - a.zero[t].item()) * a.scale[t].item() for q in level]
        for row, row_q in zip(w, rounded, strict=True):
            terms = list(zip(row, row_q, token, seen, strict=True))
            sums["weights"] += math.fsum((r - q) * v for r, q, v, _ in terms) ** 2
            sums["inputs"] += math.fsum(q * (v - s) for _, q, v, s in terms) ** 2
            sums["total"] += math.fsum(r * v - q * s for r, q, v, s in terms) ** 2
            sums["output"] += math.fsum(r * v for r, _, v, _ in terms) ** 2
    for name, value in sums.items():
        assert getattr(found, name) == pytest.approx(math.sqrt(value), rel=1e-5), name
    assert found.bound == found.weights + found.inputs
    assert 0 < found.total <= found.bound * (1 + 1e-12)


def test_activations_in_float_have_no_error_of_their_own():
    linear = nn.Linear(19, 6)
    recipe = Recipe(weights=Weights(format="int4"), activations=Activations(scheme="float"))
    found = error_bound(linear, QuantLinear.from_float(linear, recipe), torch.randn(5, 19))
    assert found.inputs == 0 < found.weights
    assert found.total == pytest.approx(found.weights, rel=1e-12)


def test_the_bound_is_reached_where_both_errors_point_the_same_way():
    linear = nn.Linear(2, 1, bias=False)
    linear.weight.data = torch.tensor([[7.0, 0.4]])  # INT4 at scale 1: the second becomes 0
    recipe = Recipe(
        weights=Weights(format="int4"), activations=Activations(scheme="token-symmetric")
    )
    layer = QuantLinear.from_float(linear, recipe)
    x = torch.tensor([[127.0, 0.25]])  # scale 1: the second becomes 0
    assert error_bound(linear, layer, x) == pytest.approx((0.1, 0, 0.1, 889.1), abs=1e-5)
    x = torch.tensor([[126.75 / 2, 63.5, 127.0]])  # 63.375 becomes 63, 63.5 becomes 64
    linear.weight.data = torch.tensor([[7.0, 0.4, 0.0]])
    linear.in_features = 3
    layer = QuantLinear.from_float(linear, recipe)
    found = error_bound(linear, layer, x)
    assert found.weights == pytest.approx(25.4, abs=1e-4)
    assert found.inputs == pytest.approx(7 * 0.375, abs=1e-4)
    assert found.total == pytest.approx(found.bound, rel=1e-6)


def test_wrong_operands_are_refused():
    linear = nn.Linear(4, 3)
    layer = QuantLinear.from_float(linear, Recipe.get("w8a8-rtn"))
    with pytest.raises(
        ValueError, match=r"^a layer of \(4, 3\) channels in and out is not made of"
    ):
        error_bound(nn.Linear(4, 5), layer, torch.ones(1, 4))
    with pytest.raises(ValueError, match="the input of a quantized layer is not finite"):
        error_bound(linear, layer, torch.full((1, 4), float("inf")))
