"""Which modules attend quantized: all that attend, and never silently in another way."""

import pytest
import tiny
import torch
from transformers import AutoModel, AutoModelForCausalLM

from macsmith import quant
from macsmith.quant import attention
from macsmith.quant.attention import QuantAttention, quantized_attentions
from macsmith.quant.recipe import Recipe


@pytest.mark.parametrize("recipe", ["w4a8v4-rtn-int4", "w4a8v4-gptq-int4"])
@pytest.mark.parametrize("make", [tiny.opt, tiny.llama])
def test_attention_is_quantized_whichever_layers_are(make, recipe, tmp_path):
    """None of those that a module of attention holds; in the first block none at all."""
    model, found = make(), []
    quant.quantize_(
        model, recipe, tiny.ids(),
        select=lambda name, _: "layers.1." in name and name.endswith(("fc1", "up_proj")),
    )  # fmt: skip
    for state in quantized_attentions(model):
        mix = state.mix
        state.mix = lambda p, v, mix=mix: found.append(1) or mix(p, v)
    assert len(quantized_attentions(model)) == 2  # and nothing that does not attend
    assert all(state.enabled for state in quantized_attentions(model))
    wanted = model(tiny.ids()).logits
    assert len(found) == 2
    again = AutoModelForCausalLM.from_pretrained(quant.save_quantized(model, tmp_path / "q"))
    assert torch.equal(again(tiny.ids()).logits, wanted)


def test_blocks_without_layers_attend_quantized_while_others_are_calibrated(monkeypatch):
    seen, mix = [], QuantAttention.mix
    monkeypatch.setattr(
        QuantAttention, "mix", lambda self, p, v: seen.append(self) or mix(self, p, v)
    )
    model, first = tiny.llama(), []
    quant.quantize_(
        model, "w4a8v4-gptq-int4", tiny.ids(),
        select=lambda name, _: "layers.1." in name,
        progress=lambda *_: first.append(len(seen)),
    )  # fmt: skip
    assert first[0] > 0


def test_a_block_left_alone_attends_in_float(tmp_path):
    """In the folder's model and in its decoder alone, whose names are others."""
    recipe = Recipe.get("w4a8v4-rtn-int4").model_copy(
        update={"ignore": ("lm_head", "model.layers.0.*")}
    )
    model = tiny.llama()
    quant.quantize_(model, recipe)
    folder = quant.save_quantized(model, tmp_path / "q")
    bare = AutoModel.from_pretrained(folder)
    for each in (model, AutoModelForCausalLM.from_pretrained(folder), bare):
        (name,) = attention.named_attentions(each)
        assert name.endswith("layers.1.self_attn")
    model, alone = tiny.llama(), recipe.model_copy(update={"ignore": ("*.self_attn*",)})
    with pytest.raises(ValueError, match="none of LlamaForCausalLM's 2 attention modules is left"):
        quant.quantize_(model, alone)
    assert not list(quant.quantized_layers(model))  # it is as it was


@pytest.mark.parametrize("make", [tiny.opt, tiny.llama])
def test_another_way_to_attend_is_loud(make):
    model = make()
    quant.quantize_(model, "w4a8v4-rtn-int4")
    wanted = model(tiny.ids()).logits
    model.set_attn_implementation("sdpa")
    with pytest.raises(ValueError, match=r"^attention is quantized, and 'sdpa' would leave that"):
        model(tiny.ids())
    model.set_attn_implementation(attention.NAME)
    assert torch.equal(model(tiny.ids()).logits, wanted)
