"""Payloads of streams as bits, many at once."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bits_of", "numbers_of", "packed", "word_of"]


def bits_of(codes: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """[..., n] numbers -> [..., n * width] bits; of negative ones those of two's complement."""
    bits = (codes[..., None] >> np.minimum(np.arange(width), 63) & 1).astype(np.uint8)
    return bits.reshape(*codes.shape[:-1], -1)


def numbers_of(bits: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """[..., n * width] bits -> [..., n] unsigned numbers."""
    each = bits.reshape(*bits.shape[:-1], -1, width)
    return (each.astype(np.int64) << np.arange(width)).sum(axis=-1)


def packed(layout: Any, fields: Mapping[str, NDArray]) -> NDArray[np.uint8]:
    """Payloads, [..., bits], of a layout; each of its fields is [..., parts]."""
    if list(fields) != [name for name, _ in layout]:
        raise AssertionError(f"the payload has {layout}, not {list(fields)}")
    return np.concatenate(
        [bits_of(fields[name], field.width // fields[name].shape[-1]) for name, field in layout],
        axis=-1,
    )


def word_of(bits: NDArray[np.uint8]) -> int:
    """Bits from bit 0 upwards, as one number."""
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
