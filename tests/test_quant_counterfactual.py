"""Layers with one kind of error only: their weights, and what they refuse."""

import re

import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import nn

import macsmith.quant as quant
from macsmith.quant import steps
from macsmith.quant.counterfactual import CounterfactualLinear, quantized_layer
from macsmith.quant.export_compressed import save_compressed
from macsmith.quant.linear import QuantLinear
from macsmith.quant.recipe import Activations, Attention, Recipe, Weights
from macsmith.quant.tokens import fake_tokens
from macsmith.quant.underflow import analyse

KINDS = ("without-rounding", "without-underflow")


def recipe(errors, weights="int4", group=0, **more):
    return Recipe(weights=Weights(format=weights, group_size=group, errors=errors), **more)


@pytest.mark.parametrize("group", [0, 8])
@pytest.mark.parametrize("weights", ["int4", "dint4z", "int4z", "nf4"])
@pytest.mark.parametrize("errors", KINDS)
def test_only_the_weights_of_one_kind_are_touched(errors, weights, group):
    torch.manual_seed(0)
    linear = nn.Linear(30, 9)
    layer = quantized_layer(linear, recipe(errors, weights, group))
    rounded = quantized_layer(linear, recipe("all", weights, group)).dequantized_weight()
    assert type(layer) is CounterfactualLinear
    found, w, ran = layer.dequantized_weight(), linear.weight, 0
    for n in range(9):
        for k in range(30):
            near = rounded[n, k] == 0
            if errors == "without-rounding":
                assert found[n, k] == (0 if near else w[n, k])
            else:
                assert found[n, k] == (w[n, k] if near else rounded[n, k])
            ran += bool(near)
    assert 5 < ran < 200
    x = torch.randn(4, 30)
    seen = fake_tokens(x, layer.spec.activations, layer.activations)
    assert torch.equal(layer(x), F.linear(seen, found) + linear.bias)


@pytest.mark.parametrize("chain", [(steps.Rtn(),), (steps.Aqas(samples=2), steps.Gptq())])
def test_eq_4_of_a_counterfactual_has_the_other_term_only(chain):
    for errors in KINDS:
        rows = analyse(tiny.opt(), recipe(errors, steps=chain), tiny.ids())
        assert len(rows) == 12
        for row in rows:
            # What rounds to 0 is what is 0: of the first kind all else is exact.
            gone, left = row.rounding, row.underflow
            if errors == "without-underflow":
                gone, left = left, gone
            assert gone == 0
            assert left == pytest.approx(row.total, rel=1e-9)
            assert left > 0


def test_weights_alone_and_what_is_quantized_are_told_apart():
    model = tiny.llama()
    alone = recipe(KINDS[0], activations=Activations(scheme="float"))
    names = quant.quantize_(model, alone)
    assert [name for name, _ in quant.quantized_layers(model)] == names
    assert all(type(layer) is CounterfactualLinear for _, layer in quant.quantized_layers(model))
    other = tiny.llama()
    quant.quantize_(other, recipe("all"))
    assert all(type(layer) is QuantLinear for _, layer in quant.quantized_layers(other))


def test_the_weight_stays_float32_when_the_module_is_cast():
    layer = quantized_layer(nn.Linear(6, 3), recipe(KINDS[1]))
    before = layer.mixed.clone()
    layer.to(torch.bfloat16)
    assert layer.mixed.dtype == torch.float32
    assert torch.equal(layer.mixed, before)


@pytest.mark.parametrize("errors", KINDS)
def test_there_is_nothing_to_execute_exactly_to_save_or_to_export(errors, tmp_path):
    model = tiny.opt()
    quant.quantize_(model, recipe(errors))
    with pytest.raises(ValueError, match=f"all of the weights' errors: these are {errors}$"):
        quant.set_execution(model, "exact")
    assert {layer.execution for _, layer in quant.quantized_layers(model)} == {"float"}
    with pytest.raises(ValueError, match=f"weights.errors '{errors}': such a model is computed,"):
        quant.save_quantized(model, tmp_path / "q")
    with pytest.raises(ValueError, match=f"cannot say weights {errors}$"):
        save_compressed(model, tmp_path / "ct")
    assert not list(tmp_path.iterdir())
    name = "model.decoder.layers.1.fc1"
    with pytest.raises(ValueError, match=f"^layer '{name}': exact execution needs all of the w"):
        quant.layer_operands(model, name, input_ids=tiny.ids())


VALUE = Attention(value=Weights(format="int4", errors=KINDS[1]))


@pytest.mark.parametrize(
    ("weights", "parts", "words"),
    [
        ("int4", {"steps": (steps.Gwq(),)}, "weights.errors 'without-rounding': gwq's weights are"),
        ("nf4", {"steps": (steps.Daq(),)}, "weights.errors 'without-rounding': daq's weights are"),
        ("int4", {"attention": VALUE}, "attention.value.errors 'without-underflow': only layers"),
    ],
)
def test_recipes_for_which_it_means_nothing_are_refused(weights, parts, words):
    errors = "all" if "attention" in parts else KINDS[0]
    with pytest.raises(ValueError, match=re.escape(words)):
        recipe(errors, weights, **parts)
