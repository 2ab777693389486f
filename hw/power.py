"""Energy per operation of a mapped netlist on real operands, from the library's tables.

Conventions, for every edge of every net and pin that the simulation (`hw.gatesim`) saw:

* switching: 1/2 C V^2 for a rising and for a falling edge alike, C being the pins on the net and,
  on outputs, the load of the boundary. The nets of input ports and of the clock are included: the
  unit's pins are the unit's cost, whoever drives them.
* internal: the library's table of that pin and edge, at the slew of the input that moved and the
  load of the output, both from static timing. Libraries take the load's C V^2 per pair of edges
  out of these tables, so the sum with switching is the energy drawn. An entry of an input pin
  counts for each edge of that pin, whether or not an output moves; one with a condition (`when`)
  only if the condition holds after the event and, where an output moved as well, held before it.
  An output's edge is shared equally among the entries of the input pins that moved and whose
  condition holds after the event (before it, or whatever the condition, if there is none). An
  output's entry of no input pin in particular is one of every input pin, and comes on top of those
  that name one. Beside entries of the same pins with conditions, one without holds where none of
  theirs does. Each rail's entries are counted by themselves: what several rails give is summed.
* clock: both edges of every cycle, for every flip-flop, are in both of the above.
* leakage: average over states as the library gives it; power times the time a product takes.

Activity is without delays, each net moving once per cycle at most, or, with ``glitches``, with each
cell's mean delay: then every edge of every net counts, and of a cell every edge that its function
makes, also one too short to get out.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from macsmith.hw.clocking import clock_tree
from macsmith.hw.delays import FS, net_delays
from macsmith.hw.gatesim import Activity, run
from macsmith.hw.power_entries import shares
from macsmith.hw.synth import Synthesis
from macsmith.hw.timing import net_loads

__all__ = ["Energy", "energy", "leakage", "no_energy"]

_FJ_TO_PJ = 1e-3
_NW_PS_TO_PJ = 1e-9  # 1 nW x 1 ps = 1e-21 J


@dataclass(frozen=True)
class Energy:
    """Energy per product entered, in pJ; `dynamic_pj` = `internal_pj` + `switching_pj`.

    A unit may take many products in a cycle, or none: `per_cycle` is how many it took on average.

    `clock_pj` is the part of it that the clock's nets and the flip-flops' clock pins take (not the
    flip-flops' outputs). `glitch_pj` is the part of it that it has because cells take time, and
    `quiet` is what is left without it; None where that was not simulated. `leakage_pj` is
    `leakage_nw`, the whole unit's, times the clock period, over `per_cycle`. `power_mw` is the
    whole unit's on average over the run, leakage included. `products`, `cycles` and `streams` say
    what was simulated. `by_cell` (internal) and `by_net` (switching) split `dynamic_pj` by instance
    and net.
    """

    dynamic_pj: float
    leakage_pj: float
    internal_pj: float
    switching_pj: float
    clock_pj: float
    glitch_pj: float | None
    leakage_nw: float
    power_mw: float
    toggles: float  # edges of all nets, clock included, per product
    products: int
    per_cycle: float
    cycles: int
    streams: int
    by_cell: dict[str, float] = field(repr=False)
    by_net: dict[str, float] = field(repr=False)
    activity: Activity | None = field(repr=False, compare=False)
    quiet: "Energy | None" = field(default=None, repr=False)

    def as_dict(self) -> dict:
        """The totals, ready for JSON: no breakdown, no activity."""
        totals = asdict(replace(self, by_cell={}, by_net={}, activity=None, quiet=None))
        left_out = ("by_cell", "by_net", "activity", "quiet")
        return {k: v for k, v in totals.items() if k not in left_out}


def energy(
    synthesis: Synthesis,
    stimulus: Mapping[str, np.ndarray],
    *,
    products: int | None = None,
    clock: str = "clk",
    parts: Mapping[str, int] | None = None,
    glitches: bool = False,
) -> Energy:
    """Simulate the netlist on `stimulus` (see `hw.gatesim.run`) and add up what it draws.

    With `glitches` cells take time: each its mean delay (`hw.delays`).

    `products` is how many products were entered over all streams; by default the cycles with `en`
    high, or all cycles where the unit has no such port. `parts` is of outputs, as there.
    ValueError: no library, no supply voltage, no product; with `glitches`, no delays in the
    library.
    """
    netlist, library = synthesis.netlist, synthesis.technology
    if lack := no_energy(synthesis):
        raise ValueError(lack)
    still = run(netlist, library, stimulus, clock, parts)
    if products is None:
        enabled = np.broadcast_to(stimulus.get("en", 1), (still.streams, still.cycles))
        products = int(enabled.sum())
    if products < 1:
        raise ValueError(f"{synthesis.name}: no product enters in {still.cycles} cycles")
    quiet = _drawn_energy(synthesis, still, clock, products)
    if not glitches:
        return quiet
    arrival = round(FS * synthesis.boundary.input_arrival_ps)
    late = net_delays(synthesis)
    activity = run(netlist, library, stimulus, clock, parts, delays=late, arrival=arrival)
    found = _drawn_energy(synthesis, activity, clock, products)
    return replace(found, glitch_pj=found.dynamic_pj - quiet.dynamic_pj, quiet=quiet)


def _drawn_energy(synthesis: Synthesis, activity: Activity, clock: str, products: int) -> Energy:
    """Of one simulation."""
    netlist = synthesis.netlist
    tree = clock_tree(netlist, synthesis.technology, clock)
    by_cell, by_net, clock_pins = (
        x * (_FJ_TO_PJ / products) for x in _drawn(synthesis, activity, frozenset(tree.nets))
    )
    dynamic = float(by_cell.sum() + by_net.sum())
    per_cycle = products / (activity.streams * activity.cycles)
    leakage_nw, leakage_pj = leakage(synthesis, per_cycle)
    return Energy(
        dynamic_pj=dynamic,
        leakage_pj=leakage_pj,
        internal_pj=float(by_cell.sum()),
        switching_pj=float(by_net.sum()),
        clock_pj=float(clock_pins.sum() + by_net[sorted(tree.nets)].sum()),
        glitch_pj=None,
        leakage_nw=leakage_nw,
        power_mw=(dynamic + leakage_pj) * per_cycle / synthesis.clock_ps * 1e3,  # pJ/ps = W
        toggles=float(activity.toggles.sum() / products),
        products=products,
        per_cycle=per_cycle,
        cycles=activity.cycles,
        streams=activity.streams,
        by_cell={i.name: float(e) for i, e in zip(netlist.instances, by_cell, strict=True)},
        by_net=dict(zip(netlist.net_names, by_net.tolist(), strict=True)),
        activity=activity,
    )


def leakage(synthesis: Synthesis, per_cycle: float = 1.0) -> tuple[float, float]:
    """Of the whole unit, nW, and per product, pJ, of which so many enter in a cycle.

    It is known without a supply voltage. ValueError without a library.
    """
    netlist, library = synthesis.netlist, synthesis.technology
    if netlist is None or library is None:
        raise ValueError(f"{synthesis.name}: leakage needs a Liberty library, got none")
    power = sum(library.cell(cell).leakage * n for cell, n in netlist.cell_counts.items())
    return power, power * synthesis.clock_ps * _NW_PS_TO_PJ / per_cycle


def no_energy(synthesis: Synthesis) -> str:
    """Why `synthesis` can have no energy, in one line; "" where it can."""
    library = synthesis.technology
    if synthesis.netlist is None or library is None:
        return f"{synthesis.name}: energy needs a Liberty library, got none"
    if library.voltage is None:
        return (
            f"library {library.name}: energy needs a supply voltage, got none: neither operating "
            "conditions nor nom_voltage nor voltage_map say which"
        )
    return ""


def _drawn(
    synthesis: Synthesis, activity: Activity, clocks: frozenset[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energy of the run in fJ: internal by instance, switching by net, and clock pins'."""
    library = synthesis.technology
    loads = net_loads(synthesis.netlist, library, synthesis.boundary.output_load_ff)
    slews = np.nan_to_num(synthesis.timing.slew_ps) if synthesis.timing else np.zeros_like(loads)
    switching = activity.toggles * loads.mean(axis=1, keepdims=True) * (library.voltage**2 / 2)
    internal, clock_pins = _internal(synthesis, activity, loads, slews, clocks)
    return internal, switching.sum(axis=1), clock_pins


def _internal(
    synthesis: Synthesis, activity: Activity, loads: np.ndarray, slews: np.ndarray, clocks
) -> tuple[np.ndarray, np.ndarray]:
    """Per instance: internal energy of the run in fJ, and the part of its clock pins."""
    library, instances = synthesis.technology, synthesis.netlist.instances
    total, clocked = np.zeros(len(instances)), np.zeros(len(instances))
    groups: dict[tuple, list[int]] = {}
    for index, instance in enumerate(instances):
        groups.setdefault((instance.type, activity.pins[index]), []).append(index)
    for (name, pins), members in groups.items():
        cell = library.cell(name)
        events = np.stack([activity.events[index] for index in members])
        seen = np.flatnonzero(events.any(axis=0))
        entries = shares(cell, pins, seen)
        if not entries:
            continue
        counts = events[:, seen] @ np.stack([weights for *_, weights in entries]).T
        for member, row in zip(members, counts, strict=True):
            wires = instances[member].pins
            for (owner, source, source_edge, table, _), count in zip(entries, row, strict=True):
                if count == 0:
                    continue
                # an output that is not connected moves all the same, without a load
                load = loads[wires[owner]].mean() if owner != source and owner in wires else 0.0
                spent = count * table.at(slews[wires[source], source_edge], load)
                total[member] += spent
                if owner == source and wires[owner] in clocks:
                    clocked[member] += spent
    return total, clocked
