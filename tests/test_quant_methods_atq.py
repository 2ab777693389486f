"""ATQ: only outliers shrink, the model stays, GPTQ lessens the weights' term, the bound holds."""

import pytest
import tiny
import torch

import macsmith.quant as quant
from macsmith.quant.bounds import error_bound
from macsmith.quant.methods.atq import shrinking
from macsmith.quant.recipe import Recipe, Weights
from macsmith.quant.steps import Atq, Gptq, Rtn


def recipe(*steps, weights="int8"):
    return Recipe(weights=Weights(format=weights), steps=steps)


def test_scales_are_the_rules():
    x = torch.tensor([0.0, 1, 2, 3, 4, 100])
    assert shrinking(x, Atq(quantile=0.8)).tolist() == [1, 1, 1, 1, 1, 25]
    assert shrinking(x, Atq(quantile=0.9)).tolist() == pytest.approx([1, 1, 1, 1, 1, 100 / 52])
    assert shrinking(x, Atq(quantile=1.0)).tolist() == [1] * 6
    assert shrinking(x, Atq(rule="median")).tolist() == [1, 0.5, 1, 1.5, 2, 50]
    dead = torch.tensor([0.0, 0, 0, 8])
    for step in (Atq(quantile=0.5), Atq(rule="median")):
        assert shrinking(dead, step).tolist() == [1] * 4


@pytest.mark.parametrize("rule", ["quantile", "median"])
@pytest.mark.parametrize("make", tiny.MODELS)
def test_channels_are_in_range_and_the_model_is_as_it_was(make, rule):
    model, plain = make(), make()
    wanted = model(input_ids=tiny.ids()).logits
    step = Atq(rule=rule, quantile=0.75)
    most = {}
    for scaled, found in ((step, model), (None, plain)):
        for block, groups in tiny.scaled_blocks(found, scaled):
            for group in groups:
                x = torch.cat(list(block.inputs(group.layers[0]))).detach().abs().amax(dim=0)
                most.setdefault(group.names, []).append((x, group.producer))
    ran = 0
    for (x, producer), (before, _) in most.values():
        if producer is None:
            assert torch.allclose(x, before, rtol=1e-3)
            continue
        ran += 1
        if rule == "quantile":
            assert x.max() == pytest.approx(before.quantile(0.75).item(), rel=1e-3)
        else:
            assert torch.allclose(x[x > 0], before.median(), rtol=1e-3)
    assert ran >= 6
    logits = model(input_ids=tiny.ids()).logits
    assert (logits - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("make", [tiny.opt, tiny.llama])
@pytest.mark.parametrize("weights", ["int8", "int4", "dint4z"])
def test_the_bound_holds_at_every_layer_and_gptq_lessens_its_first_term(make, weights):
    total = {}
    for rounding in (Gptq(), Rtn()):
        found = {}

        def watch(name, layer, quantized, inputs, found=found):
            found[name] = error_bound(layer, quantized, torch.cat(inputs))

        model = make()
        quant.quantize_(model, recipe(Atq(), rounding, weights=weights), tiny.ids(), watch=watch)
        assert found.keys() == dict(quant.quantized_layers(model)).keys()
        for name, norms in found.items():
            assert 0 < norms.total <= norms.bound * (1 + 1e-12), name
            assert norms.total < norms.output / 2, name
        total[rounding.method] = sum(norms.weights for norms in found.values())
    assert total["gptq"] < 0.9 * total["rtn"]


def test_what_is_watched_is_what_the_model_became():
    seen = {}
    model = tiny.opt()
    quant.quantize_(
        model,
        "w8a8-atq",
        tiny.ids(),
        watch=lambda name, _, layer, x: seen.update({name: (layer, x)}),
    )
    for name, layer in quant.quantized_layers(model):
        assert seen[name][0] is layer
        assert torch.cat(seen[name][1]).shape == (6 * 20, layer.in_features)
