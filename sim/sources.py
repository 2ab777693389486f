"""What our own code is told by, for results that are kept: edited code, another digest."""

import hashlib
from functools import cache
from pathlib import Path

__all__ = ["source_digest"]

_ROOT = Path(__file__).parents[1]


@cache
def source_digest(*names: str) -> str:
    """Hash of these source files, and of all below these folders: names from the root on."""
    seen = hashlib.sha256()
    for name in names:
        place = _ROOT / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            seen.update(str(path.relative_to(_ROOT)).encode() + b"\0" + path.read_bytes())
    return seen.hexdigest()
