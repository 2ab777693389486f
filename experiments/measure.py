"""One unit in one technology library: area, delay, energy, and the netlist against golden."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from macsmith.experiments.claims import PREFERRED
from macsmith.experiments.gates import GOLDEN, Gates
from macsmith.experiments.operands import Operands, get, require_known
from macsmith.experiments.store import provenance
from macsmith.experiments.units import get_unit
from macsmith.hw import adder_cells
from macsmith.hw import pdk as pdks
from macsmith.hw.gatesim import Activity, run
from macsmith.hw.power import Energy, energy, leakage, no_energy
from macsmith.hw.recipes import ADDERS, require_adders
from macsmith.hw.synth import Synthesis, synthesize
from macsmith.sim.spec import MacSpec

__all__ = ["Measurement", "adders_of", "choose_library", "clock_of", "driven", "measure"]

#: Clock periods, in ps, that a plain 8-bit MAC with a 32-bit accumulator meets with a margin of
#: about a third; 1 GHz on ASAP7 is the paper's.
CLOCKS = {"asap7": 1000.0, "sky130hd": 10_000.0, "osu018": 10_000.0}
USUAL_CLOCK = 10_000.0
_ENERGIES = ("dynamic_pj", "leakage_pj", "power_mw")


@dataclass(frozen=True)
class Measurement:
    """What a unit costs, under which conditions, and whether its netlist computes as golden says.

    Without a library `energy` is None and areas are in NAND2 equivalents only; `unknown` says why,
    of these and of all that is None for want of something. `compared` counts
    the results of the netlist that were compared, `different` those that were wrong. `options` are
    the unit's own, as it was built; `reference` is what they were compared with. `leakage` is in nW
    of the unit and in pJ per product, None without a library.
    """

    unit: str
    style: str
    spec: MacSpec
    synthesis: Synthesis
    energy: Energy | None
    operands: str
    compared: int
    different: int
    options: Mapping[str, Any] = field(default_factory=dict)
    reference: str = GOLDEN
    leakage: tuple[float, float] | None = None

    @property
    def unknown(self) -> dict[str, str]:
        """Field of `as_dict` that is None -> what there was not to know it from."""
        if self.energy is not None:
            return self.synthesis.unknown
        why = no_energy(self.synthesis) or f"nothing drives the netlist of {self.unit}"
        lacking = [key for key in _ENERGIES if self._energies()[key] is None]
        return self.synthesis.unknown | dict.fromkeys(lacking, why)

    def _energies(self) -> dict[str, Any]:
        """The fields of `Energy`; without a supply voltage only leakage is known of them."""
        if self.energy is not None:
            return self.energy.as_dict()
        known = dict(zip(("leakage_nw", "leakage_pj"), self.leakage or (), strict=False))
        return dict.fromkeys(_ENERGIES) | known

    @property
    def netlist_equal(self) -> bool | None:
        """None where there is no mapped netlist to simulate."""
        return self.different == 0 if self.compared else None

    def as_dict(self) -> dict[str, Any]:
        """Flat: the fields of `Synthesis` and `Energy`, the spec, conditions and provenance."""
        return {
            "unit": self.unit,
            "style": self.style,
            "weights": self.spec.weights.name,
            "activations": self.spec.activations.name,
            "acc_width": self.spec.acc_width,
            "overflow": self.spec.overflow,
            "lanes": self.spec.lanes,
            "options": dict(self.options),
            **self.synthesis.as_dict(),
            **self._energies(),
            "unknown": self.unknown,
            "operands": self.operands,
            "netlist_equal": self.netlist_equal,
            "netlist_compared": self.compared,
            "netlist_different": self.different,
            "netlist_reference": self.reference if self.compared else None,
            "provenance": provenance(),
        }

    def lines(self) -> list[str]:
        s, e = self.synthesis, self.energy
        where = f"{s.technology.name} at {s.clock_ps:g} ps" if s.technology else "no library"
        areas = [f"{s.area_um2:.2f} um2"] if s.area_um2 is not None else []
        areas += [f"{s.area_nand2:.0f} NAND2 equivalents"] if s.area_nand2 is not None else []
        lines = [
            f"{self.unit} {self.spec.weights.name} x {self.spec.activations.name}, "
            f"{self.style}{' (Booth)' if s.booth else ''}, "
            f"{self.spec.acc_width} bits {self.spec.overflow}, {where}",
            f"area    {', '.join(areas) or 'not known'}"
            + (
                ""
                if s.technology
                else " (transistors / 4: no Liberty library, see `macsmith doctor`)"
            )
            + f", {s.cells} cells, {s.flops} flip-flops",
        ]
        if s.delay_ps is not None:
            lines.append(
                f"delay   {s.delay_ps:.0f} ps to {s.endpoint}: clock "
                + ("met" if s.met else "NOT MET: this area does not count at this clock")
            )
        if e:
            glitches = "" if e.glitch_pj is None else f"; {e.glitch_pj:.5f} of all by glitches"
            lines += [
                f"energy  {e.dynamic_pj:.5f} pJ per product ({e.internal_pj:.5f} internal, "
                f"{e.switching_pj:.5f} switching{glitches}), "
                f"leakage {e.leakage_pj:.7f} pJ",
                f"        over {e.products:,} products: {self.operands}",
                f"power   {e.power_mw:.4f} mW at {e.per_cycle:.4g} products a cycle",
            ]
        elif s.technology:
            lines.append(f"energy  not known: {self.unknown['dynamic_pj']}")
            if self.leakage:
                lines.append(f"leakage {self.leakage[1]:.7f} pJ per product")
        if self.compared:
            verdict = "all equal" if self.netlist_equal else f"{self.different:,} DIFFER from"
            lines.append(f"netlist {self.compared:,} results simulated, {verdict} {self.reference}")
        return lines


def measure(
    unit: str,
    spec: MacSpec,
    style: str = "plain",
    *,
    pdk: str | None = None,
    liberty: Iterable[Path] | None = None,
    technology: pdks.Pdk | None = None,
    clock_ps: float | None = None,
    operands: str | Operands = "layer",
    booth: bool = False,
    adders: str = "gates",
    glitches: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Measurement:
    """Synthesise, time, simulate and check one unit.

    ``pdk`` is a library's name, ``liberty`` files, ``technology`` the library itself; without any
    of them the first of PREFERRED that is here, and without any library generic gates.
    ``clock_ps`` defaults to the library's usual one. ``operands`` is one of `operands.KINDS`, a
    file's name, or the streams themselves. ``booth`` has Yosys make products Booth multipliers, and
    ``adders`` says what adders become (`hw.recipes.ADDERS`). With ``glitches`` cells take time in
    the simulation. ``options`` are the unit's own, without the style. ValueError on bad input.
    """
    require_adders(adders)  # before the operands, which take a second
    kind = get_unit(unit)
    component_options = kind.complete({**(options or {}), "style": style})
    component = kind.make(spec, **component_options)
    if isinstance(operands, str):
        require_known(operands)
    technology = technology or choose_library(pdk, liberty)
    clock_ps = clock_of(technology, clock_ps)
    gates = kind.gates if technology else None  # no mapped gates, or nothing to drive them
    if gates is None and glitches:
        raise ValueError(f"no energy of {unit} here, and so none with glitches")
    if gates:
        if isinstance(operands, str):
            operands = get(operands, spec)
        stimulus = gates.stimulus(operands, component)  # refused now and not after the synthesis
    synthesis = synthesize(
        component, technology, clock_ps=clock_ps, name=unit, booth=booth, adders=adders
    )
    if gates is None:
        return Measurement(unit, style, spec, synthesis, None, "", 0, 0, component_options)
    if no_energy(synthesis):  # what it computes can be seen all the same
        spent = None
        seen = _simulated(gates, component, synthesis, stimulus)
        per_cycle = gates.count(operands, component) / (seen.streams * seen.cycles)
        leaks = leakage(synthesis, per_cycle)
        compared, different = gates.compare(seen.outputs, operands, component)
    else:
        spent, compared, different = driven(
            gates, component, synthesis, operands, stimulus=stimulus, glitches=glitches
        )
        leaks = spent.leakage_nw, spent.leakage_pj
    return Measurement(
        unit, style, spec, synthesis, spent, operands.source, compared, different,
        component_options, gates.reference, leaks,
    )  # fmt: skip


def driven(
    gates: Gates, component: Any, synthesis: Synthesis, operands: Operands, *,
    stimulus: Mapping[str, np.ndarray] | None = None, glitches: bool = False,
) -> tuple[Energy, int, int]:  # fmt: skip
    """What a netlist draws on operands; results compared, and those that are wrong.

    ``stimulus`` is what ``gates`` made of the operands, where that was done before.
    """
    stimulus = gates.stimulus(operands, component) if stimulus is None else stimulus
    stimulus, parts = _with_idle(stimulus, component.latency), gates.parts(component)
    spent = energy(
        synthesis, stimulus, products=gates.count(operands, component),
        parts={gates.result: parts} if parts else {}, glitches=glitches,
    )  # fmt: skip
    return spent, *gates.compare(spent.activity.outputs, operands, component)


def _simulated(
    gates: Gates, component: Any, synthesis: Synthesis, stimulus: Mapping[str, np.ndarray]
) -> Activity:
    parts = gates.parts(component)
    return run(
        synthesis.netlist, synthesis.technology, _with_idle(stimulus, component.latency),
        parts={gates.result: parts} if parts else {},
    )  # fmt: skip


def choose_library(pdk: str | None, liberty: Iterable[Path] | None = None) -> pdks.Pdk | None:
    """The library that was asked for, else the first of PREFERRED, else any, else None.

    None, also by the name "none", means generic gates. ValueError for no such library, and for
    files that are none.
    """
    files = tuple(liberty or ())
    if pdk is not None and files:
        raise ValueError("give a library by --pdk or by --liberty, not both")
    if files:
        found = pdks.from_files(files)
        found.load()  # complains now, and is kept
        return found
    if pdk == "none":
        return None
    if pdk is not None:
        return pdks.find(pdk)
    here = {found.name: found for found in pdks.available()}
    for name in (*PREFERRED, *here):
        if name in here:
            return here[name]
    return None


def adders_of(technology: pdks.Pdk | None) -> tuple[str, ...]:
    """Of `recipes.ADDERS` those that the library has cells for; gates it always has."""
    if technology is not None:
        library = technology.load()
        if adder_cells.find(library) is not None:
            return ADDERS
    return ADDERS[:1]


def clock_of(technology: pdks.Pdk | None, clock_ps: float | None = None) -> float:
    """``clock_ps``, or without it the usual clock period of a library, in ps.

    ValueError where it is no period, or there is no library whose cells could meet it.
    """
    if technology is None and clock_ps is not None:
        raise ValueError("without a library nothing has a delay, and clock_ps means nothing")
    if clock_ps is None:
        return (
            CLOCKS.get(technology.name.partition("/")[0], USUAL_CLOCK)
            if technology
            else USUAL_CLOCK
        )
    if not 0 < clock_ps < float("inf"):
        raise ValueError(f"clock_ps must be a positive number of picoseconds, not {clock_ps!r}")
    return clock_ps


def _with_idle(stimulus: Mapping[str, np.ndarray], latency: int) -> dict[str, np.ndarray]:
    """As many idle cycles at the end as the last product needs to show; operands stay."""
    strobes = [port for port in stimulus if port == "en" or port.endswith("__valid")]
    if not latency:
        return dict(stimulus)
    return {
        port: np.concatenate(
            [codes, np.repeat(codes[:, -1:] * (port not in strobes), latency, axis=1)], axis=1
        )
        for port, codes in stimulus.items()
    }
