"""Quantized attention: its two products against golden, masks, caches, saving."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
)
from transformers import OPTForCausalLM as Opt

from macsmith import quant
from macsmith.quant import attention
from macsmith.quant.attention import QuantAttention, _seen, attend, quantized_attentions
from macsmith.quant.recipe import Attention, Recipe, Weights
from macsmith.quant.tokens import quantize_tokens
from macsmith.quant.weights import quantize_weight
from macsmith.sim import golden


def opt() -> Opt:
    torch.manual_seed(0)
    shape = OPTConfig(
        vocab_size=64, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, word_embed_proj_dim=32, init_std=0.3,
    )  # fmt: skip
    return Opt(shape).eval()


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(shape).eval()


IDS = torch.arange(40).reshape(2, 20) % 64


def state(value: str = "dint4z", group_size: int = 0) -> QuantAttention:
    options = Attention(value=Weights(format=value, group_size=group_size))
    recipe = Recipe(weights=Weights(format="int8"), attention=options)
    made = QuantAttention(options, recipe.attention_specs())
    made.enabled = True
    return made


def by_golden(a, w, spec, weights, options) -> torch.Tensor:
    x = quantize_tokens(a, spec.activations, options.activations)
    rows = quantize_weight(w, spec.weights, weights)
    z = None if rows.zero_point is None else rows.zero_point.tolist()
    z = [(None,)] * len(w) if rows.zero_point is None else rows.zero_point.tolist()
    found = [
        [
            golden.linear(
                x.codes[t].tolist(), x.scale[t].item(), int(x.zero[t]), rows.codes[n].tolist(),
                rows.scale[n].tolist(), spec, zero_points=z[n],
            )
            for n in range(len(w))
        ]
        for t in range(len(a))
    ]  # fmt: skip
    return torch.tensor(found)


@pytest.mark.parametrize(
    ("value", "group_size"),
    [
        ("dint4z", 0), ("int4", 0), ("dint4", 5), ("dint4z_c4", 0), ("dint4z_c8", 5),
        ("dint4_c4", 0), ("dint4_c8", 0), ("dint3z", 0),
    ],
)  # fmt: skip
def test_both_products_are_golden_s(value, group_size):
    made = state(value, group_size)
    made.execution = "exact"
    draw = torch.Generator().manual_seed(1)
    q = torch.randn(1, 4, 5, 8, generator=draw)
    k, v = torch.randn(2, 1, 2, 9, 8, generator=draw)
    p = torch.randn(1, 4, 5, 9, generator=draw).softmax(dim=-1)
    scores, out = made.score(q, k), made.mix(p, v)
    for head in range(4):
        wanted = by_golden(q[0, head], k[0, head // 2], made.scores, made.options.key, made.options)
        assert torch.equal(scores[0, head], wanted)
        wanted = by_golden(
            p[0, head], v[0, head // 2].T, made.outputs, made.options.value, made.options
        )
        assert torch.equal(out[0, head], wanted)


def test_both_executions_agree_to_float_rounding():
    made = state()
    draw = torch.Generator().manual_seed(2)
    p = torch.randn(2, 4, 7, 11, generator=draw).softmax(dim=-1)
    v = torch.randn(2, 4, 11, 8, generator=draw)
    found = made.mix(p, v)
    made.execution = "exact"
    torch.testing.assert_close(made.mix(p, v), found, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [opt, llama])
def test_without_quantization_it_is_the_models_own_attention(make):
    model = make()
    wanted = model(input_ids=IDS).logits
    quant.quantize_(model, "w8a8v8-rtn-int8")
    for layer in quantized_attentions(model):
        layer.enabled = False
    assert len(quantized_attentions(model)) >= 2
    only_layers = make()
    quant.quantize_(only_layers, "w8a8-rtn")
    torch.testing.assert_close(model(input_ids=IDS).logits, only_layers(input_ids=IDS).logits)
    assert not torch.equal(model(input_ids=IDS).logits, wanted)


@pytest.mark.parametrize("make", [opt, llama])
def test_no_token_sees_the_future(make):
    """Eight-bit values whose groups are single tokens: only a missing mask could tell."""
    recipe = Recipe(
        weights=Weights(format="int8"),
        attention=Attention(value=Weights(format="int8", group_size=1)),
    )
    model = make()
    quant.quantize_(model, recipe)
    other = IDS.clone()
    other[:, 12:] = 5
    found, wanted = model(input_ids=other).logits, model(input_ids=IDS).logits
    torch.testing.assert_close(found[:, :12], wanted[:, :12], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found[:, 12:], wanted[:, 12:], atol=1e-2)


@pytest.mark.parametrize("value", ["dint4z", "int4"])
@pytest.mark.parametrize("execution", ["float", "exact"])
@pytest.mark.parametrize("make", [opt, llama])
def test_pads_change_nothing(make, execution, value):
    """Their values, large here, would be in the range of every channel."""
    model = make()
    with torch.no_grad():
        model.get_input_embeddings().weight[1] *= 50
    quant.quantize_(model, Recipe(weights=Weights(format="int8"),
                                  attention=Attention(value=Weights(format=value))))  # fmt: skip
    quant.set_execution(model, execution)
    ids = IDS[1] + 2  # no pads among them
    rows, masks = torch.ones(3, 27, dtype=ids.dtype), torch.zeros(3, 27, dtype=ids.dtype)
    for k, left in enumerate((7, 0, 3)):
        rows[k, left : left + 20], masks[k, left : left + 20] = ids, 1
    positions = (masks.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        alone = model(ids[None]).logits[0]
        found = model(rows, attention_mask=masks, position_ids=positions).logits
    for row, mask in zip(found, masks, strict=True):
        torch.testing.assert_close(row[mask == 1], alone, atol=2e-4, rtol=1e-3)


def test_what_is_not_seen_is_in_no_range_of_its_group():
    value = torch.arange(1.0, 8).view(1, 1, 7, 1)
    mask = torch.zeros(1, 1, 2, 7)
    mask[..., [0, 1, 3, 6]] = torch.finfo(torch.float32).min
    assert _seen(value, mask, 0).flatten().tolist() == [6, 6, 3, 6, 5, 6, 6]
    assert _seen(value, mask, 3).flatten().tolist() == [3, 3, 3, 6, 5, 6, 6]
    assert _seen(value, mask, 2).flatten().tolist() == [6, 6, 3, 3, 5, 6, 6]


def test_a_mask_of_bools_is_the_same_mask():
    module, made = torch.nn.Module(), state("int8")
    setattr(module, attention._STATE, made)
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, 5, 4) for _ in range(3))
    seen = torch.ones(5, 5, dtype=torch.bool).tril()[None, None]
    added = torch.zeros(1, 1, 5, 5).masked_fill(~seen, torch.finfo(torch.float32).min)
    assert torch.equal(attend(module, q, k, v, seen)[0], attend(module, q, k, v, added)[0])


def test_softcaps_are_refused_before_anything_runs():
    shape = Gemma2Config(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8,
    )  # fmt: skip
    with pytest.raises(ValueError, match="cannot serve 'softcap'"):
        quant.quantize_(Gemma2ForCausalLM(shape), "w4a8v4-rtn-dint4")


@pytest.mark.parametrize("make", [opt, llama])
@pytest.mark.parametrize("execution", ["float", "exact"])
def test_generate_works(make, execution):
    """A value's scale of its own, and so the same in every step: with a cache or without."""
    value = Weights(format="int8", group_size=1)
    model = make()
    quant.quantize_(model, Recipe(weights=Weights(format="int8"), attention=Attention(value=value)))
    quant.set_execution(model, execution)
    assert {a.execution for a in quantized_attentions(model)} == {execution}
    out = model.generate(IDS[:1, :6], max_new_tokens=5, do_sample=False, pad_token_id=63)
    assert out.shape == (1, 11)
    logits = model(input_ids=out[:, :-1]).logits
    assert torch.equal(logits[0, 5:].argmax(-1), out[0, 6:])


def test_a_step_scales_all_values_that_the_cache_holds(monkeypatch):
    seen, mix = [], QuantAttention.mix
    monkeypatch.setattr(
        QuantAttention,
        "mix",
        lambda self, p, v: seen.append((v.clone(), mix(self, p, v))) or seen[-1][1],
    )
    model = llama()
    quant.quantize_(model, "w4a8v4-rtn-dint4z")
    model.generate(IDS[:1, :6], max_new_tokens=4, do_sample=False, pad_token_id=63)
    assert [v.shape[2] for v, _ in seen] == [6, 6, 7, 7, 8, 8, 9, 9]  # of two layers
    assert torch.equal(seen[4][0][:, :, :6], seen[0][0])  # the cache is in float


@pytest.mark.parametrize("make", [opt, llama])
def test_a_folder_attends_as_the_model_did(make, tmp_path):
    model = make()
    quant.quantize_(model, "w4a8v4-rtn-dint4z")
    wanted = model(input_ids=IDS).logits
    quant.save_quantized(model, tmp_path / "q")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "q")
    assert len(quantized_attentions(again)) == len(quantized_attentions(model))
    assert torch.equal(again(input_ids=IDS).logits, wanted)


def test_what_it_cannot_serve_is_refused():
    x = torch.zeros(1, 1, 2, 4)
    with pytest.raises(ValueError, match="quantized attention wants a mask: without it tokens"):
        attend(torch.nn.Identity(), x, x, x, None)
    with pytest.raises(ValueError, match="quantized attention cannot serve 'softcap'"):
        attend(torch.nn.Identity(), x, x, x, None, softcap=30.0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    with pytest.raises(ValueError, match="Sequential does not use transformers' attention inter"):
        quant.quantize_(model, "w4a8v4-rtn-dint4z")


@pytest.mark.parametrize(
    "recipe",
    [
        "w4a8v4-gptq-dint4z_c4", "w4a8v4-gptq-dint4z_c8", "w4a8v4-rtn-dint4_c4",
        "w4a8v4-rtn-dint4_c8", "w3a8v3-gptq-dint3z", "w3a8v3-rtn-int3z",
    ],
)  # fmt: skip
def test_models_of_tables_9_and_10_run_exactly(recipe):
    """All of the model's products through the engine: nothing but float32's rounding is new."""
    model = llama()
    wanted = model(input_ids=IDS).logits
    quant.quantize_(model, recipe, IDS)
    found = {}
    for execution in ("float", "exact"):
        quant.set_execution(model, execution)
        found[execution] = model(input_ids=IDS).logits
    gap = (found["float"] - wanted).norm()
    assert gap > 0.01 * wanted.norm(), "nothing was rounded: the test is void"
    assert (found["exact"] - found["float"]).norm() < 0.05 * gap
    assert not torch.equal(found["exact"], found["float"])
