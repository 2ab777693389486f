"""Mapped netlists against golden: bit-parallel with a million operands, or in a simulator."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from macsmith.experiments.measure import choose_library, clock_of
from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.gates_check import EFFORT, check
from macsmith.experiments.verify.results import Checked, VerifyResult
from macsmith.experiments.verify.runner import Case, describe, simulate
from macsmith.experiments.verify.simulators import environment
from macsmith.experiments.verify.suite import all_cases
from macsmith.experiments.workers import worker_pool
from macsmith.hw.cell_models import cell_models
from macsmith.hw.netlist import to_verilog
from macsmith.hw.pdk import Pdk
from macsmith.hw.recipes import require_adders
from macsmith.hw.synth import Synthesis, synthesize
from macsmith.sim.catalog import get_format

__all__ = ["each_style", "verify_netlists"]

CELLS = "macsmith_cells"  # the file of the cells' models


def each_style(unit: str | None, weights: Sequence[str] | None) -> list[Case]:
    """Of what `verify --all` runs, one case for each style, dataflow and each of these formats (or
    of all that it has).

    ValueError for a format that there is not, or that it does not have.
    """
    cases, has = all_cases([unit] if unit else ()), {}
    for case in cases:
        has[case.spec.weights if get_unit(case.unit).weighs else None] = None
    chosen = list(has) if weights is None else [None, *map(get_format, weights)]
    for fmt in chosen:
        if fmt is not None and fmt not in has and set(has) != {None}:
            names = ", ".join(one.name for one in has if one)
            raise ValueError(f"`verify --all` has no case of {fmt.name}; it has {names}")
    found: dict[tuple, Case] = {}
    for case in cases:
        fmt = case.spec.weights if get_unit(case.unit).weighs else None
        if fmt in chosen:
            flow = dict(case.options).get("dataflow", "")
            found.setdefault((case.unit, case.style, fmt, flow), case)
    return list(found.values())


def verify_netlists(
    label: str,
    cases: Sequence[Case],
    *,
    pdk: str | None = None,
    liberty: Iterable[Path] | None = None,
    adders: str = "gates",
    simulator: str | None = None,
    jobs: int | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> VerifyResult:
    """Synthesise each case and compare what its netlist does with golden.

    ``simulator`` runs the bench of the unit's Verilog on the netlist's; without one netlists go
    through `gates_check`.

    ValueError if there is no case or no library, and as `synthesize` and `cell_models` say;
    `simulators.SimulatorMissing` if a simulator is needed and not here.
    """
    if not cases:
        raise ValueError("nothing to verify: there is no case")
    require_adders(adders)
    technology = choose_library(pdk, liberty)
    if technology is None:
        raise ValueError("a netlist needs a library: give --pdk or --liberty (`macsmith doctor`)")
    if simulator:
        environment(simulator)  # complain before the work and not after it
    work = partial(_verified, technology=technology, adders=adders, simulator=simulator)
    started = time.perf_counter()
    modules: dict[str, Checked] = {}
    cycles = 0
    jobs = min(jobs or len(os.sched_getaffinity(0)), len(cases))
    with worker_pool(jobs) as pool:
        for case, (checked, length) in zip(cases, pool.map(work, cases), strict=True):
            name = case.module
            while name in modules:  # two users' formats may share a name
                name += "_"
            modules[name] = checked
            cycles = max(cycles, length)
            progress(f"{len(modules)} of {len(cases)} netlists")
    seconds = {"synthesis and simulation": time.perf_counter() - started}
    return VerifyResult(label, f"{technology.name} netlists", modules, cycles, seconds)


def _verified(
    case: Case, *, technology: Pdk, adders: str, simulator: str | None
) -> tuple[Checked, int]:
    """The verdict on one case, and cycles."""
    options = dict(case.options)
    component = get_unit(case.unit).make(case.spec, **options)
    one = describe(case.unit, case.module, case.spec, component, **options)
    clock_ps = clock_of(technology)
    made = synthesize(component, technology, clock_ps=clock_ps, name=one.module, adders=adders)
    if simulator:
        return _simulated(one, made, simulator)
    return check(one, made.netlist, made.technology)


def _simulated(one: Instance, made: Synthesis, simulator: str) -> tuple[Checked, int]:
    verilog = {
        one.module: to_verilog(made.netlist),
        CELLS: cell_models(made.technology, made.netlist.cell_counts),
    }
    result = simulate(one.unit, [replace(one, effort=EFFORT)], verilog, simulator)
    (checked,) = result.modules.values()
    return checked, result.cycles
