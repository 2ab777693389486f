"""Bit-parallel simulation of a mapped netlist: what it computes, and what moves in it.

64 independent streams run at once, one per bit of a word. Without delays every net takes its final
value at once in each cycle, and hazards (glitches) are not seen. With them each cell's output
follows its inputs so much later, and what is shorter than that delay does not pass (inertial
delays); the clock and what gates it have none. A cycle k: the operands of cycle k settle, the
outputs of cycle k are read, the clock falls, the clock rises and the flip-flops take what they see.
So a unit of latency 1 shows the product of cycle k in cycle k + 1.

Flip-flops start at zero and the unit is reset before the first cycle: two cycles, not counted, with
the port `rst` high (if it has one) and all other inputs zero. `rst` is low afterwards unless the
stimulus says otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from macsmith.hw.gatesim_model import Model
from macsmith.hw.gatesim_words import LANES, check, outputs_of, pack, words
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import Netlist

__all__ = ["Activity", "run"]


@dataclass(frozen=True)
class Activity:
    """What a simulation saw, summed over `streams` streams of `cycles` cycles.

    `outputs[port]` is int64 [streams, cycles], two's complement where the port is signed; of an
    output in parts [streams, cycles, parts], unsigned.
    `toggles` is int64 [nets, 2]: rising and falling edges. `events[instance]` is int64 [4**k]: how
    often the cell's k pins went from one state to another, indexed by (before << k | after); the
    pins are `pins[instance]`, the first one being the most significant bit: the cell's inputs, and
    last the state of a flip-flop by the library's name for it.
    """

    cycles: int
    streams: int
    outputs: dict[str, np.ndarray] = field(repr=False)
    toggles: np.ndarray = field(repr=False)
    events: tuple[np.ndarray, ...] = field(repr=False)
    pins: tuple[tuple[str, ...], ...] = field(repr=False)


def run(
    netlist: Netlist,
    library: Library,
    stimulus: Mapping[str, np.ndarray],
    clock: str = "clk",
    parts: Mapping[str, int] | None = None,
    counting: bool = True,
    delays: np.ndarray | None = None,
    arrival: int = 0,
    upset: np.ndarray | None = None,
) -> Activity:
    """Simulate `netlist`; `stimulus` maps input ports to unsigned codes, [cycles], [streams,
    cycles], or, for a port of several equal parts, [streams, cycles, parts], the lowest part first;
    one-dimensional ones are the same in every stream. `parts` says of how many parts an output is,
    where it is of more than one or wider than 63 bits. Without `counting` there are the outputs
    alone, several times faster: `toggles` is of no net, and `events` are 0.

    `delays` is integer, [nets]: how much later than its cell's function each net is, in any unit
    (`hw.delays` has them in fs); operands come `arrival` of it after the clock's edge.

    `upset` is uint8 [streams, flip-flops], in the order of `hw.clocking`: where it is 1 the
    flip-flop is inverted before the first cycle, two idle ones after the reset.

    ValueError: a port missing, unknown or of another shape, a code that does not fit its port, a
    cell whose function is not known, an input of a cell that is not connected; with delays, a
    clear or preset in use.
    """
    codes, streams, cycles = check(netlist, stimulus, clock)
    model = Model(netlist, library, clock, counting)
    if delays is not None:
        model.delay(np.asarray(delays, np.int64), arrival)
    toggles = np.zeros((len(netlist.net_names) if counting else 0, 2), np.int64)
    histogram = np.zeros(model.histogram_size, np.int64)
    blocks = []
    inverted = None if upset is None else words(np.asarray(upset, np.uint8))
    for first in range(0, streams, LANES):
        count = min(LANES, streams - first)
        drive = [
            pack(codes[name][first : first + count], len(netlist.ports[name].bits), count)
            for name in model.driven
        ]
        values = model.start()
        uncounted = np.zeros_like(toggles), np.zeros_like(histogram)
        model.reset(values, *uncounted)
        if inverted is not None:
            model.upset(values, inverted[first // LANES], *uncounted)
        lanes = 2**count - 1
        block = np.hstack([np.zeros((cycles, 0), np.int64), *drive])
        blocks.append((count, model.simulate(values, lanes, block, toggles, histogram)))
    return Activity(
        cycles=cycles,
        streams=streams,
        outputs=outputs_of(netlist, blocks, parts or {}),
        toggles=toggles,
        events=tuple(np.split(histogram, model.hist_start[1:])),
        pins=tuple(model.pin_names),
    )
