"""Operand streams from a user's file: recorded codes, to measure a unit on what it is for."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.operands import Operands
from macsmith.sim.codec import code_dtype
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

__all__ = ["SUFFIXES", "from_file"]

SUFFIXES = (".npz", ".csv")
_NAMES = ("w", "a", "z", "clear")


def from_file(path: str | Path, spec: MacSpec) -> Operands:
    """Codes of ``spec``'s formats, one product after the other.

    A ``.npz`` file has integer arrays ``w`` and ``a``, of one shape, [products] or [streams,
    products]; a ``.csv`` file has columns of these names, for one stream. Where weights are
    zero-pointed there is ``z`` as well, the same within a sum. ``clear`` is 1 where a product
    starts a new sum; without it all products of a stream are one sum.

    ValueError, one line: no such file or kind of file, something missing, unknown or of another
    shape, a code that does not fit, zero points that change within a sum.
    """
    path = Path(path)
    found = _read(path)
    unknown, needed = set(found) - set(_NAMES), ["w", "a"] + ["z"] * spec.weights.zero_pointed
    if unknown or not set(needed) <= set(found):
        raise ValueError(
            f"{path}: wanted {', '.join(needed)} (and clear, if sums begin), "
            f"got {', '.join(found) or 'nothing'}"
        )
    shape = found["w"].shape
    for name, array in found.items():
        if array.shape != shape or array.ndim not in (1, 2) or not array.size:
            raise ValueError(
                f"{path}: wanted arrays of one shape, [products] or [streams, products], "
                f"got w {list(shape)} and {name} {list(array.shape)}"
            )
    clear = np.atleast_2d(found.get("clear", np.zeros(shape, np.int64)))
    if not np.isin(clear, (0, 1)).all():
        raise ValueError(f"{path}: clear must be 0 or 1")
    clear = clear.astype(bool)
    clear[:, 0] = True
    w = _codes(path, "w", found["w"], spec.weights)
    a = _codes(path, "a", found["a"], spec.activations)
    z = None
    if spec.weights.zero_pointed:
        z = _codes(path, "z", found["z"], spec.weights)
        if (~clear[:, 1:] & (z[:, 1:] != z[:, :-1])).any():
            raise ValueError(f"{path}: a zero point changes within a sum")
    return Operands(w, a, z, clear, f"{path.name}, {w.size:,} products")


def _read(path: Path) -> dict[str, NDArray]:
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: operands are read from {' or '.join(SUFFIXES)} files")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
        else:
            found = _columns(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot read operands: {error.strerror or error}") from None
    except Exception as error:  # whatever numpy and csv have against it
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: no table of integer codes: {reason}") from None
    for name, array in found.items():
        if array.dtype.kind not in "iub":
            raise ValueError(f"{path}: {name} must be integers, not {array.dtype}")
    return found


def _columns(path: Path) -> dict[str, NDArray]:
    """Columns of a table by name; ValueError says which line is no row of it, and why."""
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets begin with a mark
        reader = csv.reader(file)
        rows = [(reader.line_num, row) for row in reader if row]
    head = [name.strip() for name in rows[0][1]] if rows else []
    if len(rows) < 2:
        raise ValueError(f"wanted a line of names and lines of codes, got {len(rows)} line(s)")
    if len(set(head)) < len(head):
        raise ValueError(f"wanted columns of different names, got {', '.join(head)}")
    found: dict[str, list[int]] = {name: [] for name in head}
    for line, row in rows[1:]:
        if len(row) != len(head):
            raise ValueError(f"line {line}: wanted {', '.join(head)}, got {len(row)} value(s)")
        for name, text in zip(head, row, strict=True):
            try:
                found[name].append(int(text, 0))
            except ValueError:
                raise ValueError(f"line {line}: {name}: wanted an integer, got {text!r}") from None
    return {name: np.array(codes) for name, codes in found.items()}


def _codes(path: Path, name: str, array: NDArray, fmt: Format) -> NDArray[np.unsignedinteger]:
    if array.min() < 0 or array.max() >= 2**fmt.width:
        worst = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"{path}: {name} has {worst}, which is no code of {fmt.name}")
    return np.atleast_2d(array).astype(code_dtype(fmt))
