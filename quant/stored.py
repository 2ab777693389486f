"""What a folder's files must have of quantized layers: each tensor, as it was saved, in its range.

transformers fills what a file has not with numbers of its own, and casts what has another dtype.
Neither is a layer that anybody quantized, so both are refused before anything is loaded. Of all
other tensors `io.load_model` refuses what is missing; transformers itself says it in a report.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from macsmith.quant.weights import QuantizedWeight
from macsmith.sim.formats import Format

__all__ = ["check_files", "check_weight"]

_DTYPES = {
    torch.float16: "F16", torch.float32: "F32", torch.int32: "I32", torch.int64: "I64",
    torch.uint16: "U16", torch.uint8: "U8",
}  # fmt: skip


def check_files(model: nn.Module, packed: Sequence[str], files: Iterable[str | Path]) -> None:
    """ValueError unless safetensors ``files`` hold all tensors of ``model``'s modules ``packed``.

    But for biases, in the dtypes that they are declared with. A module of which there is nothing
    has other names in the file, which transformers knows.
    """
    found = _headers(files)
    prefix = getattr(model, "base_model_prefix", "") + "."
    known = {name.removeprefix(prefix): dtype for name, dtype in found.items()}
    for module in packed:
        tensors = model.get_submodule(module).state_dict(prefix=f"{module}.")
        dtypes = {name: known.get(name.removeprefix(prefix)) for name in tensors}
        if not any(dtypes.values()):
            continue
        for name, dtype in dtypes.items():
            if dtype is None:
                raise ValueError(f"quantized folder: tensor {name!r} is missing")
            wanted = _DTYPES.get(tensors[name].dtype)
            if not name.endswith(".bias") and dtype != wanted:
                raise ValueError(f"quantized folder: {name!r} is {dtype}, wanted {wanted}")


def check_weight(name: str, weight: QuantizedWeight, fmt: Format) -> None:
    """ValueError if a scale or an offset is not finite, a scale 0, a zero point none of the
    format's, or a place of a kept weight outside or out of order."""
    for what in ("scale", "offset"):
        values = getattr(weight, what)
        if values is not None and not torch.isfinite(values).all():
            raise ValueError(f"quantized folder: layer {name!r} has a {what} that is not finite")
    if (weight.scale == 0).any():
        raise ValueError(f"quantized folder: layer {name!r} has a scale of 0")
    if weight.zero_point is not None:
        most, last = int(weight.zero_point.max()), fmt.zero_points[-1]
        if most > last:
            raise ValueError(
                f"quantized folder: layer {name!r} has zero point {most}: {fmt.name} goes to {last}"
            )
    if weight.kept is not None and len(index := weight.kept.index):
        first, last = int(index[0]), int(index[-1])
        if first < 0 or last >= weight.codes.numel() or bool((index.diff() <= 0).any()):
            raise ValueError(f"quantized folder: layer {name!r} has kept weights outside itself")


def _headers(files: Iterable[str | Path]) -> Mapping[str, str]:
    """Dtypes by name, of all tensors."""
    found = {}
    for file in files:
        try:
            with safe_open(file, "pt") as stored:
                keys = stored.keys()
                found |= {key: stored.get_slice(key).get_dtype() for key in keys}
        except SafetensorError as error:
            raise ValueError(f"quantized folder: {Path(file).name}: {error}") from None
    return found
