"""How large channels are: representatives that scales are made of."""

from collections.abc import Sequence

import torch

from macsmith.quant.groups import Group

__all__ = ["DEAD", "input_magnitude", "weight_magnitude"]

#: A channel whose largest magnitude, or range, is no more than this is dead. Methods with a rule
#: for scales leave it as it is; those that search: see `grid`.
DEAD = 1e-5


def input_magnitude(inputs: Sequence[torch.Tensor], kind: str) -> torch.Tensor:
    """Largest ("max") or mean ("mean") magnitude of each channel of inputs [tokens, K]: [K]."""
    if kind == "max":
        return torch.stack([x.abs().amax(dim=0) for x in inputs]).amax(dim=0)
    sums, tokens = zip(*((x.abs().double().sum(dim=0), len(x)) for x in inputs), strict=True)
    return (torch.stack(sums).sum(dim=0) / sum(tokens)).float()


def weight_magnitude(group: Group, kind: str) -> torch.Tensor:
    """The same of the weights of each input channel, over the outputs of all layers: [K]."""
    w = group.columns.abs()
    return w.amax(dim=0) if kind == "max" else w.mean(dim=0)
