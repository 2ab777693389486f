"""Which of many Liberty files belong together, by their names: one family of cells at one corner.

A folder of a process kit has files of several families (7 and 9 tracks), supply voltages,
temperatures and process corners, of which each is a library of its own. Names say what is what:
``gf180mcu_fd_sc_mcu7t5v0__tt_025C_5v00``, ``asap7sc7p5t_SEQ_RVT_TT_nldm``,
``sg13g2_stdcell_typ_1p20V_25C``.
"""

import re
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path

__all__ = ["Corner", "choose", "named", "several"]

_TYPICAL = ("tt", "typ", "typical", "nom", "nominal")
_END = r"(?=[_.-]|$)"
_PROCESS = re.compile(rf"(?:^|[_.-])({'|'.join(_TYPICAL)}|ss|slow|ff|fast|sf|fs){_END}", re.I)
_TEMPERATURE = re.compile(rf"(?:^|[_.-])([nm]?)(\d+)c{_END}", re.I)
_VOLTS = re.compile(rf"(?:^|[_.-])(?:lv)?(\d+)[vp](\d+)v?{_END}", re.I)
_TABLES = re.compile(r"nldm|ccs\w*|ecsm", re.I)  # several forms of the same tables
#: Tracks, and often the voltage that the cells are made for: "7p5t", "mcu7t5v0".
_TRACKS = re.compile(rf"(\d+)(?:p(\d+))?t(?:(\d+)v(\d+))?{_END}", re.I)
_CELLS = re.compile(rf".*_sc_\w+?(?=__|{_END})")  # sky130_fd_sc_hd
_NO_LOGIC = re.compile(r"fakeram|sram|(?:^|_)io(?=_|\.)|pad", re.I)
#: Thresholds, the usual one first; ASAP7's SRAM is one as well.
_FLAVOURS = ("", "rvt", "svt", "lvt", "hvt", "slvt", "ulvt", "elvt", "uhvt", "sram")
_FLAVOUR = re.compile(rf"_({'|'.join(_FLAVOURS[1:])}){_END}", re.I)
_ROOM = 25
_UNSAID = {"tracks": 0.0, "made_for": 0.0, "celsius": None, "volts": ()}  # of others ""


@dataclass(frozen=True, slots=True)
class Corner:
    """What a file's name says of it; files that are equal in all of this belong together.

    `family` is the name up to its tracks, or "" where nothing tells families apart; `tracks` and
    `made_for` (V) are 0 where the name does not say them. `volts` may be more than one supply;
    `flavour` is the transistors' threshold, such as "lvt".
    """

    folder: str
    family: str
    tracks: float
    made_for: float
    process: str
    celsius: int | None
    volts: tuple[float, ...]
    tables: str
    flavour: str

    @classmethod
    def of(cls, file: Path) -> "Corner":
        stem = _stem(file)
        # The last word: another may be part of a cell's or a family's name.
        process = next(iter([*_PROCESS.finditer(stem)][-1:]), None)
        celsius = _TEMPERATURE.search(stem)
        volts = tuple(_number(*match.groups()) for match in _VOLTS.finditer(stem))
        starts = [m.start() for m in (process, celsius, _VOLTS.search(stem)) if m]
        head = stem[: min(starts, default=len(stem))]
        tracks = _TRACKS.search(head)
        cells = _CELLS.match(head)
        tables = _TABLES.search(f"{file.parent.name} {stem}")
        flavour = _FLAVOUR.search(stem)
        return cls(
            str(file.parent),
            head[: tracks.end()] if tracks else cells.group() if cells else "",
            _number(*tracks.group(1, 2)) if tracks else 0.0,
            _number(*tracks.group(3, 4)) if tracks and tracks.group(3) else 0.0,
            process.group(1).lower() if process else "",
            int(celsius.group(2)) * (-1 if celsius.group(1) else 1) if celsius else None,
            volts,
            tables.group().lower() if tables else "",
            flavour.group(1).lower() if flavour else "",
        )


def choose(files: list[Path], variant: str = "") -> list[Path]:
    """The files of one family at one corner, of those whose names contain `variant` (see `named`).

    Preferred are, in this order: the usual threshold, a typical process, 25 C, plain tables, the
    family with the fewest tracks, and the voltage that the family is made for: which its name says,
    or else that of most of the typical files, or else the lowest.
    """
    found = named(files, variant)
    usual = [file for file in found if not _NO_LOGIC.search(file.name)]
    one_each = {
        (file.parent, _stem(file)): file for file in reversed(usual or found * bool(variant))
    }
    corners = {file: Corner.of(file) for file in one_each.values()}
    usage = Counter((c.family, c.volts) for c in corners.values() if c.process in _TYPICAL)

    def rank(corner: Corner) -> tuple:
        return (
            _FLAVOURS.index(corner.flavour),
            (corner.process not in _TYPICAL) + (corner.process not in ("", *_TYPICAL)),
            (corner.celsius != _ROOM) + (corner.celsius not in (None, _ROOM)),
            corner.tables.startswith(("ccs", "ecsm")),
            corner.tracks,
            corner.family,
            bool(corner.made_for) and corner.made_for not in corner.volts,
            len(corner.volts),
            -usage[corner.family, corner.volts],
            corner.volts,
            str(corner.celsius),
            corner.process,
            corner.tables,
            corner.folder,
        )

    best = min(corners.values(), key=rank, default=None)
    alike = [file for file, corner in corners.items() if corner == best]
    return sorted(alike, key=lambda file: (len(file.name), file.name))


def named(files: list[Path], variant: str) -> list[Path]:
    """The files with `variant` in their names, in any case.

    It is whole words there or, if there are none, begins with a word or at least within no letters:
    LVT is no part of SLVT, and 9t is one of mcu9t5v0, 25C one of 025C. Letters and digits are words
    of their own, and a capital begins one.
    """
    part = re.compile(f"(?={re.escape(variant)})", re.I)
    places = [(f.name, f, [m.start() for m in part.finditer(f.name)]) for f in files]
    for fits in (
        lambda name, at: not _in_word(name, at) and not _in_word(name, at + len(variant)),
        lambda name, at: not _in_word(name, at),
        lambda name, at: _in_word(name, at) != "letters",
    ):
        if found := [file for name, file, starts in places if any(fits(name, s) for s in starts)]:
            return found
    return []


def several(files: list[Path]) -> bool:
    """Whether the files' names tell more than one corner or family apart.

    A word that only some have (``ff``, of a file of flip-flops) tells nothing.
    """
    said = [asdict(Corner.of(file)) for file in files]
    return any(
        len({one[key] for one in said} - {_UNSAID.get(key, "")}) > 1
        for key in (field.name for field in fields(Corner) if field.name != "folder")
    )


def _in_word(name: str, at: int) -> str:
    """Of what the word of `name` is that goes on at a place: "letters", "digits", or "" if none."""
    left, right = name[at - 1 : at], name[at : at + 1]
    if left.isdigit() and right.isdigit():
        return "digits"
    go_on = left.isalpha() and right.isalpha() and not (left.islower() and right.isupper())
    return "letters" if go_on else ""


def _stem(file: Path) -> str:
    return file.name.partition(".lib")[0]


def _number(whole: str, part: str | None) -> float:
    return float(f"{whole}.{part or 0}")
