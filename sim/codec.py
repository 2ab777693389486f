"""Encode and decode numpy arrays.

The tables made here (levels, decision thresholds) are all that a faster back end needs: torch
encodes with the same ones through `torch.bucketize`.
"""

import itertools
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from macsmith.sim.formats import Format

__all__ = ["code_dtype", "decode", "encode", "level_table", "thresholds", "zero_point_column"]


def code_dtype(fmt: Format) -> type[np.unsignedinteger]:
    """The unsigned integer that codes of ``fmt`` are kept in: uint8 or uint16."""
    return np.uint8 if fmt.width <= 8 else np.uint16


@lru_cache(maxsize=256)
def level_table(fmt: Format) -> NDArray[np.int64]:
    """Levels as int64 (zero points, 2**width), read-only: row z is ``fmt.levels_at(z)``."""
    table = np.array([fmt.levels_at(z) for z in fmt.zero_points], np.int64)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=1024)
def thresholds(
    fmt: Format, zero_point: int = 0, dtype: str = "float64"
) -> tuple[NDArray[np.floating], NDArray[np.unsignedinteger]]:
    """Decision thresholds ``t`` and codes ``c`` of nearest-level rounding.

    A value x gets ``c[i]``, i the number of thresholds below it (t < x). A tie that goes up has
    its threshold one ulp of ``dtype`` under the midpoint. Ties as in `golden.encode`: uniform
    levels to the even multiple of the step, others to the smaller magnitude, to the positive level
    where both are equal. Of codes with equal levels the lowest is produced. Both read-only.
    """
    code_of: dict[int, int] = {}
    for code, level in enumerate(fmt.levels_at(zero_point)):
        code_of.setdefault(level, code)
    levels, step = sorted(code_of), fmt.step
    edges = []
    for lo, hi in itertools.pairwise(levels):
        uniform = step is not None and hi - lo == step and lo % step == 0
        up = lo // step % 2 != 0 if uniform else abs(hi) <= abs(lo)
        middle = np.dtype(dtype).type((lo + hi) / 2 ** (fmt.frac_bits + 1))
        edges.append(np.nextafter(middle, middle.dtype.type(-np.inf)) if up else middle)
    tables = (
        np.array(edges, dtype),
        np.array([code_of[level] for level in levels], code_dtype(fmt)),
    )
    for table in tables:
        table.flags.writeable = False
    return tables


def zero_point_column(zero_point, fmt: Format, rows: int) -> NDArray[np.int64]:
    """``zero_point`` (None, an integer, or one per row) as int64 (rows,), checked against ``fmt``.

    ValueError if it is missing for a zero-pointed format, given for another one, not an integer,
    not one per row, or out of the format's range.
    """
    if zero_point is None:
        if fmt.zero_pointed:
            raise ValueError(f"{fmt.name} is zero-pointed: give zero_point, an integer per row")
        return np.zeros(rows, np.int64)
    z = np.asarray(zero_point)
    if z.dtype.kind not in "iu" or z.shape not in ((), (1,), (rows,), (rows, 1)):
        raise ValueError(
            f"zero_point must be an integer or {rows} of them, not {z.dtype} of shape {z.shape}"
        )
    z = np.broadcast_to(z.reshape(-1), rows).astype(np.int64)
    last = fmt.zero_points[-1]
    if rows and not 0 <= z.min() <= z.max() <= last:
        raise ValueError(f"zero point of {fmt.name} must be in 0..{last}, not {z.min()}..{z.max()}")
    return z


def decode(codes: NDArray, fmt: Format, zero_point=None) -> NDArray[np.int64]:
    """Levels of ``codes`` (rows, ...), same shape, int64; ``zero_point`` is one per row or for all.

    ValueError if the codes are not integers of ``fmt.width`` bits.
    """
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu":
        raise ValueError(f"codes of {fmt.name} must be integers, not {codes.dtype}")
    if codes.size and not 0 <= codes.min() <= codes.max() < 2**fmt.width:
        raise ValueError(
            f"codes of {fmt.name} must be in 0..{2**fmt.width - 1}, "
            f"not {codes.min()}..{codes.max()}"
        )
    if zero_point is None or np.ndim(zero_point) == 0:
        z = zero_point_column(zero_point, fmt, 1)[0]
        return level_table(fmt)[z][codes]
    z = zero_point_column(zero_point, fmt, len(codes))
    return level_table(fmt)[z.reshape(-1, *[1] * (codes.ndim - 1)), codes]


def encode(values: NDArray, fmt: Format, zero_point=None) -> NDArray[np.unsignedinteger]:
    """Codes of the levels nearest to ``values`` (rows, ...), same shape; out of range saturates.

    ``values`` are in units of the scale (x / s), float32 or float64, compared in that precision
    with `thresholds`. ``zero_point`` is one per row or for all. NaN is refused with ValueError.
    """
    values = np.asarray(values)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    if np.isnan(values).any():
        raise ValueError(f"cannot encode NaN in {fmt.name}")
    if zero_point is None or np.ndim(zero_point) == 0:
        z = zero_point_column(zero_point, fmt, 1)[0]
        edges, codes = thresholds(fmt, int(z), values.dtype.name)
        return codes[np.searchsorted(edges, values, side="left")]
    z = zero_point_column(zero_point, fmt, len(values))
    out = np.empty(values.shape, code_dtype(fmt))
    for each in np.unique(z):  # a table per zero point in use, at most 2**width
        rows = z == each
        out[rows] = encode(values[rows], fmt, int(each))
    return out
