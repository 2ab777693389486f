"""Technology libraries by name: where they are looked for, and which files belong together.

Searched in this order, the first hit wins:

1. `$MACSMITH_PDK_PATH/<name>/*.lib[.gz]` (several folders separated by ':').
2. `$FLOW_HOME/platforms/<name>/lib`: an OpenROAD-flow-scripts checkout.
3. `$PDK_ROOT/*/libs.ref/<name>/lib`: an open_pdks installation.
4. `/usr/share/qflow/tech/<name>`: Debian's qflow-tech packages (`osu018`).

Folders 2 and 3 hold many families of cells and corners; one is taken, typical at 25 C if there is
one (`hw.corners`). Of the others every file belongs to the library, unless their names tell several
corners or families apart. `<name>/<variant>` takes it of the files whose names contain the variant:
`gf180/mcu9t`, `sky130hd/ss_n40C_1v40`.
"""

import difflib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from macsmith.hw.corners import choose, several
from macsmith.hw.liberty import Library, load

__all__ = ["Pdk", "available", "find", "from_files"]

QFLOW = Path("/usr/share/qflow/tech")

#: Cells that are no logic of the kind a synthesiser should pick, as glob patterns. sky130's low
#: power cells belong between supply domains and its probe cells carry test pads.
DONT_USE = ("sky130_fd_sc_hd__lpflow_*", "sky130_fd_sc_hd__probe*")


@dataclass(frozen=True, slots=True)
class Pdk:
    """A library of cells: Liberty files that belong together, and cells to keep away from.

    `others` are files of the same name's folder that were not taken: other families and corners.
    """

    name: str
    files: tuple[Path, ...]
    dont_use: tuple[str, ...] = DONT_USE
    others: tuple[Path, ...] = ()

    def load(self, dont_use: Iterable[str] = ()) -> Library:
        """Its cells, read once; `dont_use` adds to its own. Errors are those of `liberty.load`."""
        return load(self.files, self.name, (*self.dont_use, *dont_use))


def find(name: str) -> Pdk:
    """The library called `name`, which may be followed by `/` and a part of its files' names.

    ValueError, one line: unknown, with the nearest known name and the places searched, or without
    such files.
    """
    known = _search()
    base, _, variant = name.partition("/")
    if base in known:
        return _variant(known[base], variant) if variant else known[base]
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


def _variant(pdk: Pdk, variant: str) -> Pdk:
    every = (*pdk.files, *pdk.others)
    files = tuple(choose(sorted(every), variant))
    if not files:
        names = ", ".join(sorted(file.name for file in every))
        raise ValueError(f"PDK {pdk.name!r} has no files named like {variant!r}, but {names}")
    others = tuple(file for file in every if file not in files)
    return Pdk(f"{pdk.name}/{variant}", files, pdk.dont_use, others)


def _search() -> dict[str, Pdk]:
    found: dict[str, Pdk] = {}
    for name, files, others in _candidates():
        if files:
            found.setdefault(name, Pdk(name, tuple(files), others=tuple(others)))
    return found


def _candidates() -> Iterator[tuple[str, list[Path], list[Path]]]:
    """Names, the files that belong together, and the others that are there."""
    for root in _folders("MACSMITH_PDK_PATH"):
        for folder in _subfolders(root):
            yield folder.name, *_own(_liberties(folder))
    for root in _folders("FLOW_HOME"):
        for folder in _subfolders(root / "platforms"):
            yield folder.name, *_chosen(_liberties(folder / "lib", deep=True))
    for root in _folders("PDK_ROOT"):
        for libs in sorted(root.glob("*/libs.ref")):
            for folder in _subfolders(libs):
                yield folder.name, *_chosen(_liberties(folder / "lib"))
    for folder in _subfolders(QFLOW):
        yield folder.name, *_own(_liberties(folder))


def _chosen(files: list[Path]) -> tuple[list[Path], list[Path]]:
    best = choose(files)
    return best, [file for file in files if file not in best]


def _own(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """The same of a folder made by hand, in the order of its names."""
    if not several(files):
        return files, []
    best, others = _chosen(files)
    return sorted(best), others


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
