"""Outliers put into a model without changing what it computes.

Small models have no activation outliers, which large ones have in a few channels of what leaves a
norm. Here chosen channels of every norm that feeds linear layers are scaled up, and the layers'
columns down: the logits stay what they were, and 8 bits per token become hard.
"""

from typing import Any

import torch

from macsmith.quant.blocks import blocks_of
from macsmith.quant.convert import linear_layers
from macsmith.quant.groups import fold, groups_of
from macsmith.quant.recipe import Recipe

__all__ = ["CHANNELS", "FACTOR", "put_outliers"]

#: A few in a thousand channels, tens of times the others: what Dettmers et al. 2022 and Xiao et al.
#: 2023 show of OPT from 6.7 billion parameters on; here of a model of some hundred channels.
CHANNELS, FACTOR = 4, 32.0


@torch.no_grad()
def put_outliers(
    model: Any, channels: int = CHANNELS, factor: float = FACTOR, seed: int = 0
) -> list[int]:
    """Scale the same ``channels`` of every such norm by ``factor``, a power of two; which ones.

    In place. ValueError if there are not so many channels, or no norm.
    """
    if factor < 1 or torch.tensor(factor).log2() % 1:
        raise ValueError(f"outliers: the factor must be a power of two from 1 on, not {factor}")
    recipe = Recipe.get("w8a8-rtn")
    chosen: dict[int, torch.Tensor] = {}
    ids = torch.zeros(1, 4, dtype=torch.int64)
    for block in blocks_of(model, linear_layers(model, recipe), ids):
        for group in groups_of(block):
            if group.producer is None or group.producer.weight.dim() != 1:
                continue
            if not 0 < channels <= group.width:
                raise ValueError(f"outliers: wanted 1 to {group.width} channels, got {channels}")
            if group.width not in chosen:
                draw = torch.Generator().manual_seed(seed)
                chosen[group.width] = torch.randperm(group.width, generator=draw)[:channels]
            s = torch.ones(group.width)
            s[chosen[group.width]] = 1 / factor
            fold(group, s.to(group.producer.weight.device))
    if not chosen:
        raise ValueError("outliers: the model has no norm that feeds linear layers")
    return sorted(next(iter(chosen.values())).tolist())
