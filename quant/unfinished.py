"""Quantized blocks on disk while a model is not finished, so that a killed run goes on.

    folder/0003-model.layers.3.safetensors    all tensors of a block, as it runs afterwards

A block is written when it is done, under another name first: whatever is there is whole. Each file
carries the key of what made it: recipe, calibration, the float model, the code and its libraries,
and the digest of its tensors. Blocks restored are bit for bit what they were, so the result is that
of a run nobody stopped; one that is not is made again, and so are those that were made behind it.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from macsmith.quant.config import specs_of
from macsmith.quant.evaluate import hash_ids
from macsmith.quant.kept import Kept
from macsmith.quant.linear import QuantLinear
from macsmith.quant.recipe import Recipe
from macsmith.sim.sources import source_digest

__all__ = ["Unfinished", "discard", "finished", "key_of", "unfinished"]


def key_of(model: nn.Module, recipe: Recipe, ids: torch.Tensor, layers: Sequence[str]) -> str:
    """What decides every bit of the blocks: 64 hexadecimal digits. It reads all of the model.

    ValueError where a tensor is on no device.
    """
    key = sha256()
    config = getattr(model, "config", None)
    said = [
        *(f"{name} {version(name)}" for name in ("torch", "transformers", "numpy", "numba")),
        recipe.model_dump_json(),
        repr(specs_of(recipe)),  # a format may be a user's file
        f"{list(ids.shape)} {hash_ids(ids)}",
        repr(list(layers)),
        config.to_json_string() if hasattr(config, "to_json_string") else type(model).__name__,
    ]
    for line in said:
        key.update(line.encode() + b"\n")
    key.update(source_digest("quant", "sim").encode())
    for name, tensor in _tensors(model):
        if tensor.is_meta:
            raise ValueError(f"{name!r} is on no device: a working folder needs all of the model")
        key.update(f"{tensor.device.type} ".encode())
        _add(key, name, tensor)
    return key.hexdigest()


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _add(digest, name: str, tensor: torch.Tensor) -> None:
    digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
    flat = tensor.detach().reshape(-1).view(torch.uint8)
    for part in flat.split(2**24):  # a tensor on another device is not copied whole
        digest.update(part.cpu().numpy())


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    digest = sha256()
    for name in sorted(tensors):
        _add(digest, name, tensors[name])
    return digest.hexdigest()


@contextmanager
def unfinished(
    folder: str | Path, key: str, say: Callable[[str], None] = lambda line: None
) -> Iterator["Unfinished"]:
    """The working folder ``folder``, made if it is not there, for one process alone.

    What another key has left there is removed, and ``say`` told. All of it is on a ValueError: what
    the input is to blame for would come again. FileExistsError if something is there that is no
    working folder; BlockingIOError if another process uses it.
    """
    folder = Path(folder).absolute()
    others = folder.exists() and not (folder.is_dir() and all(map(_is_ours, folder.iterdir())))
    if others:
        raise FileExistsError(f"{str(folder)!r} is in the way: it is no working folder")
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released with the process
        except BlockingIOError:
            raise BlockingIOError(f"another process works in {str(folder)!r}") from None
        try:
            yield Unfinished(folder, key, say)
        except ValueError:
            for file in folder.iterdir():
                file.unlink()
            raise
    finally:
        os.close(handle)
        with suppress(OSError):
            folder.rmdir()  # it stays if a block is in it


def finished(folder: str | Path) -> int:
    """How many blocks are in a working folder; 0 where there is none."""
    return sum(1 for _ in Path(folder).glob("*.safetensors"))


def discard(folder: str | Path) -> None:
    """Remove a working folder, if there is one: the model has been saved."""
    folder = Path(folder)
    if folder.is_dir() and all(map(_is_ours, folder.iterdir())):
        shutil.rmtree(folder, ignore_errors=True)


def _is_ours(file: Path) -> bool:
    return re.fullmatch(r"\d{4}-.*\.safetensors(\.tmp)?", file.name) is not None


class Unfinished:
    """Blocks that are done, in a folder. Made by `unfinished`."""

    def __init__(self, folder: Path, key: str, say: Callable[[str], None]) -> None:
        self.folder, self.key, self.say = folder, key, say
        keys = {file: _key_in(file) for file in folder.glob("*.safetensors")}
        stale = [file for file, found in keys.items() if found != key]
        for file in (*stale, *folder.glob("*.tmp")):
            file.unlink()
        done, damaged = len(keys) - len(stale), sum(found is None for found in keys.values())
        if len(stale) > damaged:
            say(f"{folder} is of another recipe, calibration, model or version: starting anew")
        elif damaged:
            say(f"{folder} has {done} finished blocks, and {damaged} damaged ones, made again")
        elif done:
            say(f"{folder} has {done} finished blocks: going on behind them")

    def save(self, index: int, name: str, module: nn.Module) -> None:
        """Write a block that is done."""
        # Copies: safetensors refuses tensors that share memory or are views.
        tensors = {n: x.detach().cpu().contiguous().clone() for n, x in module.state_dict().items()}
        file = self._file(index, name)
        partial = file.with_name(file.name + ".tmp")
        save_file(tensors, partial, {"key": self.key, "digest": _digest(tensors)})
        with partial.open("rb") as written:
            os.fsync(written.fileno())  # or the name may reach the disk before what it names
        os.replace(partial, file)

    def restore(
        self, index: int, name: str, module: nn.Module, layers: Sequence[str], recipe: Recipe
    ) -> bool:
        """Make ``module`` the block that was saved, if it was; ``layers`` are full names.

        If it is not what was saved, it is removed with all behind it, and ``say`` told.
        """
        file = self._file(index, name)
        if not file.exists():
            return False
        device = next(module.parameters()).device
        with safe_open(file, "pt", device=str(device)) as stored:
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
            wanted = stored.metadata().get("digest")
        if _digest(tensors) != wanted:
            # Those behind it may be whole: they are not worth finding out what became of this one.
            gone = [f for f in self.folder.glob("*.safetensors") if f.name >= file.name]
            for each in gone:
                each.unlink()
            self.say(f"{file} is damaged: {len(gone)} finished blocks from it on are made again")
            return False
        for layer in (full.removeprefix(name + ".") for full in layers):
            module.set_submodule(layer, _layer(tensors, layer, recipe))
        module.load_state_dict(tensors)
        return True

    def _file(self, index: int, name: str) -> Path:
        return self.folder / f"{index:04}-{name}.safetensors"


def _layer(tensors: dict[str, torch.Tensor], name: str, recipe: Recipe) -> QuantLinear:
    part = {n: tensors.get(f"{name}.{n}") for n in ("zero_point", "bias", "offset")}
    index = tensors.get(f"{name}.kept_index")
    return QuantLinear(
        tensors[f"{name}.qweight"],
        tensors[f"{name}.scale"],
        part["zero_point"],
        part["bias"],
        spec=recipe.spec(),
        group_size=recipe.weights.group_size,
        activations=recipe.activations,
        kept=None if index is None else Kept(index, tensors[f"{name}.kept_value"]),
        offset=part["offset"],
    )


def _key_in(file: Path) -> str | None:
    try:
        with safe_open(file, "pt") as stored:
            return (stored.metadata() or {}).get("key")
    except (SafetensorError, OSError):
        return None
