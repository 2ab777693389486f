"""Models in llama2.c's first file format, as Hugging Face folders.

The file is seven int32 (width, hidden width, layers, heads, key/value heads, vocabulary, context;
a negative vocabulary has an output matrix of its own), then float32 tensors, each for all layers:

    embedding, attention norms, Q, K, V, O, norms before the MLP, gate, down, up, last norm,
    cosines and sines of the rotation (computed anew here), output matrix

It rotates neighbouring pairs of a head where transformers rotates its two halves: rows of Q and K
are sorted accordingly, which changes nothing else.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["convert", "own_text", "read"]

_EPSILON, _THETA = 1e-5, 10_000.0  # constants of its code
_HEADER = 7


def read(path: str | Path) -> Any:
    """The model of a file, a float32 `LlamaForCausalLM` in evaluation mode.

    ValueError if the file's length is not what its header says.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    raw = Path(path).read_bytes()
    if len(raw) < 4 * _HEADER:
        raise ValueError(f"{path}: wanted a llama2.c model, got {len(raw)} bytes")
    head = np.frombuffer(raw, "<i4", _HEADER)
    width, hidden, layers, heads, shared, vocabulary, context = map(int, head)
    tied, vocabulary = vocabulary > 0, abs(vocabulary)
    if min(width, hidden, layers, heads, shared, vocabulary, context) < 1 or width % heads:
        raise ValueError(f"{path}: wanted a llama2.c model, its header says {head.tolist()}")
    values = width // heads * shared
    shapes = {
        "embedding": (vocabulary, width), "attention_norm": (layers, width),
        "q": (layers, width, width), "k": (layers, values, width), "v": (layers, values, width),
        "o": (layers, width, width), "mlp_norm": (layers, width), "gate": (layers, hidden, width),
        "down": (layers, width, hidden), "up": (layers, hidden, width), "norm": (width,),
        "rotation": (2, context, width // heads // 2),
        **({} if tied else {"head": (vocabulary, width)}),
    }  # fmt: skip
    numbers = torch.from_numpy(np.frombuffer(raw, "<f4", offset=4 * _HEADER).copy())
    sizes = [math.prod(shape) for shape in shapes.values()]
    if len(numbers) != sum(sizes):
        raise ValueError(
            f"{path}: wanted {sum(sizes)} numbers after its header, {len(numbers)} came"
        )
    parts = zip(shapes.items(), numbers.split(sizes), strict=True)
    t = {name: part.view(shape) for (name, shape), part in parts}

    model = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=width, intermediate_size=hidden, num_hidden_layers=layers,
            num_attention_heads=heads, num_key_value_heads=shared, vocab_size=vocabulary,
            max_position_embeddings=context, rms_norm_eps=_EPSILON, tie_word_embeddings=tied,
            rope_parameters={"rope_type": "default", "rope_theta": _THETA},
        )
    )  # fmt: skip
    state = {"model.embed_tokens.weight": t["embedding"], "model.norm.weight": t["norm"]}
    state["lm_head.weight"] = t["embedding"] if tied else t["head"]
    names = {
        "input_layernorm": "attention_norm", "post_attention_layernorm": "mlp_norm",
        "self_attn.v_proj": "v", "self_attn.o_proj": "o",
        "mlp.gate_proj": "gate", "mlp.down_proj": "down", "mlp.up_proj": "up",
    }  # fmt: skip
    for i in range(layers):
        for theirs, ours in names.items():
            state[f"model.layers.{i}.{theirs}.weight"] = t[ours][i]
        for name, count in (("q", heads), ("k", shared)):
            state[f"model.layers.{i}.self_attn.{name}_proj.weight"] = _halves(t[name][i], count)
    model.load_state_dict(state)
    return model.eval()


def convert(path: str | Path, folder: str | Path) -> None:
    """Write the model of a file as a Hugging Face folder, without a tokenizer."""
    read(path).save_pretrained(folder)


@torch.no_grad()
def own_text(model: Any, samples: int, length: int, seed: int = 0, first: int = 1) -> torch.Tensor:
    """Token ids int64 [samples, length] that a model writes, each after the token ``first``.

    Drawn from its own distribution, so that its perplexity on them is that of its predictions: the
    least that any model has on such text. The draw depends on the seed alone.
    """
    draw = torch.Generator().manual_seed(seed)
    ids = torch.full((samples, 1), first)
    cache = None
    for _ in range(length):
        out = model(input_ids=ids[:, -1:], past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        p = out.logits[:, -1].float().softmax(dim=-1)
        ids = torch.cat([ids, torch.multinomial(p, 1, generator=draw)], dim=1)
    return ids[:, 1:]


def _halves(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of each head, every second one first."""
    width = rows.shape[1]
    return rows.view(heads, -1, 2, width).transpose(1, 2).reshape(-1, width)
