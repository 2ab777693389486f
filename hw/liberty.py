"""A technology library: one or more Liberty files, read as data in fixed units.

Units are the same for every library: time in ps, capacitance in fF, energy in fJ, power in nW,
voltage in V, area in um2 (Liberty gives areas no unit; um2 is what the open libraries mean).
Cells are parsed when they are asked for, and those of large files kept on disk, so that ASAP7's
46 MB cost about a second.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from pathlib import Path

from macsmith.hw import liberty_cache
from macsmith.hw.boolean import Expr, parse
from macsmith.hw.cell import Cell
from macsmith.hw.liberty_build import Units, build_cell, nominal_voltage, units
from macsmith.hw.liberty_scan import functions, has_group, no_logic
from macsmith.hw.liberty_text import LibertyText, read

__all__ = ["Library", "load"]

_STATEFUL = ("ff", "latch", "ff_bank", "latch_bank", "statetable")


class Library:
    """The cells of some Liberty files that belong together (ASAP7 has five).

    `sha256` maps each file's name, with as many folders as tell it from the others', to the hash of
    its content; `voltage` is the nominal supply, None where no file says it; `home` is which of
    `texts` each cell is of, the first that has it; `dont_use` are glob patterns of cells that
    synthesis must not pick.

    ValueError: files that differ in voltage, or in what they say of a cell.
    """

    def __init__(self, texts: list[LibertyText], name: str, dont_use: tuple[str, ...] = ()) -> None:
        self.name = name
        self.texts = texts
        self.dont_use = dont_use
        labels = [_label(text.path, [other.path for other in texts]) for text in texts]
        self.sha256 = {label: text.sha256 for label, text in zip(labels, texts, strict=True)}
        self.units: list[Units] = []  # of each file
        volts: dict[str, float | None] = {}
        for label, text in zip(labels, texts, strict=True):
            try:
                self.units.append(units(text.header))
                volts[label] = nominal_voltage(text.header)
            except ValueError as error:
                raise ValueError(f"{text.path}: {error}") from None
        known = {volt for volt in volts.values() if volt is not None}
        if len(known) > 1:
            raise ValueError(f"library {name}: its files differ in voltage: {volts}")
        self.voltage = known.pop() if known else None
        self.home: dict[str, int] = {}
        for i, text in enumerate(texts):
            for cell in text.cells:
                first = self.home.setdefault(cell, i)
                _require_same(cell, texts[first], text, self.units[first] == self.units[i])
        self._cells: dict[str, Cell] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.home

    @property
    def names(self) -> list[str]:
        """Names of all cells, in no particular but always the same order."""
        return list(self.home)

    def cell(self, name: str) -> Cell:
        """The cell of that name, parsed once. ValueError: unknown, or its text makes no sense."""
        if name not in self._cells:
            if name not in self.home:
                raise ValueError(f"library {self.name} has no cell {name!r}")
            self._cells[name] = self._build(name)
        return self._cells[name]

    def _build(self, name: str) -> Cell:
        index = self.home[name]
        text = self.texts[index]
        large = len(text.text) >= liberty_cache.LEAST
        if large and (cell := liberty_cache.recall(text.sha256, name)):
            return cell
        try:
            cell = build_cell(text.cell(name), text.header, self.units[index])
        except ValueError as error:
            raise ValueError(f"{text.path}: {error}") from None
        if large:
            liberty_cache.keep(text.sha256, name, cell)
        return cell

    def without(self, patterns: Iterable[str]) -> "Library":
        """The same library with more cells that synthesis must not pick."""
        return Library(self.texts, self.name, (*self.dont_use, *patterns))

    def require_flip_flop(self) -> None:
        """ValueError unless a usable edge-triggered flip-flop with a data input is there."""
        if self.flip_flop is None:
            files = ", ".join(str(text.path) for text in self.texts)
            raise ValueError(
                f"{files}: wanted a library with a D flip-flop, got {len(self.home)} cells "
                "without a usable one"
            )

    @cached_property
    def flip_flops(self) -> tuple[Cell, ...]:
        """Flip-flops that are alike but for size, smallest first.

        They are clocked by a rising edge and have a clock and a data input. Where the library has
        no such cell, they have an asynchronous clear or preset as well, or else an enable, which
        synthesis ties off, or else a falling edge clocks them and synthesis inverts the clock.
        """
        found = [self.cell(name) for name in self._usable("ff")]
        usable = [c for c in found if c.ff and c.outputs and c.ff.data and c.ff.falling is not None]
        usable.sort(key=lambda c: (*_unlike(c), c.area, c.name))
        return tuple(c for c in usable if _unlike(c) == _unlike(usable[0]))

    @property
    def flip_flop(self) -> Cell | None:
        """The smallest of `flip_flops`, its output true or inverted; None if there is none."""
        return self.flip_flops[0] if self.flip_flops else None

    @cached_property
    def inverter(self) -> Cell:
        """The inverter with the smallest input capacitance among those of the smallest area."""
        found = self._computing(parse("!A"))
        if not found:
            raise ValueError(f"library {self.name}: wanted an inverter, found none")
        return found[0]

    @cached_property
    def nand2(self) -> Cell | None:
        """The smallest two-input NAND: its area, if it has one, is one NAND2 equivalent."""
        return next(iter(self._computing(parse("!(A & B)"))), None)

    @cached_property
    def has_delays(self) -> bool:
        """Whether the library has delay tables at all (a purely functional one has none)."""
        cell = self.flip_flop or self.inverter
        return any(pin.timing for pin in cell.pins.values())

    @cached_property
    def driver(self) -> Cell:
        """The inverter whose delay grows with its load most nearly as the flip-flop's does."""
        wanted = _resistance(self.flip_flop) if self.flip_flop else 0.0
        return min(self._computing(parse("!A")), key=lambda c: abs(_resistance(c) - wanted))

    def _computing(self, wanted: Expr) -> list[Cell]:
        """Usable cells with one output, which computes `wanted`, the smallest first."""
        table = _truth(wanted)
        found = [
            self.cell(name)
            for name, functions in self.functions.items()
            if len(functions) == 1 and self._computes(name, functions[0], table)
        ]
        pins = len(wanted.variables())  # a cell of a damaged file may lack one
        found = [c for c in found if (len(c.inputs), len(c.outputs)) == (pins, 1)]
        return sorted(found, key=lambda c: (c.area, sum(p.cap for p in c.pins.values()), c.name))

    def _computes(self, name: str, function: str, table: tuple[bool, ...]) -> bool:
        try:
            return _same_table(function, table)
        except ValueError as error:
            path = self.texts[self.home[name]].path
            raise ValueError(f"{path}: cell {name}: {error}") from None

    @cached_property
    def functions(self) -> dict[str, list[str]]:
        """Functions of the outputs of each usable combinational cell, as text."""
        found: dict[str, list[str]] = {name: [] for name in self._usable("")}
        for index, text in enumerate(self.texts):
            for name, function in functions(text):
                if name in found and self.home[name] == index:
                    found[name].append(function)
        return found

    def unusable(self, name: str) -> bool:
        """Whether synthesis must not use the cell: a pattern or the library says so, or it is no
        logic that can be put anywhere (`liberty_scan.no_logic`)."""
        return name in self._refused

    @cached_property
    def _refused(self) -> frozenset[str]:
        return frozenset(
            name
            for name in self.home
            if any(fnmatchcase(name, pattern) for pattern in self.dont_use)
            or no_logic(*self._span(name))
        )

    def _usable(self, kind: str) -> list[str]:
        """Cells that synthesis may use and that have a group `kind`, or no state if it is ""."""
        names = []
        for name in self.home:
            text, span = self._span(name)
            found = [word for word in _STATEFUL if has_group(text, word, span)]
            if (kind in found if kind else not found) and not self.unusable(name):
                names.append(name)
        return names

    def _span(self, name: str) -> tuple[str, tuple[int, int]]:
        text = self.texts[self.home[name]]
        return text.text, text.cells[name]


def _require_same(cell: str, first: LibertyText, other: LibertyText, alike: bool) -> None:
    """ValueError if two files have different cells of one name, apart from blanks, or are not
    ``alike`` in their units."""
    if first is not other:
        one, two = ("".join(text.text[slice(*text.cells[cell])].split()) for text in (first, other))
        if one != two or not alike:
            raise ValueError(f"cell {cell} is not the same in {first.path} and in {other.path}")


def load(files: Iterable[str | Path], name: str = "", dont_use: Iterable[str] = ()) -> Library:
    """Read Liberty files (plain or gzip) as one library; `name` defaults to the first file's.

    Loading the same unchanged files again returns the same object. ValueError, one line, naming
    the file: missing, not Liberty, cut off.
    """
    paths = tuple(Path(file) for file in files)
    if not paths:
        raise ValueError("wanted at least one Liberty file, got none")
    name = name or paths[0].name.removesuffix(".gz").removesuffix(".lib")
    return _load(paths, tuple(_stamp(path) for path in paths), name, tuple(dont_use))


@lru_cache(maxsize=4)  # ASAP7 takes a second and 50 MB
def _load(paths: tuple[Path, ...], stamps, name: str, dont_use: tuple[str, ...]) -> Library:
    return Library([read(path) for path in paths], name, dont_use)


def _label(path: Path, paths: list[Path]) -> str:
    """The end of `path` that no other of `paths` has."""
    for count in range(1, len(path.parts) + 1):
        label = path.parts[-count:]
        if all(other == path or other.parts[-count:] != label for other in paths):
            break
    return "/".join(label)


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when the file does."""
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(f"{path}: cannot read the Liberty file: {error.strerror}") from None
    return status.st_mtime_ns, status.st_size


def _unlike(flip_flop: Cell) -> tuple[bool, bool, int]:
    """What flip-flops may differ in besides size; the less there is of it, the better."""
    return bool(flip_flop.ff.falling), flip_flop.ff.enabled, len(flip_flop.inputs)


def _resistance(cell: Cell) -> float:
    """Growth of the worst delay with the load, ps/fF, at the tables' first slew."""
    slopes = [0.0]
    for pin in cell.pins.values():
        for arc in pin.timing if pin.direction == "output" else ():
            for table in (arc.rise, arc.fall):
                if table and len(table.ys) > 1:
                    (low, *_, high), x = table.ys, table.xs[0]
                    slopes.append((table.at(x, high) - table.at(x, low)) / (high - low))
    return max(slopes)


def _truth(expr: Expr) -> tuple[bool, ...]:
    names = expr.variables()
    states = range(2 ** len(names))
    envs = ({name: bool(s >> i & 1) for i, name in enumerate(names)} for s in states)
    return tuple(bool(expr.evaluate(env)) for env in envs)


def _same_table(function: str, table: tuple[bool, ...]) -> bool:
    if len(function) > 40:  # no inverter or NAND2 is spelt this long
        return False
    expr = parse(function)
    return 2 ** len(expr.variables()) == len(table) and _truth(expr) == table
