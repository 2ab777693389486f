"""Verilator's own library, compiled once: it is most of a small bench's build, and always the same.

The first build compiles it and leaves an archive in the user's cache; later ones link that.
"""

import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

__all__ = ["archive_path", "keep_library", "make_variables"]

#: Compiled for less time than they save; the model itself is compiled for longer than it runs.
_OPTIMISED = {"OPT_GLOBAL": "-O1", "OPT_FAST": "-O0", "OPT_SLOW": "-O0"}


def archive_path() -> Path:
    """Where the archive is, or belongs, for this Verilator and this compiler."""
    seen = hashlib.sha256(repr(_OPTIMISED).encode())
    for command in (("verilator", "--version"), ("c++", "--version")):
        seen.update(subprocess.run(command, capture_output=True, check=True).stdout)
    seen.update(os.environ.get("VERILATOR_ROOT", "").encode())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "macsmith" / f"verilated-{seen.hexdigest()[:16]}.a"


def make_variables(archive: Path) -> dict[str, str]:
    """For make, as if on its command line: with the archive, if it is there."""
    variables = dict(_OPTIMISED)
    if archive.exists():
        variables |= {"VM_GLOBAL_FAST": "", "LOADLIBES": str(archive)}
    return variables


def keep_library(build: Path, archive: Path) -> None:
    """Put the objects that a build in ``build`` has compiled into the archive, if it is not there.

    A cache that cannot be written is done without.
    """
    if archive.exists():
        return
    text = (build / "Vtop_classes.mk").read_text()
    names = re.search(r"VM_GLOBAL_FAST \+= \\\n((?:.*\\\n)*)", text)[1].replace("\\", "").split()
    objects = [str(build / f"{name}.o") for name in names]
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
            new = Path(folder) / "new.a"
            subprocess.run(["ar", "rcs", str(new), *objects], check=True, capture_output=True)
            new.replace(archive)
    except OSError:
        return
