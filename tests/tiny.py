"""Small random language models, and calibration for them, for tests of what is done to a model."""

import torch
from torch import nn
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from macsmith.quant.blocks import blocks_of
from macsmith.quant.calibrate import scale_groups
from macsmith.quant.convert import linear_layers
from macsmith.quant.groups import groups_of
from macsmith.quant.recipe import Recipe, Weights

COMMON = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 1,
}
WIDE = {"hidden_size": 32, "num_attention_heads": 2}  # for positions that turn a part of a head
GATED = {"intermediate_size": 40, "tie_word_embeddings": False}


def opt():
    config = OPTConfig(**COMMON, ffn_dim=40, word_embed_proj_dim=24, dropout=0.0)
    return _uneven(OPTForCausalLM, config)


def llama():
    return _uneven(LlamaForCausalLM, LlamaConfig(**COMMON, **GATED))


def llama_gqa():
    """Two heads share their keys and values: o_proj's input cannot be scaled at v_proj."""
    return _uneven(LlamaForCausalLM, LlamaConfig(**COMMON, **GATED, num_key_value_heads=2))


def qwen2():
    """Biases on queries, keys and values only."""
    return _uneven(Qwen2ForCausalLM, Qwen2Config(**COMMON, **GATED, num_key_value_heads=4))


def opt_post_norm():
    """Norms behind the sums, as in OPT-350M: what they put out is not the layers' alone."""
    config = OPTConfig(
        **COMMON, ffn_dim=40, word_embed_proj_dim=16, dropout=0.0, do_layer_norm_before=False
    )
    return _uneven(OPTForCausalLM, config)


def phi():
    """One norm for attention and the perceptron, which run side by side."""
    return _uneven(PhiForCausalLM, PhiConfig(**COMMON | WIDE, **GATED))


def neox():
    """Queries, keys and values are one layer, GELU stands between the others."""
    return _uneven(GPTNeoXForCausalLM, GPTNeoXConfig(**COMMON | WIDE, **GATED))


def phi3():
    """Queries, keys and values are one layer, and so are a gate and what it gates."""
    return _uneven(Phi3ForCausalLM, Phi3Config(**COMMON | WIDE, **GATED))


def bloom():
    """One layer for queries, keys and values, head by head; attention adds the residual itself."""
    sizes = {"n_layer": 2, "n_head": 4}
    return _uneven(BloomForCausalLM, BloomConfig(vocab_size=50, hidden_size=24, **sizes))


def gemma():
    """Norms that multiply by 1 more than their weight."""
    return _uneven(
        GemmaForCausalLM, GemmaConfig(**COMMON, **GATED, head_dim=6, num_key_value_heads=4)
    )


#: Where every layer of which one would expect it can be scaled, but for o_proj of `llama_gqa`.
MODELS = [opt, llama, llama_gqa, qwen2]
FAMILIES = [*MODELS, opt_post_norm, phi, neox]


def ids(samples: int = 6, length: int = 20) -> torch.Tensor:
    """Calibration token ids, always the same."""
    draw = torch.Generator().manual_seed(1)
    return torch.randint(2, COMMON["vocab_size"], (samples, length), generator=draw)


def nan_at(model, token) -> None:
    """The token's embedding comes out as NaN, though no parameter is."""
    model.get_input_embeddings().register_forward_hook(
        lambda _, args, y: y.masked_fill((args[0] == token)[..., None], float("nan"))
    )


@torch.no_grad()
def scaled_blocks(model, step=None):
    """Every block and its groups, after a step's scales have been folded in as the package does."""
    recipe = Recipe(weights=Weights(format="int8"))
    for block in blocks_of(model, linear_layers(model, recipe), ids()):
        groups = groups_of(block)
        if step:
            scale_groups(block, groups, step, recipe)
        yield block, groups


def _uneven(model_class, config):
    """A model whose norms have channels of very different size and whose biases are not 0."""
    torch.manual_seed(0)
    model = model_class(config).eval()
    with torch.no_grad():
        for module in model.modules():
            if "Norm" in type(module).__name__:
                module.weight.mul_(torch.randn_like(module.weight).exp())
            if isinstance(module, nn.Linear):
                module.weight.mul_(5)
            if getattr(module, "bias", None) is not None:
                module.bias.add_(torch.randn_like(module.bias) / 5)
    return model
