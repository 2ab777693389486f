"""The two models in the package: what the issue promises of them, measured again."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from macsmith.experiments.models import MODELS, locate
from macsmith.experiments.models.ngram import Bigram, Unigram, ngram_perplexity
from macsmith.experiments.models.text import documentation, evaluation_text
from macsmith.quant import layer_operands, load_model, quantize_, set_execution
from macsmith.quant.evaluate import TokenText, perplexity
from macsmith.sim import golden

each_model = pytest.mark.parametrize("name", MODELS)


def load(name):
    return load_model(locate(name)), AutoTokenizer.from_pretrained(locate(name))


@each_model
def test_size_layout_and_record(name):
    folder = Path(locate(name))
    assert {f.name for f in folder.iterdir()} >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    }
    assert (folder / "model.safetensors").stat().st_size <= 12_000_000
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float16
    assert 2e6 <= sum(p.numel() for p in model.parameters()) <= 6e6
    assert model.config.model_type == name.removesuffix("-mini")
    assert model.config.hidden_size % 64 == 0
    record = json.loads((folder / "training.json").read_text())
    assert record["tokens_seen"] > 1e6
    assert record["seconds"] > 0
    for source, most in (("documentation", 0.75), ("wikitext", 0.95)):
        held = record["held_out_perplexity"][source]
        assert held["model"]["ppl"] < most * min(v for k, v in held.items() if k != "model")


@each_model
def test_it_beats_the_bigram_on_the_documentation_found_here(name):
    """The bigram knows the same documentation, which makes it the strongest one on this text."""
    model, tokenizer = load(name)
    held = evaluation_text(tokenizer)
    window, vocab = model.config.max_position_embeddings, model.config.vocab_size
    train = TokenText.from_text(tokenizer, documentation().text("train"), "").ids.numpy()
    result = perplexity(model, held.ids)
    assert result.window == window
    assert result.ids_sha256 == held.sha256
    bigram = ngram_perplexity(Bigram.fit(train, vocab), held.ids.numpy(), window)
    unigram = ngram_perplexity(Unigram.fit(train, vocab), held.ids.numpy(), window)
    assert result.ppl < 0.75 * bigram < 0.3 * unigram


@each_model
def test_exact_is_golden_on_a_real_layer(name):
    model, tokenizer = load(name)
    ids = evaluation_text(tokenizer).ids[None, :24]
    layer = {"opt-mini": "model.decoder.layers.2.fc1", "llama-mini": "model.layers.2.mlp.up_proj"}[
        name
    ]
    for recipe in ("w8a8-rtn", "w4a8-rtn-dint4", "w4a8-rtn-dint4z"):
        model, _ = load(name)
        quantize_(model, recipe)
        set_execution(model, "exact")
        outputs: list[torch.Tensor] = []
        hook = model.get_submodule(layer).register_forward_hook(
            lambda _layer, _args, y, seen=outputs: seen.append(y)
        )
        ops = layer_operands(model, layer, input_ids=ids)
        hook.remove()
        y = outputs[0].flatten(0, -2)  # (T, N): OPT flattens its tokens before fc1, LLaMA does not
        bias = model.get_submodule(layer).bias
        for t, n in zip(range(0, 24, 3), range(5, 256, 31), strict=False):
            z = None if ops.zero_point is None else int(ops.zero_point[n, 0])
            want = golden.linear(
                ops.a_codes[t].tolist(),
                ops.a_scale[t].item(),
                int(ops.a_zero[t]),
                ops.w_codes[n].tolist(),
                ops.w_scale[n].tolist(),
                ops.spec,
                zero_points=(z,),
            )
            want = torch.tensor(want)
            want = want if bias is None else want + bias[n]
            assert y[t, n] == want, f"{recipe}: token {t}, output {n}"


@each_model
def test_quantization_costs_what_it_should(name):
    """W8A8 is close to the float model, W4A8 not far; float and exact execution agree."""
    model, tokenizer = load(name)
    ids = evaluation_text(tokenizer).ids[: 2 * 512]
    base = perplexity(model, ids).ppl
    for recipe, most in (("w8a8-rtn", 1.02), ("w4a8-rtn-dint4", 1.25)):
        model, _ = load(name)
        quantize_(model, recipe)
        exact_float = {}
        for execution in ("float", "exact"):
            set_execution(model, execution)
            exact_float[execution] = perplexity(model, ids).ppl
        assert exact_float["float"] < most * base
        assert exact_float["exact"] == pytest.approx(exact_float["float"], rel=1e-3)


def test_other_names_pass_and_unknown_ones_are_answered_with_the_nearest(tmp_path):
    assert locate(str(tmp_path)) == str(tmp_path)
    assert locate("facebook/opt-125m") == "facebook/opt-125m"
    with pytest.raises(ValueError, match=r"^unknown model 'opt-min'; the nearest is 'opt-mini'"):
        locate("opt-min")
    with pytest.raises(ValueError, match=r"^unknown model 'gpt2'; there are opt-mini, llama-mini"):
        locate("gpt2")
