"""Groups and folds: what is found where, that nothing else is scaled, that the model stays."""

import pytest
import tiny
import torch
from transformers import OlmoConfig, OlmoForCausalLM

import macsmith.quant as quant
from macsmith.quant.blocks import blocks_of
from macsmith.quant.convert import linear_layers
from macsmith.quant.groups import fold, groups_of, takes
from macsmith.quant.recipe import Recipe, Weights
from macsmith.quant.steps import Aqas, Atq, Aweq, Awq, Rtn, SmoothQuant

OPT = {
    "q_proj k_proj v_proj": "self_attn_layer_norm",
    "out_proj": "v_proj",
    "fc1": "final_layer_norm",
    "fc2": "fc1",
}
LLAMA = {
    "q_proj k_proj v_proj": "input_layernorm",
    "o_proj": "v_proj",
    "gate_proj up_proj": "post_attention_layernorm",
    "down_proj": "up_proj",
}
#: Layers with one input, by the last part of their names, and where it can be scaled.
EXPECTED = {
    tiny.opt: OPT,
    tiny.opt_post_norm: OPT | {"q_proj k_proj v_proj": None, "fc1": None},
    tiny.llama: LLAMA,
    tiny.llama_gqa: LLAMA | {"o_proj": None},
    tiny.qwen2: LLAMA,
    tiny.gemma: LLAMA,
    tiny.phi: {"q_proj k_proj v_proj fc1": "input_layernorm", "dense": "v_proj", "fc2": None},
    tiny.neox: {
        "query_key_value": "input_layernorm",
        "dense": None,
        "dense_h_to_4h": "post_attention_layernorm",
        "dense_4h_to_h": None,
    },
}


def last(name):
    return name.rpartition(".")[2]


@pytest.mark.parametrize("large", [False, True], ids=["plain", "massive"])
@pytest.mark.parametrize("make", EXPECTED)
def test_groups_and_their_producers(make, large):
    """With one token's residual thousands of times the others', as large models have it, too."""
    model = make()
    if large:
        with torch.no_grad():
            model.get_input_embeddings().weight[tiny.ids()[0, 0], 3] = 3e4
    names = {module: last(name) for name, module in model.named_modules()}
    ran = 0
    for _, groups in tiny.scaled_blocks(model):
        found = {" ".join(map(last, g.names)): names.get(g.producer) for g in groups}
        assert found == EXPECTED[make]
        ran += 1
    assert ran == 2


def test_the_parent_is_the_smallest_module_that_holds_all():
    for make, parents in (
        (tiny.llama, ["self_attn", "o_proj", "mlp", "down_proj"]),
        (tiny.phi, [None, "dense", "fc2"]),
    ):
        model = make()
        names = {module: last(name) for name, module in model.named_modules()}
        for _, groups in tiny.scaled_blocks(model):
            assert [names.get(g.parent) for g in groups] == parents


@pytest.mark.parametrize(
    "step",
    [SmoothQuant(), Awq(samples=2), Aqas(samples=2), Aweq(), Atq(quantile=0.8)],
    ids=lambda step: step.method,
)
@pytest.mark.parametrize("make", EXPECTED)
def test_scales_leave_the_logits_as_they_were(make, step):
    model = make()
    wanted = model(input_ids=tiny.ids()).logits
    before = {name: p.clone() for name, p in model.named_parameters()}
    for _ in tiny.scaled_blocks(model, step):
        pass
    changed = sum(not torch.equal(p, before[name]) for name, p in model.named_parameters())
    norms_only = step.method == "smoothquant"
    assert changed >= 4 or (changed == 0 and norms_only and make is tiny.opt_post_norm)
    gap = (model(input_ids=tiny.ids()).logits - wanted).abs().max()
    assert gap <= 2e-4 * wanted.abs().max()


@pytest.mark.parametrize("make", EXPECTED)
def test_a_fold_divides_the_input_and_nothing_else(make):
    ran = 0
    for block, groups in tiny.scaled_blocks(make()):
        for group in groups:
            if group.producer is None:
                with pytest.raises(ValueError, match=r"^the input of .* cannot be scaled$"):
                    fold(group, torch.ones(group.width))
                continue
            s = 2.0 ** torch.arange(group.width).remainder(5)
            before, out = list(block.inputs(group.layers[0], 2)), block.run(2)
            fold(group, s)
            for x, y in zip(before, block.inputs(group.layers[0], 2), strict=True):
                assert torch.allclose(y, x / s, rtol=1e-4, atol=1e-6)
            for a, b in zip(out, block.run(2), strict=True):
                assert torch.allclose(a, b, rtol=1e-4, atol=1e-4)
            ran += 1
    assert ran >= 4


def test_a_layer_left_in_float_stops_the_scaling_of_its_input():
    """v_proj reads what the norm puts out: with it left alone, nothing may be scaled there."""
    model = tiny.llama()
    wanted = model(input_ids=tiny.ids()).logits
    r = Recipe(weights=Weights(format="int8"), steps=(SmoothQuant(), Rtn()), ignore=("*.v_proj",))
    norm = model.model.layers[0].input_layernorm.weight.clone()
    quant.quantize_(model, r, tiny.ids(), select=lambda name, _: name != "lm_head")
    assert torch.equal(model.model.layers[0].input_layernorm.weight, norm)
    gap = model(input_ids=tiny.ids()).logits - wanted
    assert gap.norm() < 0.1 * wanted.norm()


@pytest.mark.parametrize("left", ["k_proj", "v_proj", "up_proj"])
def test_it_does_so_beside_a_large_residual(left):
    """Of which the block's output shows little else."""
    model = tiny.llama()
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 3] += 1e5
    recipe = Recipe(weights=Weights(format="int8"), ignore=("lm_head", left))
    scaled = []
    for block in blocks_of(model, linear_layers(model, recipe), tiny.ids()):
        scaled += [
            name.rpartition(".")[2]
            for group in groups_of(block) if group.producer is not None
            for name in group.names
        ]  # fmt: skip
    together = {"gate_proj"} if left == "up_proj" else {"q_proj", "k_proj", "v_proj"}
    assert "down_proj" in scaled
    assert not together & set(scaled)


def test_trying_leaves_every_parameter_as_it_was():
    for make in tiny.FAMILIES:
        model = make()
        before = {name: p.clone() for name, p in model.named_parameters()}
        for block, groups in tiny.scaled_blocks(model):
            again = groups_of(block)
            assert [g.names for g in again] == [g.names for g in groups]
        after = dict(model.named_parameters())
        assert all(torch.equal(after[name], p) for name, p in before.items())


@pytest.mark.parametrize("make", EXPECTED)
def test_every_family_is_quantized_from_end_to_end(make):
    wanted = make()(input_ids=tiny.ids()).logits
    model = make()
    names = quant.quantize_(model, "w8a8-aqas-gptq", tiny.ids())
    assert len(names) == len(set(names)) >= 8
    gap = model(input_ids=tiny.ids()).logits - wanted
    assert gap.norm() < 0.05 * wanted.norm()


def clipping(limit):
    """OLMo's values are limited, so a scale between v_proj and o_proj must not make them large."""
    torch.manual_seed(0)
    sizes = tiny.COMMON | {"hidden_size": 32}
    model = OlmoForCausalLM(OlmoConfig(**sizes, intermediate_size=64, clip_qkv=limit)).eval()
    with torch.no_grad():
        for layer in model.model.layers:
            for p in layer.parameters():
                p.mul_(10)
            layer.self_attn.o_proj.weight[:, 3] *= 20
    return model


@torch.no_grad()
def test_a_scale_that_the_block_would_not_take_is_left_out():
    """The float model stays what it was, whatever the step; and it is no idle test."""
    for limit in (None, 8.0):
        model = clipping(limit)
        wanted, left = model(tiny.ids()).logits, 0
        for block, groups in tiny.scaled_blocks(model, Aqas(samples=2)):
            for group in (g for g in groups if g.names[0].endswith("o_proj")):
                left += group.producer is None
                if group.producer is not None:
                    assert takes(block, group, torch.ones(group.width))
        assert (left > 0) == (limit is not None)
        gap = (model(tiny.ids()).logits - wanted).abs().max()
        assert gap < 1e-4 * wanted.abs().max()
