"""What a folder's files must have: each tensor, as it was saved, in its range.

transformers fills what a file has not with numbers of its own, casts what has another dtype, and
leaves out what it does not expect. None of that is a layer that anybody quantized, so it is
refused: of quantized layers before anything is loaded, of all others as soon as it shows.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from macsmith.quant.scale import all_finite
from macsmith.quant.weights import QuantizedWeight
from macsmith.sim.formats import Format

__all__ = ["check_files", "check_others", "check_weight"]

_DTYPES = {
    torch.float16: "F16", torch.float32: "F32", torch.int32: "I32", torch.int64: "I64",
    torch.uint16: "U16", torch.uint8: "U8",
}  # fmt: skip


def check_files(model: nn.Module, packed: Sequence[str], files: Iterable[str | Path]) -> None:
    """ValueError unless safetensors ``files`` hold the tensors of ``model``, as far as they tell.

    Of its modules ``packed`` all tensors and no other, in the dtypes that they are declared with;
    biases, and whatever else is there, may have any dtype of floating point. Shapes are compared
    but where transformers puts a tensor together from several.
    """
    wanted = model.state_dict()
    found = _by_local_name(model, wanted, _headers(files))
    layers = {name for name in wanted.keys() | found if name.rpartition(".")[0] in set(packed)}
    for name in sorted(layers):
        if name not in found:
            raise ValueError(f"quantized folder: tensor {name!r} is missing")
        if name not in wanted:
            raise ValueError(f"quantized folder: tensor {name!r} is there, and not in the config")
    for name, stored in found.items():
        if (tensor := wanted.get(name)) is None:
            continue  # of another head, for example
        dtype = _DTYPES.get(tensor.dtype)
        exact = name in layers and not name.endswith(".bias")
        if exact and stored.dtype != dtype:
            raise ValueError(f"quantized folder: {name!r} is {stored.dtype}, wanted {dtype}")
        if tensor.is_floating_point() and not stored.dtype.startswith(("F", "BF")):
            raise ValueError(f"quantized folder: {name!r} is {stored.dtype}, wanted floating point")
        if stored.shape is not None and stored.shape != list(tensor.shape):
            raise ValueError(
                f"quantized folder: {name!r} has shape {stored.shape}, wanted {list(tensor.shape)}"
            )


def check_others(model: nn.Module) -> None:
    """ValueError if a loaded parameter was in no file, or is not finite; not of what is offloaded.

    To transformers' loader, what is not marked as initialized is to be filled with random numbers.
    """
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            continue
        if not getattr(parameter, "_is_hf_initialized", False):
            raise ValueError(f"quantized folder: tensor {name!r} is missing")
        if not all_finite(parameter):
            raise ValueError(f"quantized folder: {name!r} is not finite")


def check_weight(
    name: str, weight: QuantizedWeight, bias: torch.Tensor | None, fmt: Format
) -> None:
    """ValueError if a number is not finite, a scale 0, or below where the format has zero points,
    a zero point none of the format's, or a place of a kept weight outside or out of order."""
    layer = f"quantized folder: layer {name!r} has"
    value = weight.kept and weight.kept.value
    numbers = {"scale": weight.scale, "offset": weight.offset, "bias": bias, "kept weight": value}
    for what, tensor in numbers.items():
        if tensor is not None and not all_finite(tensor):
            article = "an" if what == "offset" else "a"
            raise ValueError(f"{layer} {article} {what} that is not finite")
    if (weight.scale == 0).any():
        raise ValueError(f"{layer} a scale of 0")
    if weight.zero_point is not None:
        most, last = int(weight.zero_point.max()), fmt.zero_points[-1]
        if most > last:
            raise ValueError(f"{layer} zero point {most}: {fmt.name} goes to {last}")
        if (weight.scale < 0).any():
            raise ValueError(f"{layer} a scale below 0: {fmt.name} has zero points instead")
    if weight.kept is not None and len(index := weight.kept.index):
        if (index.diff() <= 0).any():
            raise ValueError(f"{layer} kept weights out of order")
        if index[0] < 0 or index[-1] >= weight.codes.numel():
            raise ValueError(f"{layer} kept weights outside itself")


class _Stored(NamedTuple):
    dtype: str
    shape: list[int] | None  # None: of a part


def _headers(files: Iterable[str | Path]) -> dict[str, _Stored]:
    """All tensors by name, none of which is read."""
    found = {}
    for file in files:
        try:
            with safe_open(file, "pt") as stored:
                for key in stored.keys():  # noqa: SIM118
                    part = stored.get_slice(key)
                    found[key] = _Stored(part.get_dtype(), list(part.get_shape()))
        except SafetensorError as error:
            raise ValueError(f"quantized folder: {Path(file).name}: {error}") from None
    return found


def _by_local_name(
    model: nn.Module, wanted: Mapping[str, torch.Tensor], found: Mapping[str, _Stored]
) -> dict[str, _Stored]:
    """``found`` by the names that transformers will load them to."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

    mapping = get_model_conversion_mapping(model)
    kinds = (WeightRenaming, WeightConverter)
    transforms = [[x for x in mapping if isinstance(x, kind)] for kind in kinds]
    local = {}
    for key, stored in found.items():
        name, part = rename_source_key(key, *transforms, model.base_model_prefix, dict(wanted))
        if name not in wanted and key in wanted:
            name = key  # as there: not a name of the checkpoint's
        local[name] = stored if part is None else stored._replace(shape=None)
    return local
