"""A unit's Verilog, and the files that go with it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macsmith.experiments.testbench import make_testbench
from macsmith.experiments.units import make_unit
from macsmith.hw import pdk
from macsmith.hw.export import require_places, to_verilog, write_files
from macsmith.hw.handoff import Constraints, core_file
from macsmith.hw.handoff import sdc as sdc_text
from macsmith.hw.timing import Boundary
from macsmith.sim.spec import MacSpec

__all__ = ["Written", "constraints_of", "write_unit"]

MANY_ELEMENTS = 500  # of an array: its Verilog takes half a minute


@dataclass(frozen=True)
class Written:
    """What was written: ``file`` is the Verilog, ``others`` the rest, in order."""

    file: str
    module: str
    latency: int | None
    others: tuple[str, ...]
    checked: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        first = {"file": self.file, "module": self.module, "latency": self.latency}
        return first | ({"others": list(self.others)} if self.others else {})

    def lines(self) -> list[str]:
        """For a person."""
        lines = [f"{self.file}: module {self.module}, latency {self.latency}"]
        if self.checked:
            lines.append(f"{self.checked} results are checked by the testbench")
        return [*lines, *self.others]


def constraints_of(library: str | None, **given: Any) -> Constraints:
    """Constraints as given, the rest as `timing.Boundary` has them for a library, by its name."""
    if library is None:
        return Constraints(**given)
    found = pdk.find(library)
    loaded = found.load()
    if (cell := given.get("driving_cell")) and cell not in loaded:
        raise ValueError(f"{found.name} has no cell {cell!r} to drive the inputs with")
    boundary, units = Boundary.of(loaded), loaded.units[0]
    given = {k: v for k, v in given.items() if v is not None}
    return Constraints.of(boundary, time_unit_ps=units.time, cap_unit_ff=units.cap, **given)


def write_unit(
    unit: str,
    spec: MacSpec,
    options: Mapping[str, Any],
    output: Path,
    *,
    name: str | None = None,
    core: Path | None = None,
    sdc: Path | None = None,
    testbench: Path | None = None,
    constraints: Constraints | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Written:
    """Write the Verilog of a unit, and of the other files those that have a path.

    The testbench's vectors are beside it, with the suffix ``.hex``. The core file names the others
    relative to itself. Before work of more than half a minute ``progress`` gets a line.

    ValueError on bad input, or where two of the files are one, and OSError for a place that cannot
    be written, before anything is: all of them appear, or none.
    """
    component = make_unit(unit, spec, **options)
    module = output.stem if name is None else name
    bench = vectors = None
    if testbench is not None:
        vectors = testbench.with_suffix(".hex")
    require_places(*(file for file in (output, sdc, testbench, vectors, core) if file is not None))
    rows, cols = (getattr(component, side, 1) for side in ("rows", "cols"))
    if rows * cols > MANY_ELEMENTS:
        progress(f"{unit} of {rows} x {cols} elements: the Verilog may take minutes")
    if testbench is not None:
        files = testbench.name, os.path.relpath(output, testbench.parent)
        bench = make_testbench(unit, module, spec, component, vectors.name, files=files, **options)
    contents = {output: to_verilog(component, name=module)}
    if sdc is not None:
        contents[sdc] = sdc_text(component, constraints or Constraints())
    if bench is not None:
        contents |= {testbench: bench.verilog, vectors: bench.vectors}
    if core is not None:

        def seen(file: Path) -> str:
            return os.path.relpath(file, core.parent)

        tb = (bench.module, seen(testbench), seen(vectors)) if bench else None
        sdc_seen = seen(sdc) if sdc else None
        contents[core] = core_file(module, seen(output), testbench=tb, sdc=sdc_seen)
    write_files(contents)
    others = tuple(str(file) for file in contents if file != output)
    latency = getattr(component, "latency", None)
    return Written(str(output), module, latency, others, bench.checked if bench else 0)
