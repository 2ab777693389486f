"""Codes in torch: encode, levels, and packing for storage.

Tables come from `macsmith.sim.codec`, so nothing about a format is written here a second time.
"""

from functools import lru_cache

import numpy as np
import torch

from macsmith.quant.nearest import nearest_codes
from macsmith.sim import codec
from macsmith.sim.formats import Format

__all__ = ["code_dtype", "encode", "encode_rows", "levels", "pack", "packed_bits", "unpack"]


def code_dtype(fmt: Format) -> torch.dtype:
    """What codes of `fmt` are kept in: uint8, or uint16 above 8 bits."""
    return torch.uint8 if fmt.width <= 8 else torch.uint16


def encode(values: torch.Tensor, fmt: Format) -> torch.Tensor:
    """Codes of the levels nearest to `values` (any shape, float32, in units of the scale).

    Same shape, `code_dtype(fmt)`; out of range saturates. For formats without a zero point. NaN
    must have been refused before: it would get the last code.
    """
    return nearest_codes(values, fmt).to(code_dtype(fmt))


def encode_rows(
    values: torch.Tensor, fmt: Format, zero_point: torch.Tensor | None = None
) -> torch.Tensor:
    """`encode` for float32 [R, K], each row at its own zero point (integer [R])."""
    return nearest_codes(values, fmt, zero_point).to(code_dtype(fmt))


def levels(
    codes: torch.Tensor, fmt: Format, zero_point: torch.Tensor | None = None
) -> torch.Tensor:
    """Levels of codes [R, K] as float32, exact: `zero_point` integer [R] for zero-pointed formats.

    ValueError if float32 does not hold one of the format's levels.
    """
    table = _level_table(fmt, codes.device)
    index = codes.int()
    if zero_point is not None:
        index = index + (zero_point.int()[:, None] << fmt.width)
    return table.index_select(0, index.reshape(-1)).view(codes.shape)


def packed_bits(fmt: Format) -> int:
    """Bits that a stored code takes: 4 up to INT4, a byte up to 8, else two."""
    return 4 if fmt.width <= 4 else 8 if fmt.width <= 8 else 16


def pack(codes: torch.Tensor, fmt: Format) -> torch.Tensor:
    """Codes of any shape as uint8 [bytes], in memory order; for 4 bits the even code lies low.

    One dimension on purpose: it never has the shape of the weight, so a reader that does not know
    the packing stops instead of taking the bytes for a weight.
    """
    flat = codes.reshape(-1)
    if packed_bits(fmt) == 16:
        return torch.from_numpy(flat.cpu().numpy().astype("<u2").view(np.uint8)).to(codes.device)
    if packed_bits(fmt) == 8:
        return flat.clone()
    if flat.numel() % 2:
        flat = torch.cat([flat, flat.new_zeros(1)])
    return flat[0::2] | flat[1::2] << 4


def unpack(packed: torch.Tensor, fmt: Format, shape: tuple[int, ...]) -> torch.Tensor:
    """The codes [shape] that `pack` made `packed` of; ValueError if the length does not fit."""
    count = int(np.prod(shape))
    bits = packed_bits(fmt)
    if packed.numel() != (wanted := -(-count * bits // 8)):
        raise ValueError(
            f"{count} packed codes of {fmt.name} take {wanted} bytes, got {packed.numel()}"
        )
    if bits == 16:
        codes = torch.from_numpy(packed.cpu().numpy().view("<u2").astype(np.uint16))
        return codes.to(packed.device).reshape(shape)
    if bits == 8:
        return packed.reshape(shape).clone()
    return torch.stack((packed & 15, packed >> 4), dim=1).reshape(-1)[:count].reshape(shape)


@lru_cache(maxsize=64)
def _level_table(fmt: Format, device: torch.device) -> torch.Tensor:
    """Levels float32 [zero points * 2**width]; ValueError if float32 does not hold one of them."""
    exact = codec.level_table(fmt)
    table = exact.astype(np.float32)
    if (table.astype(np.int64) != exact).any():
        raise ValueError(f"{fmt.name} has levels that float32 does not hold: float needs them to")
    return torch.from_numpy(table.reshape(-1)).to(device)
