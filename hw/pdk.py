"""Technology libraries by name: where they are looked for, and which files belong together.

Searched in this order, the first hit wins:

1. `$MACSMITH_PDK_PATH/<name>/*.lib[.gz]` (several folders separated by ':'): every file of the
   folder belongs to the library.
2. `$FLOW_HOME/platforms/<name>/lib`: an OpenROAD-flow-scripts checkout.
3. `$PDK_ROOT/*/libs.ref/<name>/lib`: an open_pdks installation.
4. `/usr/share/qflow/tech/<name>`: Debian's qflow-tech packages (`osu018`).

Folders 2 and 3 hold many corners; their typical one at 25 C is taken.
"""

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Pdk", "available", "find", "from_files"]

QFLOW = Path("/usr/share/qflow/tech")

#: Cells that are no logic of the kind a synthesiser should pick, as glob patterns. sky130's low
#: power cells belong between supply domains and its probe cells carry test pads.
DONT_USE = ("sky130_fd_sc_hd__lpflow_*", "sky130_fd_sc_hd__probe*")
_TYPICAL = re.compile(r"(?:^|[_.-])(tt|typ|typical)(?=[_.-]|$)", re.IGNORECASE)
_NO_LOGIC = re.compile(r"fakeram|sram|(?:^|_)io(?=_|\.)|pad", re.IGNORECASE)
_OTHER_VT = re.compile(r"_(?:S?LVT|SRAM|HVT)_", re.IGNORECASE)  # ASAP7: only RVT is wanted


@dataclass(frozen=True, slots=True)
class Pdk:
    """A library of cells: Liberty files that belong together, and cells to keep away from."""

    name: str
    files: tuple[Path, ...]
    dont_use: tuple[str, ...] = DONT_USE


def find(name: str) -> Pdk:
    """The library called `name`.

    ValueError, one line: unknown, with the nearest known name and the places searched.
    """
    known = _search()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    have = f" (available: {', '.join(sorted(known))})" if known else ""
    raise ValueError(f"no PDK {name!r}{hint}{have}; searched {', '.join(_places())}")


def available() -> tuple[Pdk, ...]:
    """Every library found on the search path, by name."""
    return tuple(pdk for _, pdk in sorted(_search().items()))


def from_files(files: list[str | Path] | tuple[str | Path, ...], name: str = "") -> Pdk:
    """A library made of the given Liberty files; `name` defaults to the first file's stem."""
    paths = tuple(Path(file) for file in files)
    if not paths:
        raise ValueError("wanted at least one Liberty file, got none")
    return Pdk(name or paths[0].name.removesuffix(".gz").removesuffix(".lib"), paths)


def _search() -> dict[str, Pdk]:
    found: dict[str, Pdk] = {}
    for name, files in _candidates():
        if files:
            found.setdefault(name, Pdk(name, tuple(files)))
    return found


def _candidates() -> Iterator[tuple[str, list[Path]]]:
    for root in _folders("MACSMITH_PDK_PATH"):
        for folder in _subfolders(root):
            yield folder.name, _liberties(folder)
    for root in _folders("FLOW_HOME"):
        for folder in _subfolders(root / "platforms"):
            yield folder.name, _typical(_liberties(folder / "lib", deep=True))
    for root in _folders("PDK_ROOT"):
        for libs in sorted(root.glob("*/libs.ref")):
            for folder in _subfolders(libs):
                yield folder.name, _typical(_liberties(folder / "lib"))[:1]
    for folder in _subfolders(QFLOW):
        yield folder.name, _liberties(folder)


def _places() -> list[str]:
    places = []
    for variable, below in (
        ("MACSMITH_PDK_PATH", ""),
        ("FLOW_HOME", "/platforms"),
        ("PDK_ROOT", ""),
    ):
        value = os.environ.get(variable)
        places.append(f"${variable}{below} ({value or 'not set'})")
    return [*places, str(QFLOW)]


def _folders(variable: str) -> list[Path]:
    return [Path(part) for part in os.environ.get(variable, "").split(os.pathsep) if part]


def _subfolders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir())
    except OSError:  # absent or unreadable: nothing to find there
        return []


def _liberties(folder: Path, deep: bool = False) -> list[Path]:
    prefix = "**/" if deep else ""
    return sorted({*folder.glob(f"{prefix}*.lib"), *folder.glob(f"{prefix}*.lib.gz")})


def _typical(files: list[Path]) -> list[Path]:
    """The files of the typical corner, or all of them where no name says which that is."""
    logic = [f for f in files if not _NO_LOGIC.search(f.name) and not _OTHER_VT.search(f.name)]
    typical = [f for f in logic if _TYPICAL.search(f.name.split(".lib")[0])]
    room = [f for f in typical if re.search(r"0?25C", f.name)]
    return sorted(room or typical or logic, key=lambda f: (len(f.name), f.name))
