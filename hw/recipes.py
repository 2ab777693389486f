"""What Yosys and ABC are told: passes, ABC scripts, and the delay target that ABC gets.

ABC sizes and buffers only when it gets a constraint file (driving cell and load); its delay target
is what the clock period leaves to the logic between flip-flops.
"""

import json
from dataclasses import dataclass
from functools import lru_cache

from macsmith.hw import adder_cells, yosys
from macsmith.hw.liberty import Library
from macsmith.hw.liberty_trim import trim
from macsmith.hw.netlist import Netlist, from_yosys
from macsmith.hw.timing import Boundary

__all__ = [
    "ADDERS",
    "BARE",
    "RECIPES",
    "Generic",
    "Recipe",
    "logic_budget_ps",
    "map_to_library",
    "map_to_nand2",
    "require_adders",
]

_SIZE = "buffer -c; topo; upsize {D}; dnsize {D}; stime"
# Area-oriented mapping of whole structures; smallest and slowest.
_AREA = f"strash; ifraig; scorr; dc2; dch -f; amap -m; topo; {_SIZE}"
# Nodes expressed by others that are there already, over ever larger neighbourhoods.
_RESUB = (
    "balance -l; resub -K 6 -l; rewrite -l; resub -K 6 -N 2 -l; refactor -l; resub -K 8 -l; "
    "balance -l; resub -K 8 -N 2 -l; rewrite -l; resub -K 10 -l; rewrite -z -l; "
    "resub -K 10 -N 2 -l; balance -l; resub -K 12 -l; refactor -z -l; resub -K 12 -N 2 -l; "
    "rewrite -z -l; balance -l"
)
# The next one after restructuring for size: mostly smaller, and slower where paths are long.
_SMALL = (
    "strash; &get -n; &fraig -x -C 100; &put; scorr; dc2; dretime; strash; "
    f"dc2; dc2; {_RESUB}; &get -n; &dch -f; &nf {{D}}; &put; {_SIZE}"
)
# Yosys's own script: mapping with area recovery under the target. The limit on conflicts changes
# no MAC, and without it a multiplier of 32 bits does not end.
_BALANCED = (
    "strash; &get -n; &fraig -x -C 100; &put; scorr; dc2; dretime; strash; "
    f"&get -n; &dch -f; &nf {{D}}; &put; {_SIZE}"
)
# The same after restructuring for depth; largest and fastest.
_SPEED = (
    "strash; &get -n; &fraig -x -C 100; &put; scorr; dc2; dretime; strash; "
    f"&get -n; &syn3; &syn3; &dch -f; &nf {{D}}; &put; {_SIZE}"
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to map: `script` is ABC's, `target` the part of the logic's time asked of ABC."""

    name: str
    script: str
    target: float = 1.0


#: From small and slow to large and fast. ABC knows neither our input slews nor the clock-to-output
#: delay under the actual load, so a netlist can miss the clock by some percent: hence the tighter
#: targets. Adder cells cut paths into pieces that it sees one by one: hence much tighter ones.
RECIPES = (
    Recipe("area", _AREA),
    Recipe("small", _SMALL),
    Recipe("balanced", _BALANCED),
    Recipe("balanced-80", _BALANCED, 0.8),
    Recipe("balanced-30", _BALANCED, 0.3),
    Recipe("speed-80", _SPEED, 0.8),
    Recipe("speed-50", _SPEED, 0.5),
)

#: For libraries on which ABC fails with all of these: without a buffer it can neither map with &nf
#: nor size.
BARE = Recipe("bare", "strash; ifraig; scorr; dc2; dch -f; amap -m; topo")


#: What adders become: gates like all logic, which ABC may restructure; the library's full- and
#: half-adder cells, where a unit or Yosys's products have compressor trees; and, besides, every
#: carry-propagating adder as a row of full-adder cells.
ADDERS = ("gates", "cells", "ripple")


def require_adders(adders: str) -> None:
    """ValueError, one line, if it is none of `ADDERS`."""
    if adders not in ADDERS:
        raise ValueError(f"adders must be one of {', '.join(ADDERS)}, not {adders!r}")


@dataclass(frozen=True, slots=True)
class Generic:
    """A netlist of generic CMOS gates: how many of each, and their transistors together."""

    top: str
    cell_counts: dict[str, int]
    transistors: int


def logic_budget_ps(library: Library, boundary: Boundary, clock_ps: float) -> float:
    """What the clock period leaves after clock-to-output and setup of the plain flip-flop.

    At least a tenth of the period, so that ABC gets a target however short the clock is.
    """
    cell = library.flip_flop
    slew = boundary.input_slew_ps
    delays, setups = [0.0], [0.0]
    for pin in cell.pins.values():
        for arc in pin.timing:
            tables = [table for table in (arc.rise, arc.fall) if table]
            if arc.kind in ("rising_edge", "falling_edge"):
                delays += [t.at(boundary.clock_slew_ps, boundary.output_load_ff) for t in tables]
            elif arc.kind in ("setup_rising", "setup_falling"):
                setups += [t.at(slew, boundary.clock_slew_ps) for t in tables]
    return max(clock_ps - max(delays) - max(setups), clock_ps / 10)


def map_to_library(
    source: str,
    kind: str,
    top: str | None,
    library: Library,
    recipe: Recipe,
    budget_ps: float,
    boundary: Boundary,
    booth: bool = False,
    adders: str = "gates",
) -> Netlist:
    """Map a design to the library's cells; ABC gets `recipe.target` of `budget_ps` as its target.

    `booth` makes products Booth multipliers instead of Yosys's default, partial products over the
    full width of the sum. `adders` is one of `ADDERS`.

    ValueError: what Yosys has against the design, or a cell left that the library lacks.
    """
    files = {f"{i}.lib": text for i, text in enumerate(_trimmed(library))}
    if adders == "gates":
        files[f"in.{kind}"] = source
        logic = [*_read(kind, top), f"synth -flatten -noabc{' -booth' if booth else ''}"]
    else:
        cells = adder_cells.find(library)
        if cells is None:
            raise ValueError(f"library {library.name}: no full adder to map adders to")
        files["in.json"] = _boxed(source, kind, top, booth, cells, adders == "ripple")
        files["stubs.v"], files["forms.v"] = adder_cells.forms(cells)
        logic = ["read_json in.json", "read_verilog stubs.v", "techmap -map forms.v"]
        logic += ["simplemap", "opt -full"]
    constraints = ""
    if library.has_delays:
        constraints = f"-constr abc.constr -D {max(round(budget_ps * recipe.target), 1)}"
        load = f"{boundary.output_load_ff:.6g}"
        files["abc.constr"] = f"set_driving_cell {library.driver.name}\nset_load {load}\n"
    liberty = " ".join(f"-liberty {name}" for name in files if name.endswith(".lib"))
    # "+" and commas for blanks: the only form in which Yosys fills in {D}
    script = "+" + recipe.script.replace("; ", ";").replace(" ", ",")
    passes = [
        *logic,
        f"dfflibmap {liberty}",
        "opt",
        f"abc {liberty} -script {script} {constraints}",
        "setundef -zero",
        "opt_clean -purge",
        "write_json out.json",
    ]
    document = json.loads(yosys.run(passes, files, ["out.json"])["out.json"])
    name = _top(document)
    netlist = from_yosys(document, name)
    for instance in netlist.instances:
        if instance.type not in library:
            raise ValueError(
                f"{name}: library {library.name} has nothing to map {instance.type} to"
            )
    return netlist


@lru_cache(maxsize=8)  # of one design, for all recipes
def _boxed(
    source: str,
    kind: str,
    top: str | None,
    booth: bool,
    cells: adder_cells.AdderCells,
    ripple: bool,
) -> str:
    """The design as generic gates and boxes for its adders, each of its form: Yosys's JSON."""
    flow = f"synth -flatten -noabc{' -booth' if booth else ''}"
    passes = [
        "read_verilog stub.v",
        *_read(kind, top),
        f"{flow} -run begin:fine",
        "maccmap",
        "techmap -map boxes.v",
        f"{flow} -run fine:",
        "opt_clean -purge",
        "write_json boxed.json",
    ]
    files = {f"in.{kind}": source, "boxes.v": adder_cells.boxes(ripple), "stub.v": adder_cells.STUB}
    document = json.loads(yosys.run(passes, files, ["boxed.json"])["boxed.json"])
    adder_cells.choose(document, _top(document), cells)
    return json.dumps(document)


def map_to_nand2(source: str, kind: str, top: str | None, booth: bool = False) -> Generic:
    """Map a design to generic CMOS gates and count transistors (Yosys's `stat -tech cmos`)."""
    passes = [
        *_read(kind, top),
        f"synth -flatten -noabc{' -booth' if booth else ''}",
        "dfflegalize -cell $_DFF_P_ x",  # the only flip-flop that stat counts
        "abc -g cmos",
        "opt_clean -purge",
        "tee -q -o stat.json stat -tech cmos -json",
        "write_json out.json",
    ]
    texts = yosys.run(passes, {f"in.{kind}": source}, ["stat.json", "out.json"])
    name = _top(json.loads(texts["out.json"]))
    design = json.loads(texts["stat.json"])["design"]
    # "1234+" means that some cells were not counted: an error here, not a smaller area
    transistors = str(design["estimated_num_transistors"])
    if not transistors.isdigit():
        raise ValueError(f"{name}: Yosys cannot count the transistors of every cell: {transistors}")
    return Generic(name, design["num_cells_by_type"], int(transistors))


def _read(kind: str, top: str | None) -> list[str]:
    read = "read_rtlil" if kind == "rtlil" else "read_verilog -sv"
    return [
        f"{read} in.{kind}",
        f"hierarchy -check {f'-top {top}' if top else '-auto-top'}",
        # a mapped flip-flop wakes up in any state: units have a reset
        "proc",
        "flatten",
        "setattr -unset init w:*",
    ]


def _top(document: dict) -> str:
    (name,) = [n for n, m in document["modules"].items() if int(m["attributes"].get("top", "0"), 2)]
    return name


@lru_cache(maxsize=4)  # one library is used for many units; ASAP7 takes 0.7 s to cut down
def _trimmed(library: Library) -> tuple[str, ...]:
    """Texts for Yosys. Of the plain flip-flops only the smallest stays: dfflibmap would rather have
    one with a true output, however large (ASAP7's DFFHQx4), though ABC absorbs inverters. Of a cell
    in two files the first one's stays."""
    unusable = {name for name in library.names if library.unusable(name)}
    alike = library.flip_flops
    larger = {cell.name for cell in alike[1:] if len(alike[0].inputs) == 2}
    dropped = [
        unusable | larger | {name for name in text.cells if library.home[name] != index}
        for index, text in enumerate(library.texts)
    ]
    pairs = zip(library.texts, dropped, strict=True)
    return tuple(trim(text, frozenset(names)) for text, names in pairs)
