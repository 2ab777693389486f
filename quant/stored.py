"""What a quantized folder's files must have: every tensor, as it was saved, in the ranges it means.

transformers fills what a file has not with numbers of its own, and casts what has another dtype.
Neither is a model that anybody quantized, so both are refused before anything is loaded.
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
    """ValueError unless safetensors ``files`` hold all of ``model``'s tensors.

    Those of its modules ``packed`` must also have the dtypes that they are declared with, but for
    biases. A tied tensor may be left out.
    """
    found = _headers(files)
    prefix = getattr(model, "base_model_prefix", "") + "."
    known = {name.removeprefix(prefix): dtype for name, dtype in found.items()}
    tied = getattr(model, "all_tied_weights_keys", {})
    for name, tensor in model.state_dict().items():
        dtype = known.get(name.removeprefix(prefix))
        if dtype is None:
            if name in tied or name in tied.values():
                continue
            raise ValueError(f"quantized folder: tensor {name!r} is missing")
        module, _, part = name.rpartition(".")
        if module in packed and part != "bias" and dtype != (wanted := _DTYPES[tensor.dtype]):
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
