"""Layers that share an input, and where a scale of that input's channels can be taken in.

    producer --> x --+--> layer        (producer / s) --> x / s --+--> layer (columns * s)
                     '--> layer   =                               '--> layer (columns * s)

A producer is a norm or a linear layer in the same block, found by trying and not by name: its
output channels are scaled by powers of two and the group's columns the other way, and the block's
output must stay the same. So it works through whatever stands between them and is homogeneous:
ReLU, a gate, the attention's mean of values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from macsmith.quant.blocks import Block

__all__ = ["Group", "fold", "groups_of"]

_TOLERANCE = 1e-4  # of the largest output: what float32 may make of other scales inside a block


@dataclass(frozen=True)
class Group:
    """Linear layers with one input.

    Attributes
    ----------
    names : tuple of str
        Full names, in the order in which they run.
    layers : tuple of nn.Linear
    parent : nn.Module
        The smallest module that holds them all, a single layer itself; None if that is the block.
    producer : nn.Module or None
        Where their input can be scaled; None if nowhere.
    """

    names: tuple[str, ...]
    layers: tuple[nn.Linear, ...]
    parent: nn.Module | None
    producer: nn.Module | None

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
        block.run(1)
    finally:
        for handle in handles:
            handle.remove()
    return [_group(block, names, order) for _, names in together]


def fold(group: Group, s: torch.Tensor) -> None:
    """Divide the group's input by ``s`` (positive, [width]) at its producer, and undo it behind."""
    if group.producer is None:
        raise ValueError(f"the input of {', '.join(group.names)} cannot be scaled")
    _scale_rows(group.producer, 1 / s)
    for layer in group.layers:
        layer.weight.data = (layer.weight.data.float() * s).to(layer.weight.dtype)


def _group(block: Block, names: list[str], order: Sequence[nn.Module]) -> Group:
    layers = tuple(block.layers[name] for name in names)
    parent = layers[0]
    if len(layers) > 1:
        inside = names[0].split(".")
        while not all(n.startswith(".".join(inside) + ".") for n in names):
            inside.pop()
        name = ".".join(inside).removeprefix(block.name).removeprefix(".")
        parent = block.module.get_submodule(name) if name else None
    before = order[: order.index(layers[0])] if layers[0] in order else []
    group = Group(tuple(names), layers, parent, None)
    producer = next((m for m in reversed(before) if _folds(block, group, m)), None)
    return Group(tuple(names), layers, parent, producer)


def _scalable(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.dim() in (1, 2)


def _folds(block: Block, group: Group, module: nn.Module) -> bool:
    """Whether scaling ``module``'s outputs and the group's columns leaves the block's output."""
    if module.weight.shape[0] != group.width or module in group.layers:
        return False
    wanted = block.run(1)[0].float()
    kept = [p.data for m in (module, *group.layers) for p in m.parameters(recurse=False)]
    # Powers of two round nothing; drawn, so that no symmetry of channels goes unnoticed.
    draw = torch.Generator().manual_seed(0)
    s = 2.0 ** torch.randint(-1, 2, (group.width,), generator=draw).to(module.weight.device)
    try:
        fold(Group(group.names, group.layers, None, module), s)
        found = block.run(1)[0].float()
    finally:
        parameters = [p for m in (module, *group.layers) for p in m.parameters(recurse=False)]
        for parameter, data in zip(parameters, kept, strict=True):
            parameter.data = data
    return bool((found - wanted).abs().max() <= _TOLERANCE * wanted.abs().max())


def _scale_rows(module: nn.Module, s: torch.Tensor) -> None:
    for parameter in (module.weight, getattr(module, "bias", None)):
        if parameter is not None:
            by_row = s if parameter.dim() == 1 else s[:, None]
            parameter.data = (parameter.data.float() * by_row).to(parameter.dtype)
