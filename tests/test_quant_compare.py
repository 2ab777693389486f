"""Exact and float execution side by side: the bound holds, and it is seen where it does not."""

import pytest
import tiny
import torch

import macsmith.quant as quant
from macsmith.quant import steps
from macsmith.quant.compare import compare
from macsmith.quant.recipe import Accumulator, Attention, Recipe, Weights


def made(recipe, make=tiny.opt):
    model = make()
    quant.quantize_(model, recipe, tiny.ids())
    return model


RECIPES = {
    "w4a8": Recipe(weights=Weights(format="dint4")),
    "w4a8v4": Recipe(weights=Weights(format="dint4z"), attention=Attention()),
    "groups": Recipe(
        weights=Weights(format="int4z", group_size=7),
        attention=Attention(value=Weights(format="dint4z", group_size=3)),
    ),
    "kept": Recipe(weights=Weights(format="int4"), steps=(steps.Gwq(fraction=0.3),)),
    "offsets": Recipe(
        weights=Weights(format="nf4", group_size=8), steps=(steps.Daq(epochs=0, start="center"),)
    ),
}


@pytest.mark.parametrize("make", [tiny.opt, tiny.llama_gqa])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_bound_holds_and_is_not_idle(recipe, make):
    model = made(recipe, make)
    seen = []
    found = compare(model, tiny.ids(3), progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    layers = dict(quant.quantized_layers(model))
    products = 2 * 2 * bool(recipe.attention)
    assert len(found) == len(layers) + products
    assert sum(":" in one.layer for one in found) == products
    for one in found:
        assert one.holds, one
        assert one.of_bound < 0.5
        assert one.ulps < 40
        width = layers[one.layer].out_features if one.layer in layers else None
        assert one.outputs == 3 * 20 * (width or 4 * (20 if "scores" in one.layer else 6))
    # Two ways of computing, not one twice: the same is only where sums have few terms.
    assert sum(one.differing > 0 for one in found) > len(found) / 2
    assert max(one.of_bound for one in found) > 1e-3
    assert all(layer.execution == "float" for layer in layers.values())


def test_it_is_what_the_layers_themselves_give():
    """By hand for one layer: its own input, both executions."""
    model, name = made(RECIPES["w4a8"]), "model.decoder.layers.1.fc2"
    layer, given = model.get_submodule(name), []
    hook = layer.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    with torch.no_grad():
        model(tiny.ids(2))
        hook.remove()
        float_ = layer(given[0])
        layer.execution = "exact"
        gap = (layer(given[0]) - float_).abs()
    layer.execution = "float"
    one = next(one for one in compare(model, tiny.ids(2), batch=2) if one.layer == name)
    assert one.largest == gap.max().item() > 0
    assert one.differing == (gap > 0).sum()
    top = float_.abs().amax(dim=-1)
    next_one = torch.nextafter(top, torch.tensor(torch.inf))
    ulps = (gap.amax(dim=-1).double() / (next_one.double() - top.double())).max().item()
    assert one.ulps == pytest.approx(ulps)


def test_an_overflow_is_seen():
    narrow = Recipe(
        weights=Weights(format="dint4"), accumulator=Accumulator(width=13, overflow="wrap")
    )
    found = compare(made(narrow), tiny.ids(1))
    assert max(one.of_bound for one in found) > 100
    assert not all(one.holds for one in found)


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match="no quantized layer"):
        compare(tiny.opt(), tiny.ids(1))
    with pytest.raises(ValueError, match="exact execution needs quantized activations"):
        compare(made("w4a16-rtn-int4"), tiny.ids(1))
