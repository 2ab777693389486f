"""Layers that share an input, and where a scale of that input's channels can be taken in.

    producer --> x --+--> layer        (producer / s) --> x / s --+--> layer (columns * s)
                     '--> layer   =                               '--> layer (columns * s)

A producer is a norm or a linear layer in the same block, found by trying and not by name: its
output channels are scaled by powers of two and the group's columns the other way, and the outputs
of the block and of every other module with parameters in it must stay the same. So it works through
whatever stands between them and is homogeneous: ReLU, a gate, the attention's mean of values. Some
norms multiply by 1 more than their weight; that is tried too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from macsmith.quant.blocks import Block
from macsmith.quant.roles import holder, reaches_others

__all__ = ["Group", "fold", "groups_of", "takes"]

_TOLERANCE = 1e-4  # of a token's largest output: what float32 may make of other scales inside


@dataclass(frozen=True)
class Group:
    """Linear layers with one input.

    Attributes
    ----------
    names : tuple of str
        Full names, in the order in which they run.
    layers : tuple of nn.Linear
    parent : nn.Module
        The smallest module that holds them all; of a single layer itself, unless what it puts out
        for a token reaches others (queries, keys and values in one). None if that is the block.
    producer : nn.Module or None
        Where their input can be scaled; None if nowhere.
    offset : int
        What a producer that is a norm adds to its weight before it multiplies by it.
    """

    names: tuple[str, ...]
    layers: tuple[nn.Linear, ...]
    parent: nn.Module | None
    producer: nn.Module | None
    offset: int = 0

    @property
    def width(self) -> int:
        """Input channels."""
        return self.layers[0].in_features

    @property
    def columns(self) -> torch.Tensor:
        """The weights of all layers, one above the other: float32 [outputs, width]."""
        return torch.cat([layer.weight.detach().float() for layer in self.layers])


@torch.no_grad()
def groups_of(block: Block) -> list[Group]:
    """The groups of a block's layers in the order in which they run."""
    together: list[tuple[torch.Tensor, list[str]]] = []
    order: list[nn.Module] = []

    def keep(name):
        def hook(_, args):
            for x, names in together:
                if x is args[0]:
                    names.append(name)
                    return
            together.append((args[0], [name]))

        return hook

    handles = [m.register_forward_pre_hook(keep(n)) for n, m in block.layers.items()]
    handles += [
        m.register_forward_pre_hook(lambda m, _: order.append(m))
        for m in block.module.modules()
        if _scalable(m)
    ]
    try:
        wanted = _outputs(block, _with_parameters(block))
    finally:
        for handle in handles:
            handle.remove()
    return [_group(block, names, order, wanted) for _, names in together]


@torch.no_grad()
def takes(block: Block, group: Group, s: torch.Tensor) -> bool:
    """Whether the block's function stays the same with a scale ``s`` [width], as with a small one.

    Values that the block clips, for example, may become too large for that. Tried with the powers
    of two around it.
    """
    wanted, bits = _outputs(block, _with_parameters(block)), s.float().log2()
    return all(_folds(block, group, wanted, 2.0**power) for power in (bits.floor(), bits.ceil()))


def fold(group: Group, s: torch.Tensor) -> None:
    """Divide the group's input by ``s`` (positive, [width]) at its producer, and undo it behind."""
    if group.producer is None:
        raise ValueError(f"the input of {', '.join(group.names)} cannot be scaled")
    _scale_rows(group.producer, 1 / s, group.offset)
    for layer in group.layers:
        layer.weight.data = (layer.weight.data.float() * s).to(layer.weight.dtype)


def _group(
    block: Block,
    names: list[str],
    order: Sequence[nn.Module],
    wanted: Mapping[nn.Module, torch.Tensor],
) -> Group:
    layers = tuple(block.layers[name] for name in names)
    parent = layers[0]
    if len(layers) > 1 or reaches_others(block, names[0], parent):
        parent = holder(block, names)
    before = order[: order.index(layers[0])] if layers[0] in order else []
    group = Group(tuple(names), layers, parent, None)
    tried = (
        replace(group, producer=m, offset=offset)
        for m in reversed(before)
        for offset in (0, 1)[: 3 - m.weight.dim()]
        if m.weight.shape[0] == group.width and m not in group.layers
    )
    # Powers of two round nothing; drawn, so that no symmetry of channels goes unnoticed.
    draw = torch.Generator().manual_seed(0)
    s = 2.0 ** torch.randint(-1, 2, (group.width,), generator=draw)
    return next((one for one in tried if _folds(block, one, wanted, s)), group)


def _scalable(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.dim() in (1, 2)


def _folds(
    block: Block, group: Group, wanted: Mapping[nn.Module, torch.Tensor], s: torch.Tensor
) -> bool:
    """Whether dividing the producer's outputs by ``s``, and not the group's, leaves all outputs."""
    module = group.producer
    kept = [p.data for m in (module, *group.layers) for p in m.parameters(recurse=False)]
    try:
        fold(group, s.to(module.weight.device))
        found = _outputs(block, _with_parameters(block))
    finally:
        parameters = [p for m in (module, *group.layers) for p in m.parameters(recurse=False)]
        for parameter, data in zip(parameters, kept, strict=True):
            parameter.data = data
    return all(m in found and _same(found[m], y) for m, y in wanted.items() if m is not module)


def _with_parameters(block: Block) -> list[nn.Module]:
    """Modules that have some of their own; a layer that is left in float is one of them.

    The block's output alone would not show all: beside a large residual little is to be seen.
    """
    return [m for m in block.module.modules() if list(m.parameters(recurse=False))]


def _outputs(block: Block, layers: Sequence[nn.Module]) -> dict[nn.Module, torch.Tensor]:
    """Of some layers and of the block, in its first call: float32 [tokens, N]."""
    seen: dict[nn.Module, torch.Tensor] = {}

    def keep(module, _, y):
        y = y[0] if isinstance(y, tuple) and y else y
        if isinstance(y, torch.Tensor) and y.dim():
            seen[module] = y

    hooks = [m.register_forward_hook(keep) for m in layers]
    try:
        (seen[block.module],) = block.run(1)
    finally:
        for hook in hooks:
            hook.remove()
    return {m: y.float().reshape(-1, y.shape[-1]) for m, y in seen.items()}


def _same(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    if found.shape != wanted.shape:  # experts, which got other tokens
        return False
    # By token: one token's residual may be so large that beside it no layer would be seen at all.
    gap = (found - wanted).abs().amax(dim=1)
    return bool((gap <= _TOLERANCE * wanted.abs().amax(dim=1)).all())


def _scale_rows(module: nn.Module, s: torch.Tensor, offset: int) -> None:
    for parameter, more in ((module.weight, offset), (getattr(module, "bias", None), 0)):
        if parameter is not None:
            by_row = s if parameter.dim() == 1 else s[:, None]
            data = (parameter.data.float() + more) * by_row - more
            parameter.data = data.to(parameter.dtype)
