"""What a block does with a linear layer's outputs, found by trying: no name of a layer is known.

queries or keys           a softmax alone reads them: see `enters_softmax`
those with values         one layer for all three, as some families have, or for keys and values
values                    reach other tokens as well, but in proportion
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from macsmith.quant.blocks import Block

__all__ = ["enters_softmax", "holder", "makes_scores", "reaches_others"]

#: Of outputs, to see if what comes of them is in proportion: powers of two, which round nothing
#: on the way. Several: scores that are all equal, and ones that decide alone, change nothing.
_FACTORS = (1.0, 4.0, 16.0)
_ROUNDINGS = 5 / 2  # of the module's outputs in units of eps: four halves are what three have


def holder(block: Block, names: Sequence[str]) -> nn.Module | None:
    """The smallest module that holds all of the block's layers ``names`` and runs: no list of
    modules does. None: the block."""
    inside = names[0].split(".")
    while inside := inside[:-1]:
        name = ".".join(inside)
        if name == block.name:
            break
        module = block.module.get_submodule(name.removeprefix(block.name + "."))
        if type(module).forward is nn.Module.forward:  # none of its own
            continue
        if all(each.startswith(name + ".") for each in names):
            return module
    return None


def makes_scores(block: Block, name: str, layer: nn.Linear) -> bool:
    """Whether a softmax reads the layer's outputs, or some of them.

    A layer that makes values alone reaches other tokens in proportion to its outputs.
    """
    if enters_softmax(block, layer):
        return True
    if not reaches_others(block, name, layer):
        return False
    return any(not _proportional(block, name, layer, factor) for factor in _FACTORS)


def _proportional(block: Block, name: str, layer: nn.Linear, factor: float) -> bool:
    none, once, twice = (
        _changed(block, name, layer, lambda y, times=times: y * times)
        for times in (0, factor, 2 * factor)
    )
    gap = (twice - 2 * once + none).abs().amax()
    largest = max(y.abs().amax() for y in (none, once, twice))
    return bool(gap <= _ROUNDINGS * torch.finfo(layer.weight.dtype).eps * largest)


def reaches_others(block: Block, name: str, layer: nn.Linear) -> bool:
    """Whether a token's output of the layer has a part in what other tokens get.

    Seen at the output of the smallest module around it, in the block's first call: with the first
    token's set to 0, is that of the others another one?
    """
    if holder(block, [name]) is None or not _has_tokens(block, layer):
        return False

    def without_first(y: torch.Tensor) -> torch.Tensor:
        y = y.clone()
        y[:, 0] = 0
        return y

    found, wanted = (_changed(block, name, layer, of) for of in (without_first, torch.clone))
    return found.dim() == 3 and not torch.equal(found[:, 1:], wanted[:, 1:])


def enters_softmax(block: Block, layer: nn.Linear) -> bool:
    """Whether a layer of a decoder block makes queries or keys, and nothing else.

    A sequence's first token sees itself alone: one score, of which the softmax is 1 whatever it is.
    So with zeros in place of the layer's outputs the block's are the same for first tokens, bit for
    bit. That is seen in the block's first call. A layer that only some of its tokens go through, an
    expert, makes none.
    """
    x, call = block.hidden[0], block.calls[0]
    inputs = block.inputs(layer, 1)[0]
    if len(inputs) < x.shape[:-1].numel():
        return False
    with sdpa_kernel(SDPBackend.MATH):  # others are free to make a 1 of several parts
        wanted = call.of(block.module, x)
        handle = layer.register_forward_hook(lambda _, args, y: torch.zeros_like(y))
        try:
            found = call.of(block.module, x)
        finally:
            handle.remove()
    return torch.equal(found[:, 0], wanted[:, 0])


def _has_tokens(block: Block, layer: nn.Linear) -> bool:
    """Whether the layer gets samples and tokens as they are, and not rows of some of them."""
    x = block.call_of(layer, 0).args[0]
    return x.dim() == 3 and x.shape[:2] == block.hidden[0].shape[:2]


def _changed(
    block: Block, name: str, layer: nn.Linear, of: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """What the module around the layer puts out with ``of`` its outputs in their place."""
    around = holder(block, [name])
    call = block.call_of(around, 0)
    handle = layer.register_forward_hook(lambda _, args, y: of(y))
    try:
        with sdpa_kernel(SDPBackend.MATH):
            return call.of(around).float()
    finally:
        handle.remove()
