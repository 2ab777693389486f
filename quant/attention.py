"""Attention with both of its matrix products quantized: W4A8V4's second half.

    queries, one scale per token and head ----.
                                              +--(Q K^T)--> scale, mask, softmax --.
    keys, one scale per token and head -------'                                    |
    probabilities, one scale per query and head <----------------------------------'
                      |
                      +--(P V)--> output of each head
    values, one scale per channel and head, over the tokens --'

Each product is a layer's: queries and probabilities stand where a layer has its activations, keys
and values where it has weights, so formats, scales and accumulators mean what they mean there.

Values have a scale per channel, over all tokens that the call sees (section A.1 of Lee et al.
2023 has it "channel-wise, in the dimension where partial sums accumulate"). While decoding with a
cache, the cache stays in float, and each call quantizes all values in it anew: a channel's scale is
that of all tokens up to the newest. The paper says nothing about caches; this is ours. A group size
gives every group of that many tokens a scale of its own; full groups then keep theirs, as long as
nothing in front of them goes: groups are counted from the call's first place, be it a pad or what a
cache has left. What no query of a sequence may see, pads or room in a cache, is in no range.

So in one call over a whole text, as perplexity is measured, later tokens are in the range that
earlier ones are computed with: decoding the same text token by token gives other results.

transformers calls this through its attention interface, by the name NAME.
"""

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from macsmith.quant.recipe import Attention, Recipe
from macsmith.quant.tokens import Operands, fake_tokens, quantize_tokens
from macsmith.quant.weights import QuantizedWeight, fake_weight, quantize_weight
from macsmith.sim import engine
from macsmith.sim.spec import MacSpec

__all__ = [
    "NAME",
    "QuantAttention",
    "attend",
    "install",
    "named_attentions",
    "quantized_attentions",
]

NAME = "macsmith"
_STATE = "macsmith_attention"  # attribute of the module that transformers hands to `attend`
#: Arguments of attention functions that change its result and that we do not compute.
_REFUSED = ("softcap", "s_aux", "position_bias")


class QuantAttention:
    """How one attention module computes.

    Attributes
    ----------
    enabled : bool
        Whether anything is quantized; it is not while a model is calibrated.
    execution : str
        "float" or "exact", as of `QuantLinear`.
    scores, outputs : MacSpec
        Of the two products.
    """

    def __init__(self, options: Attention, specs: tuple[MacSpec, MacSpec]) -> None:
        self.options = options
        self.scores, self.outputs = specs
        self.enabled = False
        self.execution = "float"

    def score(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """Q K^T of q [B, H, T, D] and k [B, J, S, D], H a multiple of J: float32 [B, H, T, S]."""
        return self._product(q, k, self.scores, self.options.key)

    def mix(self, p: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """P V of p [B, H, T, S] and v [B, J, S, D]: float32 [B, H, T, D]."""
        return self._product(p, v.transpose(2, 3), self.outputs, self.options.value)

    def _product(self, a: torch.Tensor, w: torch.Tensor, spec: MacSpec, weights) -> torch.Tensor:
        """a [B, H, T, K] times the transpose of w [B, J, N, K]."""
        batch, heads, tokens, k = a.shape
        shared = w.shape[1]
        a = a.float().reshape(batch, shared, -1, k)  # heads that share a w lie together
        w = w.float()
        if self.execution == "exact":
            y = torch.stack([_exact(x, y, spec, weights, self.options) for x, y in _pairs(a, w)])
        else:
            x = fake_tokens(a, spec.activations, self.options.activations)
            rows = fake_weight(w.reshape(-1, k), spec.weights, weights).view(w.shape)
            y = x @ rows.transpose(2, 3)
        return y.view(batch, heads, tokens, -1)


def _pairs(a: torch.Tensor, w: torch.Tensor):
    return zip(a.flatten(0, 1), w.flatten(0, 1), strict=True)


def _exact(
    a: torch.Tensor, w: torch.Tensor, spec: MacSpec, weights, options: Attention
) -> torch.Tensor:
    """a [T, K] times the transpose of w [N, K] through the engine."""
    x: Operands = quantize_tokens(a, spec.activations, options.activations)
    rows: QuantizedWeight = quantize_weight(w, spec.weights, weights)
    size = min(weights.group_size or w.shape[1], w.shape[1])
    spec.check_depth(size)
    parts = [
        engine.Weights.from_codes(
            rows.codes[:, first : first + size],
            spec,
            None if rows.zero_point is None else rows.zero_point[:, g],
        )
        for g, first in enumerate(range(0, w.shape[1], size))
    ]
    return engine.linear(x.codes, x.scale, x.zero.long(), parts, rows.scale)


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """An attention function of transformers: output [B, T, H, D] and probabilities [B, H, T, S].

    query [B, H, T, D]; key and value [B, J, S, D]; attention_mask is added to the scores. Dropout
    is left out: this is for inference. ValueError on an argument that would change the result, or
    without a mask where there is more than one query.
    """
    if given := [name for name in _REFUSED if others.get(name) is not None]:
        raise ValueError(f"quantized attention cannot serve {given[0]!r}")
    if attention_mask is None and query.shape[2] > 1:
        raise ValueError("quantized attention wants a mask: without it tokens would see the future")
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        lowest = torch.finfo(query.dtype).min
        attention_mask = torch.zeros_like(attention_mask, dtype=query.dtype).masked_fill(
            ~attention_mask, lowest
        )
    state: QuantAttention | None = getattr(module, _STATE, None)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    repeat = query.shape[1] // key.shape[1]
    quantized = state is not None and state.enabled
    if quantized:
        scores = state.score(query, key) * scaling
    else:
        scores = query @ key.repeat_interleave(repeat, dim=1).transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    p = scores.softmax(dim=-1, dtype=torch.float32)
    if quantized:
        if attention_mask is not None:
            value = _seen(value, attention_mask, state.options.value.group_size)
        out = state.mix(p, value)
    else:
        out = p.to(value.dtype) @ value.repeat_interleave(repeat, dim=1)
    return out.to(query.dtype).transpose(1, 2).contiguous(), p.to(query.dtype)


def _seen(value: torch.Tensor, mask: torch.Tensor, group_size: int) -> torch.Tensor:
    """``value`` [B, J, S, D] with the group's last token that any query sees where none does.

    Its probabilities are 0 there, and ranges become those of the tokens that are seen. A group of
    which none is seen gets the last of all.
    """
    lowest = torch.finfo(mask.dtype).min / 2  # masks are added up, and have infinities too
    seen = (mask > lowest).flatten(1, 2).any(dim=1).expand(len(value), -1)  # [B, S]
    batch, tokens = seen.shape
    size = min(group_size or tokens, tokens)
    place = torch.arange(tokens, device=seen.device).where(seen, -1)
    grouped = F.pad(place, (0, -tokens % size), value=-1).view(batch, -1, size).amax(dim=2)
    last = place.amax(dim=1, keepdim=True).clamp(min=0)
    chosen = grouped.where(grouped >= 0, last).repeat_interleave(size, dim=1)[:, :tokens]
    chosen = chosen.where(~seen, torch.arange(tokens, device=seen.device))
    return value.gather(2, chosen[:, None, :, None].expand_as(value))


def install(model: nn.Module, recipe: Recipe, *, enabled: bool) -> None:
    """Let ``model`` attend through `attend`, quantized once it is ``enabled``.

    All of its attention modules, whichever of their linear layers are quantized, but for those that
    ``recipe.ignore`` matches. ValueError if the model does not use transformers' attention
    interface, or none is left. From then on a module that is to attend in another way raises.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    if not getattr(model, "_can_set_attn_implementation", bool)():
        raise ValueError(
            f"attention: {type(model).__name__} does not use transformers' attention interface"
        )
    text = model.config.get_text_config() if hasattr(model, "config") else None
    if getattr(text, "attn_logit_softcapping", None) is not None:
        raise ValueError("attention: quantized attention cannot serve 'softcap'")
    if any(hasattr(module, "sinks") for module in model.modules()):
        raise ValueError("attention: quantized attention cannot serve 's_aux' (sinks)")
    found = {name: module for name, module in model.named_modules() if _attends(module)}
    chosen = [module for name, module in found.items() if not _ignored(model, name, recipe)]
    if not chosen:
        raise ValueError(
            f"attention: the recipe quantizes it, and none of {type(model).__name__}'s "
            f"{len(found)} attention modules is left to"
        )
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, eager_mask)  # or there would be no causal mask at all
    model.set_attn_implementation(NAME)
    for module in chosen:
        if not hasattr(module, _STATE):
            module.register_forward_pre_hook(_check_way)
        state = QuantAttention(recipe.attention, recipe.attention_specs())
        state.enabled = enabled
        setattr(module, _STATE, state)


def _attends(module: nn.Module) -> bool:
    """Whether its forward looks up how to attend, as all modules of the interface do."""
    forward = inspect.unwrap(type(module).forward)
    return hasattr(module, "config") and "ALL_ATTENTION_FUNCTIONS" in forward.__code__.co_names


def _ignored(model: nn.Module, name: str, recipe: Recipe) -> bool:
    """By its name in the model, or in one with or without a head, from which a folder may be."""
    prefix = getattr(model, "base_model_prefix", "") + "."
    return any(map(recipe.ignores, (name, prefix + name, name.removeprefix(prefix))))


def _check_way(module: nn.Module, _) -> None:
    if (way := module.config._attn_implementation) != NAME:
        raise ValueError(
            f"attention is quantized, and {way!r} would leave that out: call "
            f"set_attn_implementation({NAME!r})"
        )


def named_attentions(model: nn.Module) -> dict[str, QuantAttention]:
    """Those of a model, or of a part of it, by the names of their modules."""
    found = {name: getattr(module, _STATE, None) for name, module in model.named_modules()}
    return {name: state for name, state in found.items() if state is not None}


def quantized_attentions(model: nn.Module) -> list[QuantAttention]:
    """The same without names."""
    return list(named_attentions(model).values())
