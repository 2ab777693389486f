"""From a unit or a Verilog file to a mapped netlist with its area and delay.

Yosys flattens and optimises, ABC maps, sizes and buffers against a Liberty library, and our own
static timing (`hw.timing`) says whether the clock is met, clock-to-output and setup included. Each
run is a fresh process on files without machine paths: same input, same netlist, everywhere.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable

from macsmith.hw import pdk as pdks
from macsmith.hw import yosys
from macsmith.hw.adders import KEEP_ADDERS
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import Netlist
from macsmith.hw.recipes import (
    BARE,
    RECIPES,
    Recipe,
    logic_budget_ps,
    map_to_library,
    map_to_nand2,
    require_adders,
)
from macsmith.hw.timing import Boundary, Step, Timing, analyze

__all__ = ["Synthesis", "assess", "synthesize"]


@dataclass(frozen=True)
class Synthesis:
    """One synthesised netlist and what it costs.

    `area_um2` is the sum of the cells' areas, `area_nand2` the same over the library's smallest
    NAND2; without a library `area_um2` is None and `area_nand2` is transistors / 4 of a generic
    CMOS netlist. `delay_ps` is the shortest clock period by static timing under `boundary`; `met`
    says whether it is at most `clock_ps`. What cannot be known is None, and `unknown` says why.
    `flops` counts flip-flops, `cells` all cells, flip-flops included.
    """

    name: str
    area_um2: float | None
    area_nand2: float | None
    delay_ps: float | None
    met: bool | None
    clock_ps: float
    cells: int
    flops: int
    sequential_um2: float | None  # the flip-flops' part of the area
    cell_counts: dict[str, int]
    library: str | None
    dont_use: tuple[str, ...]
    library_sha256: dict[str, str]  # file name -> hash of its content
    voltage: float | None
    boundary: Boundary | None
    recipe: str  # which of the declared scripts gave this netlist
    booth: bool
    adders: str
    endpoint: str
    critical_path: tuple[Step, ...] = field(repr=False)
    versions: dict[str, str] = field(repr=False)
    unknown: dict[str, str]  # field that is None -> what there was not to know it from
    netlist: Netlist | None = field(repr=False, compare=False)
    technology: Library | None = field(repr=False, compare=False)
    timing: Timing | None = field(repr=False, compare=False)

    @property
    def size(self) -> float:
        """What netlists of one library are compared by: area, or cells where areas are unknown."""
        areas = (area for area in (self.area_um2, self.area_nand2) if area is not None)
        return next(areas, self.cells)

    def as_dict(self) -> dict:
        """Every field that is data for a report, ready for JSON: no netlist, no library."""
        bare = replace(self, netlist=None, technology=None, timing=None)
        return {
            key: value
            for key, value in asdict(bare).items()
            if key not in ("netlist", "technology", "timing")
        }


def synthesize(
    design: Elaboratable | str | Path,
    technology: "pdks.Pdk | Library | str | Path | Iterable[str | Path] | None" = None,
    *,
    clock_ps: float = 1000.0,
    name: str | None = None,
    boundary: Boundary | None = None,
    dont_use: Iterable[str] = (),
    booth: bool = False,
    adders: str = "gates",
    recipes: tuple[Recipe, ...] = RECIPES,
    exhaustive: bool = False,
    clock: str = "clk",
) -> Synthesis:
    """Synthesise `design` for a clock period.

    `design` is an Amaranth unit with ports (`wiring.Component`) or a Verilog file, whose top module
    is `name` or, without a name, the one that nothing else instantiates. `technology` is a `Pdk`,
    a loaded `Library`, the name of a PDK, Liberty files (paths), or None for generic gates.
    `dont_use` adds glob patterns of cells to those of the PDK. `booth` makes every product a Booth
    multiplier. `adders` is one of `ADDERS` (without a library always "gates"). `recipes` go from
    small to fast and are tried until one meets the clock, or all of them if `exhaustive`; the
    smallest netlist that meets the clock is kept, or else the fastest.

    ValueError, one line: unusable technology, or what Yosys has against the design.
    """
    require_adders(adders)
    source, kind, top = _source(design, name, keep_adders=adders != "gates")
    library = _library(technology, tuple(dont_use))
    if library is None:
        return _generic(source, kind, top, clock_ps, booth)
    library.require_flip_flop()
    boundary = boundary or Boundary.of(library)
    budget = logic_budget_ps(library, boundary, clock_ps)
    best, failure = None, None
    for recipe in (*(recipes if library.has_delays else ()), BARE):
        if recipe is BARE and best is not None:
            break
        try:
            netlist = map_to_library(
                source, kind, top, library, recipe, budget, boundary, booth, adders
            )
        except yosys.AbcError as error:  # some scripts need cells that some libraries lack
            failure = failure or error
            continue
        found = assess(netlist, library, clock_ps=clock_ps, boundary=boundary, clock=clock)
        missed = found.met is False
        # Among those that meet the clock the smallest wins, among the others the fastest.
        rank = (missed, found.delay_ps if missed else found.size)
        if best is None or rank < best[0]:
            best = (rank, replace(found, recipe=recipe.name, booth=booth, adders=adders))
        if not missed and not exhaustive:
            break
    if best is None:
        raise ValueError(f"library {library.name}: {failure}")
    return best[1]


def assess(
    netlist: Netlist,
    library: Library,
    *,
    clock_ps: float = 1000.0,
    boundary: Boundary | None = None,
    clock: str = "clk",
) -> Synthesis:
    """Area and delay of a netlist that is mapped already.

    ValueError, one line: a cell that the library lacks, a latch, a combinational loop.
    """
    boundary = boundary or Boundary.of(library)
    counts = netlist.cell_counts
    timing = analyze(netlist, library, boundary, clock) if library.has_delays else None
    areas = {name: library.cell(name).area * n for name, n in counts.items()}
    flops = [name for name in counts if library.cell(name).sequential]
    unknown = _unknown(library, [name for name, area in areas.items() if not area])
    area = None if "area_um2" in unknown else sum(areas.values())
    return Synthesis(
        name=netlist.name,
        area_um2=area,
        area_nand2=None if "area_nand2" in unknown else area / library.nand2.area,
        delay_ps=timing.delay_ps if timing else None,
        met=timing.delay_ps <= clock_ps if timing else None,
        clock_ps=clock_ps,
        cells=len(netlist.instances),
        flops=sum(counts[name] for name in flops),
        sequential_um2=None if area is None else sum(areas[name] for name in flops),
        cell_counts=counts,
        library=library.name,
        dont_use=library.dont_use,
        library_sha256=library.sha256,
        voltage=library.voltage,
        boundary=boundary,
        recipe="as given",
        booth=False,
        adders="gates",
        endpoint=timing.endpoint if timing else "",
        critical_path=timing.path if timing else (),
        versions=_versions(),
        unknown=unknown,
        netlist=netlist,
        technology=library,
        timing=timing,
    )


def _unknown(library: Library, without_area: list[str]) -> dict[str, str]:
    """`Synthesis.unknown` of a netlist with cells of which the library gives no area."""
    found = {}
    if without_area:
        why = f"library {library.name} gives no area of {', '.join(sorted(without_area))}"
        found |= dict.fromkeys(("area_um2", "area_nand2", "sequential_um2"), why)
    elif not (library.nand2 and library.nand2.area):
        found["area_nand2"] = f"library {library.name} has no NAND2 with an area"
    if not library.has_delays:
        why = f"library {library.name} has no delay tables"
        found |= dict.fromkeys(("delay_ps", "met"), why)
    return found


def _generic(source: str, kind: str, top: str | None, clock_ps: float, booth: bool) -> Synthesis:
    result = map_to_nand2(source, kind, top, booth)
    return Synthesis(
        name=top or result.top,
        area_um2=None,
        area_nand2=result.transistors / 4,  # a CMOS NAND2 has four transistors
        delay_ps=None,
        met=None,
        clock_ps=clock_ps,
        cells=sum(result.cell_counts.values()),
        flops=sum(n for cell, n in result.cell_counts.items() if "DFF" in cell),
        sequential_um2=None,
        cell_counts=result.cell_counts,
        library=None,
        dont_use=(),
        library_sha256={},
        voltage=None,
        boundary=None,
        recipe="generic",
        booth=booth,
        adders="gates",
        endpoint="",
        critical_path=(),
        versions=_versions(),
        unknown=dict.fromkeys(("area_um2", "delay_ps", "met"), "no Liberty library"),
        netlist=None,
        technology=None,
        timing=None,
    )


def _source(
    design: Elaboratable | str | Path, name: str | None, *, keep_adders: bool
) -> tuple[str, str, str | None]:
    """Text of the design, its language ("rtlil" or "verilog"), and its top module if known."""
    if isinstance(design, (str, Path)):
        try:
            return Path(design).read_text(), "verilog", name
        except OSError as error:
            raise ValueError(f"{design}: cannot read the Verilog file: {error.strerror}") from None
    top = name or type(design).__name__.lower()
    # emit_src: the paths of the sources must not reach the netlist
    platform = KEEP_ADDERS if keep_adders else None
    return rtlil.convert(design, name=top, platform=platform, emit_src=False), "rtlil", top


def _library(technology, dont_use: tuple[str, ...]) -> Library | None:
    if technology is None:
        return None
    if isinstance(technology, Library):
        return technology.without(dont_use) if dont_use else technology
    if isinstance(technology, str) and not (".lib" in technology or Path(technology).is_file()):
        technology = pdks.find(technology)
    elif isinstance(technology, (str, Path)):
        technology = pdks.from_files([technology])
    elif not isinstance(technology, pdks.Pdk):
        technology = pdks.from_files(tuple(technology))
    return technology.load(dont_use)


def _versions() -> dict[str, str]:
    return {
        "macsmith": version("macsmith"),
        "amaranth": version("amaranth"),
        "pyosys": yosys.VERSION,
    }
