"""Cells of large Liberty files, kept on disk as they were built: parsed once, read in a moment.

A cell's file is named by the library's content, by the code that reads Liberty and by the cell's
name, so nothing stale is ever found. It starts with a hash of the rest: one that was cut off or
changed is not there, and is written again. Where the folder cannot be written nothing is kept; what
an older version left may be deleted at any time, as the whole folder may.
"""

import hashlib
import os
import pickle
import sys
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path

from macsmith.hw.cell import Cell
from macsmith.hw.export import write_atomically

__all__ = ["LEAST", "folder", "keep", "recall"]

#: Characters of a file of which cells are kept: smaller ones parse in less than a second.
LEAST = 1_000_000
_READERS = (
    *("boolean", "cell", "nldm"),
    *("liberty_build", "liberty_cache", "liberty_power", "liberty_text"),
)
_HASH = hashlib.sha256
_HEAD = _HASH().digest_size


def folder() -> Path:
    """Where cells are kept: ``macsmith/cells`` in the user's folder of caches."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "macsmith" / "cells"


def recall(content: str, name: str) -> Cell | None:
    """Cell ``name`` of the file whose content has this hash; None unless it was kept whole."""
    try:
        kept = _file(content, name).read_bytes()
    except (OSError, RuntimeError):
        return None
    if _HASH(kept[_HEAD:]).digest() != kept[:_HEAD]:
        return None
    return pickle.loads(zlib.decompress(kept[_HEAD:]))


def keep(content: str, name: str, cell: Cell) -> None:
    """Write a cell, whole or not at all."""
    packed = zlib.compress(pickle.dumps(cell, pickle.HIGHEST_PROTOCOL), 1)
    with suppress(OSError, RuntimeError):  # the latter of a user without a home
        file = _file(content, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, _HASH(packed).digest() + packed)


def _file(content: str, name: str) -> Path:
    key = _HASH(f"{content} {_code()}".encode()).hexdigest()[:32]
    return folder() / key / f"{_HASH(name.encode()).hexdigest()[:32]}.cell"


@cache
def _code() -> str:
    """What reads and packs cells: a hash of its sources, and the Python that it runs in."""
    seen = _HASH(sys.version.encode())
    for name in _READERS:
        seen.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return seen.hexdigest()
