"""quantize_ on models of several kinds: what is taken, what is left, and nothing in between."""

import copy

import pytest
import tiny
import torch
from torch import nn

import macsmith.quant as quant
from macsmith.quant import steps
from macsmith.quant.offset import add_offsets, input_sums
from macsmith.quant.recipe import Recipe, Weights
from macsmith.quant.tokens import Operands
from macsmith.sim import engine


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.Linear(16, 32)
        self.down = nn.Linear(32, 16, bias=False)
        self.attention = nn.MultiheadAttention(16, 2)  # reads out_proj.weight past its forward
        self.lm_head = nn.Linear(16, 7)

    def forward(self, x):
        x = x + self.attention(x, x, x)[0]
        return self.lm_head(x + self.down(torch.relu(self.up(x))))


@pytest.fixture
def block():
    torch.manual_seed(0)
    return Block().eval()


def test_linear_layers_are_taken_and_the_ignored_left(block):
    assert quant.quantize_(block, "w4a8-rtn-dint4") == ["up", "down"]
    assert type(block.lm_head) is nn.Linear
    assert [name for name, _ in quant.quantized_layers(block)] == ["up", "down"]
    assert block(torch.randn(5, 16)).shape == (5, 7)


def test_select_and_patterns_choose(block):
    recipe = Recipe(weights=Weights(format="int4"), ignore=("1.*", "lm_head"))
    model = nn.Sequential(block, copy.deepcopy(block))
    names = quant.quantize_(model, recipe, select=lambda name, layer: layer.bias is None)
    assert names == ["0.down"]


def test_execution_switches_without_rounding_again(block):
    quant.quantize_(block, "w4a8-rtn-dint4z")
    codes = {name: layer.qweight.clone() for name, layer in quant.quantized_layers(block)}
    x = torch.randn(4, 16)
    first = block(x)
    assert quant.set_execution(block, "exact") == 2
    exact = block(x)
    quant.set_execution(block, "float")
    assert torch.equal(block(x), first)
    assert torch.allclose(first, exact, atol=1e-5)
    assert not torch.equal(first, exact)
    for name, layer in quant.quantized_layers(block):
        assert torch.equal(layer.qweight, codes[name])


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe.get("w4a8-rtn-int4z"),
        Recipe(weights=Weights(format="dint4", group_size=8), steps=(steps.Gwq(fraction=0.1),)),
        Recipe(weights=Weights(format="nf4", group_size=8), steps=(steps.Daq(epochs=0),)),
    ],
    ids=["zero points", "kept weights", "offsets"],
)
def test_layer_operands_are_all_that_an_output_is_made_of(recipe):
    model, name, given = tiny.opt(), "model.decoder.layers.1.fc1", {}
    quant.quantize_(model, recipe, tiny.ids())
    layer = model.get_submodule(name)
    layer.register_forward_hook(lambda _, args, y: given.update(y=y))
    quant.set_execution(model, "exact")
    ops = quant.layer_operands(model, name, input_ids=tiny.ids())
    assert ops.a_codes.shape == (6 * 20, 24)
    assert ops.w_codes.shape == (40, 24)
    w = [
        engine.Weights.from_codes(
            ops.w_codes[:, part],
            ops.spec,
            None if ops.zero_point is None else ops.zero_point[:, g],
        )
        for g, part in enumerate(layer.groups())
    ]
    y = engine.linear(ops.a_codes, ops.a_scale, ops.a_zero, w, ops.w_scale)
    a = Operands(ops.a_codes, ops.a_scale, ops.a_zero)
    ran = 0
    if ops.offset is not None:
        add_offsets(y, input_sums(a, ops.spec.activations, layer.groups()), ops.offset)
        ran += ops.offset.abs().min() > 0
    if ops.kept is not None:
        x = a.dequantized(ops.spec.activations)
        for place, value in zip(ops.kept.index.tolist(), ops.kept.value.float(), strict=True):
            y[:, place // 24] += x[:, place % 24] * value
            ran += 1
    assert (ran > 0) == (recipe.steps[0].method != "rtn")
    assert torch.equal((y + ops.bias).view(given["y"].shape), given["y"])


def test_operands_of_what_is_not_there(block):
    quant.quantize_(block, "w4a8-rtn-int4z")
    with pytest.raises(ValueError, match="'lm_head' is no quantized layer"):
        quant.layer_operands(block, "lm_head", x=torch.randn(1, 16))


def test_a_bad_weight_leaves_the_model_as_it_was(block):
    with torch.no_grad():
        block.down.weight[0, 0] = float("nan")
    with pytest.raises(
        ValueError, match=r"^layer 'down': the weight has values that are not finite"
    ):
        quant.quantize_(block, "w8a8-rtn")
    assert type(block.up) is nn.Linear


def test_wrong_requests_are_refused(block):
    with pytest.raises(ValueError, match="no quantized layer: quantize it first"):
        quant.set_execution(block, "exact")
    with pytest.raises(ValueError, match="unknown recipe 'w4a8'; wanted w8a8-STEPS, w<b"):
        quant.quantize_(block, "w4a8")
    with pytest.raises(ValueError, match="the nearest is 'w4a8-gptq-dint4'"):
        quant.quantize_(block, "w4a8-gtpq-dint4")
    with pytest.raises(ValueError, match="method 'gptq' needs calibration: token ids"):
        quant.quantize_(block, "w4a8-gptq-dint4")
    recipe = Recipe(weights=Weights(format="int4"), ignore=("fc9",))
    with pytest.raises(ValueError, match="ignore: 'fc9' matches no linear layer of the model"):
        quant.quantize_(block, recipe)
    with pytest.raises(
        ValueError, match=r"no linear layer to quantize \(it has 0 nn.Linear, all left out\)"
    ):
        quant.quantize_(nn.Sequential(nn.ReLU()), "w8a8-rtn")
    quant.quantize_(block, "w8a8-rtn")
    with pytest.raises(ValueError, match=r"^2 layers of the model are quantized already$"):
        quant.quantize_(block, "w8a8-rtn")
    with pytest.raises(ValueError, match="execution must be one of float, exact, not 'rtl'"):
        quant.set_execution(block, "rtl")


def test_progress_is_told(block):
    seen = []
    quant.quantize_(block, "w8a8-rtn", progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 2), (2, 2)]


def test_a_layer_used_in_two_places_stays_one():
    shared = nn.Linear(8, 8)
    model = nn.ModuleDict({"a": shared, "b": shared, "c": nn.Linear(8, 8)})
    assert quant.quantize_(model, "w4a8-rtn-dint4") == ["a", "b", "c"]
    assert model["a"] is model["b"]
    assert isinstance(model["a"], quant.QuantLinear)


def test_a_weight_tied_to_an_embedding_is_refused():
    model = nn.ModuleDict({"embed": nn.Embedding(16, 8), "head": nn.Linear(8, 16, bias=False)})
    model["head"].weight = model["embed"].weight
    with pytest.raises(ValueError, match=r"^'head' shares its weight with 'embed', which stays in"):
        quant.quantize_(model, "w4a8-rtn-dint4")
    assert type(model["head"]) is nn.Linear


def test_a_group_longer_than_the_row_is_the_row():
    model = nn.ModuleDict({"a": nn.Linear(8, 4)})
    quant.quantize_(model, Recipe(weights=Weights(format="int4", group_size=10**40)))
    assert model["a"].scale.shape == (4, 1)
