"""What a layer with folded scales will compute, and its error, by a forward pass of their own."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from macsmith.quant.tokens import fake_tokens
from macsmith.quant.weights import fake_weight


class Rounded(nn.Module):
    """Q(W s) Q(X / s) + b, written out: what a layer with folded scales will compute."""

    def __init__(self, layer, s, recipe, inputs_too):
        super().__init__()
        self.layer, self.s, self.recipe, self.inputs_too = layer, s, recipe, inputs_too

    def forward(self, x):
        r = self.recipe
        w = fake_weight(self.layer.weight * self.s, r.spec().weights, r.weights)
        x = x / self.s
        if self.inputs_too:
            x = fake_tokens(x, r.spec().activations, r.activations)
        return F.linear(x, w, self.layer.bias)


@torch.no_grad()
def error(block, group, s, recipe, samples, *, inputs_too, whole):
    """Mean square over the outputs of the group's module, or of its layers, of first samples."""
    swapped = copy.deepcopy(block.module)
    inside = [n.removeprefix(block.name + ".") for n in group.names]
    for name in inside:
        made = Rounded(swapped.get_submodule(name), s, recipe, inputs_too)
        swapped.set_submodule(name, made)
    watched = inside
    if whole and len(inside) > 1 and group.parent is not None:
        watched = [next(n for n, m in block.module.named_modules() if m is group.parent)]
    gaps = []
    for name in watched:
        for call in block.calls_of(block.module.get_submodule(name), samples):
            wanted = call.of(block.module.get_submodule(name))
            gaps.append((call.of(swapped.get_submodule(name)) - wanted).double().square().flatten())
    return torch.cat(gaps).mean().item()
