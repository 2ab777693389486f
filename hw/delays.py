"""How late each net of a mapped netlist is after its cell's inputs, for a simulation with time."""

import numpy as np

from macsmith.hw.synth import Synthesis
from macsmith.hw.timing import net_loads

__all__ = ["FS", "net_delays"]

FS = 1000  # per ps


def net_delays(synthesis: Synthesis) -> np.ndarray:
    """int64 [nets]: delay in fs of the cell's output that drives the net; 0 of input ports.

    It is the mean over the cell's inputs and both edges, with slews from static timing and the
    load of the net; of a flip-flop, from the clock's edge. ValueError: a library without delays.
    """
    netlist, library, timing = synthesis.netlist, synthesis.technology, synthesis.timing
    if timing is None:
        raise ValueError(f"{synthesis.name}: glitches need a library with delays")
    loads = net_loads(netlist, library, synthesis.boundary.output_load_ff)
    found = np.zeros(len(netlist.net_names), np.int64)
    for instance in netlist.instances:
        cell = library.cell(instance.type)
        for pin in cell.outputs:
            net = instance.pins.get(pin)
            if net is None:
                continue
            seen = []
            for arc in cell.pins[pin].timing:
                source = instance.pins.get(arc.related)
                if source is None or arc.kind in ("preset", "clear"):
                    continue
                slews = timing.slew_ps[source]
                if np.isnan(slews).all():  # a constant
                    continue
                for table, load in ((arc.rise, loads[net, 0]), (arc.fall, loads[net, 1])):
                    if table is not None:
                        seen.append(table.at(float(np.nanmean(slews)), float(load)))
            if seen:
                found[net] = max(round(FS * sum(seen) / len(seen)), 0)
    return found
