"""Eq. 4: the parts of a weight error by hand, their sum, and what models say of them."""

import pytest
import tiny
import torch
from torch import nn

import macsmith.quant as quant
from macsmith.quant import steps
from macsmith.quant.linear import QuantLinear
from macsmith.quant.recipe import Recipe, Weights
from macsmith.quant.underflow import analyse, terms

INT4 = Recipe(weights=Weights(format="int4"))


def made(weight, recipe=INT4):
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight.data = weight
    return linear, QuantLinear.from_float(linear, recipe)


def test_by_hand():
    """Scale 1: 0.25 becomes 0, 1.75 becomes 2, -7 stays; and a weight that is 0 is no underflow."""
    linear, layer = made(torch.tensor([[0.25, 1.75, -7.0, 0.0]]))
    x = torch.tensor([[1.0, 1, 5, 9], [2, -4, 0, 0]])
    found = terms("here", linear, layer, x)
    # By token, Du X is -0.25 and -0.5, Dr X is 0.25 and -1, W X is -33 and -6.5.
    assert found.underflow == (0.25**2 + 0.5**2) / 2
    assert found.rounding == (0.25**2 + 1) / 2
    assert found.cross == 2 * (-0.25 * 0.25 + 0.5 * 1) / 2
    assert found.total == (0**2 + 1.5**2) / 2
    assert found.output == (33**2 + 6.5**2) / 2
    assert found.zeroed == pytest.approx(1 / 3)


CHAINS = {
    "rtn": (steps.Rtn(),),
    "aqas-gptq": (steps.Aqas(samples=2), steps.Gptq()),
    "gwq": (steps.Gwq(fraction=0.05),),
    "aweq": (steps.Aweq(), steps.Rtn(), steps.BiasCorrection()),
}


@pytest.mark.parametrize("weights", ["int4", "dint4z", "int3"])
@pytest.mark.parametrize("chain", CHAINS)
def test_the_parts_of_every_layer_sum_up_to_its_error(chain, weights):
    model = tiny.llama()
    recipe = Recipe(weights=Weights(format=weights, group_size=10), steps=CHAINS[chain])
    rows = analyse(model, recipe, tiny.ids())
    layers = dict(quant.quantized_layers(model))
    assert sorted(row.layer for row in rows) == sorted(layers)
    assert len(rows) == 14
    for row in rows:
        assert row.rounding > 0
        assert row.underflow > 0
        assert row.rounding + row.underflow + row.cross == pytest.approx(row.total, rel=1e-9)
        assert row.total < row.output
        weight = layers[row.layer].dequantized_weight()
        assert row.zeroed == pytest.approx((weight == 0).float().mean().item(), abs=1e-6)


def test_analysing_changes_nothing_of_what_is_made():
    """Rounding to nearest looks at no input: block by block the codes are the same."""
    plain, watched = tiny.opt(), tiny.opt()
    quant.quantize_(plain, "w4a8-rtn-int4")
    assert len(analyse(watched, "w4a8-rtn-int4", tiny.ids())) == 12
    for (_, a), (_, b) in zip(
        quant.quantized_layers(plain), quant.quantized_layers(watched), strict=True
    ):
        assert torch.equal(a.qweight, b.qweight)
        assert torch.equal(a.scale, b.scale)
    assert torch.equal(*(m(input_ids=tiny.ids()).logits for m in (plain, watched)))


def test_half_steps_take_the_underflow_out():
    """Heavy-tailed rows, as the paper has them: most weights of INT4 round to 0, dINT4's do not."""
    draw = torch.Generator().manual_seed(0)
    w = torch.randn(64, 256, generator=draw) / torch.rand(64, 256, generator=draw).sqrt()
    x = torch.randn(200, 256, generator=draw)
    found = {}
    for name in ("int4", "dint4"):
        recipe = Recipe(weights=Weights(format=name))
        found[name] = terms(name, *made(w, recipe), x)
    assert found["int4"].underflow > found["int4"].rounding
    assert found["dint4"].underflow < 0.5 * found["int4"].underflow
    assert found["dint4"].zeroed < found["int4"].zeroed
    assert found["dint4"].total < found["int4"].total


def test_what_does_not_fit_is_refused():
    linear, layer = made(torch.randn(3, 4))
    with pytest.raises(ValueError, match=r"^layer 'x': a weight of \[3, 4\] is not made of \[3, 5"):
        terms("x", nn.Linear(5, 3), layer, torch.ones(1, 5))
    with pytest.raises(ValueError, match=r"^layer 'x': its inputs are not finite$"):
        terms("x", linear, layer, torch.full((1, 4), float("nan")))
    with pytest.raises(ValueError, match=r"^watch needs calibration: token ids \[samples, length"):
        analyse(tiny.opt(), "w4a8-rtn-int4", None)
