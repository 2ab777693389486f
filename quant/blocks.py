"""A model block by block: every decoder layer run alone, on what it was called with.

    calibration ids --> whole model, some samples a call --> calls of every block, first's inputs
    inputs of block i --> block i, quantized by now --> inputs of block i + 1

No model class is known here. A block is an item of the `nn.ModuleList` that holds most of the
layers to be quantized. Everything that a block was called with is kept and replayed: masks,
position embeddings, and whatever a family hands to its layers.

Samples are equally long, and as many run together as have TOKENS tokens. Which ones is decided by
their length and number alone, not by memory or cores: another grouping has other last bits.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import nn

from macsmith.quant.scale import all_finite

__all__ = [
    "TOKENS",
    "Block",
    "Call",
    "Inputs",
    "blocks_of",
    "inside_blocks",
    "left_alone",
]

#: Of samples that run together. Enough that a small layer's work outweighs the way to it, and no
#: more than one sample of the lengths that papers calibrate with, so memory is theirs.
TOKENS = 1024


@dataclass(frozen=True)
class Call:
    """Arguments of a module; a block's without its hidden states, which come first."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def of(self, module: nn.Module, *first: torch.Tensor) -> torch.Tensor:
        """The module's output, the first where it returns several."""
        out = module(*first, *self.args, **self.kwargs)
        return out if isinstance(out, torch.Tensor) else out[0]


class _Enough(Exception):
    """What is wanted has been seen: the rest need not run."""


class Block:
    """One decoder layer, its chosen linear layers, and its inputs, call by call.

    Attributes
    ----------
    name : str
    module : nn.Module
    layers : dict of str to nn.Linear
        By full name, in the model's order; what has been quantized is there no more.
    hidden : list of tensors [samples, length, width]
    calls : list of Call

    Where it is asked for the first ``samples`` samples, it takes the calls that have them: of the
    last one all samples, so it is to be a number at which `blocks_of` was told to end a call.
    """

    def __init__(self, name: str, module: nn.Module, layers: dict[str, nn.Linear]) -> None:
        self.name = name
        self.module = module
        self.layers = layers
        self.hidden: list[torch.Tensor] = []
        self.calls: list[Call] = []

    def until(self, samples: int | None) -> int:
        """How many calls have the first ``samples`` samples, or all."""
        if samples is None:
            return len(self.calls)
        have = accumulate((len(x) for x in self.hidden), initial=0)
        return sum(before < samples for before, _ in pairwise(have))

    def run(self, samples: int | None = None) -> list[torch.Tensor]:
        """Outputs by call, of the first ``samples`` samples or of all."""
        count = self.until(samples)
        pairs = zip(self.hidden[:count], self.calls[:count], strict=True)
        return [call.of(self.module, x) for x, call in pairs]

    def inputs(self, module: nn.Module, samples: int | None = None) -> "Inputs":
        """What a linear layer of this block gets."""
        return Inputs(self, module, range(self.until(samples)))

    def calls_of(self, module: nn.Module, samples: int | None = None) -> list[Call]:
        """`call_of` of each of the calls."""
        return [self.call_of(module, k) for k in range(self.until(samples))]

    def call_of(self, module: nn.Module, k: int) -> Call:
        """How the block calls one of its modules, once, in its own call ``k``.

        ValueError if it does not. Whatever runs behind the module is left out.
        """
        seen: list[Call] = []

        def keep(_, args, kwargs):
            seen.append(Call(args, kwargs))
            raise _Enough

        hook = module.register_forward_pre_hook(keep, with_kwargs=True)
        with _hooked(hook), suppress(_Enough):
            self.calls[k].of(self.module, self.hidden[k])
            raise ValueError(f"block {self.name!r} does not run one of its modules")
        return seen[0]

    def check(self) -> None:
        """ValueError naming the first layer whose inputs are not finite, or not one to a call."""
        ran: dict[nn.Module, int] = {}

        def check(name: str):
            def hook(layer, args):
                ran[layer] = ran.get(layer, 0) + 1
                if not all_finite(args[0]):
                    raise ValueError(f"layer {name!r}: its calibration inputs are not finite")

            return hook

        with _hooked(*(m.register_forward_pre_hook(check(n)) for n, m in self.layers.items())):
            for x, call in zip(self.hidden, self.calls, strict=True):  # `run` keeps the outputs
                call.of(self.module, x)
        for name, layer in self.layers.items():
            if (times := ran.get(layer, 0)) != len(self.calls):
                raise ValueError(
                    f"layer {name!r} runs {times} times in {len(self.calls)} calls of "
                    f"{self.name!r}: wanted once in each"
                )


class Inputs(Sequence[torch.Tensor]):
    """What a layer gets, float32 [tokens, K] by call, and none of it kept.

    The block, as it is by then, runs up to the layer whenever one of them is asked for.
    """

    def __init__(self, block: Block, layer: nn.Module, calls: range) -> None:
        self.block, self.layer, self.calls = block, layer, calls

    def __len__(self) -> int:
        return len(self.calls)

    def __getitem__(self, k):
        if isinstance(k, slice):
            return Inputs(self.block, self.layer, self.calls[k])
        x = self.block.call_of(self.layer, self.calls[k]).args[0]
        return x.reshape(-1, x.shape[-1]).float()

    def __iter__(self) -> Iterator[torch.Tensor]:
        return map(self.__getitem__, range(len(self)))  # Sequence's own holds the one before


def blocks_of(
    model: nn.Module,
    layers: Mapping[str, nn.Linear],
    ids: torch.Tensor,
    stops: Collection[int] = (),
    *,
    as_given: bool = False,
) -> Iterator[Block]:
    """Every block that has some of ``layers``, with its inputs; each once the ones before are done.

    ``ids`` is int64 [samples, length]; a call ends at each number of samples in ``stops``. A
    block's outputs, with what was made of its layers meanwhile or, ``as_given``, without, then take
    its inputs' place. ValueError if no list of modules holds any of the layers, or blocks hand more
    than hidden states to each other.
    """
    name, found = _largest_list(model, layers)
    parts = [f"{name}.{i}" for i in range(len(found))]
    hidden, calls = _captured(model, found, _together(ids, stops))
    for part, module, mine in zip(parts, found, calls, strict=True):
        chosen = {n: layer for n, layer in layers.items() if n.startswith(part + ".")}
        block = Block(part, module, chosen)
        block.hidden, block.calls = hidden, mine
        after = block.run() if as_given and chosen else None
        if chosen:
            yield block
        for k, call in enumerate(mine):
            # In place: inputs and outputs of all samples only where they have to be.
            hidden[k] = call.of(module, hidden[k]) if after is None else after[k]


def inside_blocks(model: nn.Module, layers: Mapping[str, nn.Linear]) -> dict[str, nn.Linear]:
    """Those of ``layers`` that `blocks_of` will come to."""
    name, _ = _largest_list(model, layers)
    return {n: layer for n, layer in layers.items() if n.startswith(name + ".")}


def left_alone(model: nn.Module, layers: Mapping[str, nn.Linear]) -> list[nn.Module]:
    """Blocks that have none of ``layers``: `blocks_of` runs them as they are."""
    name, found = _largest_list(model, layers)
    held = [any(layer.startswith(f"{name}.{i}.") for layer in layers) for i in range(len(found))]
    return [block for block, any_held in zip(found, held, strict=True) if not any_held]


def _largest_list(model: nn.Module, layers: Mapping[str, nn.Linear]) -> tuple[str, nn.ModuleList]:
    held = {
        name: sum(layer.startswith(name + ".") for layer in layers)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
    }
    # Of lists that hold the same layers the outermost: experts are a list inside a layer.
    best = max(held, key=lambda name: (held[name], -name.count(".")), default=None)
    if best is None or not held[best]:
        raise ValueError("calibration needs decoder layers in an nn.ModuleList: the model has none")
    return best, model.get_submodule(best)


def _together(ids: torch.Tensor, stops: Collection[int]) -> list[torch.Tensor]:
    """Samples that run in one call."""
    most = max(1, TOKENS // ids.shape[1])
    edges = sorted({0, len(ids), *(n for n in stops if n < len(ids))})
    return [part for a, b in pairwise(edges) for part in ids[a:b].split(most)]


def _captured(
    model: nn.Module, blocks: Sequence[nn.Module], ids: Sequence[torch.Tensor]
) -> tuple[list[torch.Tensor], list[list[Call]]]:
    """Inputs of the first block by call, and calls by block, of each of ``ids``."""
    first: list[torch.Tensor] = []
    calls: list[list[Call]] = [[] for _ in blocks]
    before: list[torch.Tensor] = []  # what the block before has put out besides hidden states

    def remember(_, args, out):
        others = out[1:] if isinstance(out, tuple) else ()
        before[:] = [x for x in others if isinstance(x, torch.Tensor)]

    def keep(k: int):
        def hook(_, args, kwargs):
            kwargs = dict(kwargs)
            hidden, rest = (args[0], args[1:]) if args else (kwargs.pop("hidden_states"), ())
            if any(x is y for x in (*rest, *kwargs.values()) for y in before):
                raise ValueError(
                    "calibration needs decoder layers that hand on hidden states alone: layer "
                    f"{k} of the model gets more of what the one before puts out"
                )
            if k == 0:
                first.append(hidden)
            calls[k].append(Call(rest, kwargs))
            if k == len(blocks) - 1:
                raise _Enough

        return hook

    hooks = [m.register_forward_pre_hook(keep(k), with_kwargs=True) for k, m in enumerate(blocks)]
    hooks += [m.register_forward_hook(remember) for m in blocks]
    device = next(model.parameters()).device
    with _hooked(*hooks):
        for rows in ids:
            try:
                model(input_ids=rows.to(device), use_cache=False)
            except _Enough:
                continue
            raise ValueError("the model did not run its decoder layers: it cannot be calibrated")
    return first, calls


@contextmanager
def _hooked(*handles: torch.utils.hooks.RemovableHandle) -> Iterator[None]:
    """Removes hooks at the end, whatever happens."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
