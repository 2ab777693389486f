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

from macsmith.hw.boolean import Expr
from macsmith.hw.clocking import clock_tree
from macsmith.hw.gatesim_kernels import simulate
from macsmith.hw.gatesim_waves import AND, NOT, OR, XOR
from macsmith.hw.gatesim_words import check, outputs_of, pack
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import CONST0, CONST1, Netlist

__all__ = ["Activity", "run"]

_OPS = {"and": AND, "or": OR, "xor": XOR}
_LANES = 64
_MAX_PINS = 12  # a cell's histogram has 4**pins entries
_RESET_CYCLES = 2


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
) -> Activity:
    """Simulate `netlist`; `stimulus` maps input ports to unsigned codes, [cycles], [streams,
    cycles], or, for a port of several equal parts, [streams, cycles, parts], the lowest part first;
    one-dimensional ones are the same in every stream. `parts` says of how many parts an output is,
    where it is of more than one or wider than 63 bits. Without `counting` there are the outputs
    alone, several times faster: `toggles` is of no net, and `events` are 0.

    `delays` is integer, [nets]: how much later than its cell's function each net is, in any unit
    (`hw.delays` has them in fs); operands come `arrival` of it after the clock's edge.

    ValueError: a port missing, unknown or of another shape, a code that does not fit its port, a
    cell whose function is not known, an input of a cell that is not connected; with delays, a
    clear or preset in use.
    """
    codes, streams, cycles = check(netlist, stimulus, clock)
    model = _Model(netlist, library, clock, counting)
    if delays is not None:
        model.delay(np.asarray(delays, np.int64), arrival)
    ports = [name for name in netlist.inputs if name not in model.clock_ports]
    toggles = np.zeros((len(netlist.net_names) if counting else 0, 2), np.int64)
    histogram = np.zeros(model.histogram_size, np.int64)
    words = []
    for first in range(0, streams, _LANES):
        count = min(_LANES, streams - first)
        drive = [
            pack(codes[name][first : first + count], len(netlist.ports[name].bits), count)
            for name in ports
        ]
        reset = [
            np.full((_RESET_CYCLES, len(netlist.ports[name].bits)), -int(name == "rst"), np.int64)
            for name in ports
        ]
        values = model.start()
        scratch = np.zeros_like(toggles), np.zeros_like(histogram)
        model.simulate(values, 0, np.hstack([_none(_RESET_CYCLES), *reset]), ports, *scratch)
        lanes = 2**count - 1
        block = np.hstack([_none(cycles), *drive])
        words.append((count, model.simulate(values, lanes, block, ports, toggles, histogram)))
    return Activity(
        cycles=cycles,
        streams=streams,
        outputs=outputs_of(netlist, words, parts or {}),
        toggles=toggles,
        events=tuple(np.split(histogram, model.hist_start[1:])),
        pins=tuple(model.pin_names),
    )


class _Model:
    """The netlist as programs and index arrays for the kernel."""

    def __init__(self, netlist: Netlist, library: Library, clock: str, counting: bool) -> None:
        self.netlist = netlist
        netlist.require_connected(library)
        tree = clock_tree(netlist, library, clock)
        self.signals = len(netlist.net_names)
        self.clock_nets = sorted(tree.nets)
        self.clock_ports = [clock] if clock in netlist.inputs else []
        cells = [library.cell(instance.type) for instance in netlist.instances]
        launch, settle, clocked, seen, clock_pins = [], [], [], [], []
        # next state, clear, preset, state, clocked on
        self.flip: list[tuple[int, int, int, int, int]] = []
        states = {}
        for index in tree.flip_flops:
            ff, pins = cells[index].ff, netlist.instances[index].pins
            states[index] = state = self.new()
            inverse = self.new()
            launch.append((NOT, inverse, state, state))
            env = {**pins, ff.state: state, ff.inverse: inverse}
            self.outputs(index, cells[index], env, launch)
            fields = [
                self.compile(expr, env, seen) if expr else CONST0
                for expr in (ff.next_state, ff.clear, ff.preset)
            ]
            self.flip.append((*fields, state, self.compile(ff.clocked_on, env, clock_pins)))
        for index in netlist.combinational_order(library):
            if not cells[index].combinational:
                raise ValueError(
                    f"{netlist.name}: {netlist.instances[index].name}: the library gives no "
                    f"function for {cells[index].name}"
                )
            program = clocked if index in tree.instances else settle
            self.outputs(index, cells[index], netlist.instances[index].pins, program)
        self.settle = launch + settle + seen
        port = [netlist.inputs[clock].bits[0]] if tree.nets else []
        self.fall = [(OR, net, CONST0, CONST0) for net in port] + clocked + clock_pins
        self.rise = [(OR, net, CONST1, CONST1) for net in port] + clocked + clock_pins
        self.falling = bool(tree.falling)
        self.delays, self.arrival = np.zeros(0, np.int64), 0
        self.rounds = sum(ff[1:3] != (CONST0, CONST0) for ff in self.flip)
        self.layout(cells, states, tree.flip_flops + tree.instances, set(tree.instances))
        if not counting:
            self.clock_nets = []
            self.clock_cells = self.settle_cells = np.zeros(0, np.int64)

    def delay(self, delays: np.ndarray, arrival: int) -> None:
        """Let cycles take time."""
        if self.rounds:
            raise ValueError(f"{self.netlist.name}: with delays no clear or preset may be in use")
        targets = np.array([target for _, target, *_ in self.settle], np.int64)
        inner = targets >= len(delays)
        self.delays = np.where(inner, -1, delays[np.where(inner, 0, targets)])
        self.arrival = arrival

    def layout(self, cells, states, clock_cells, clock_only) -> None:
        """Which signals each cell's histogram looks at."""
        self.pin_names, signals, starts = [], [], [0]
        for index, cell in enumerate(cells):
            pins = self.netlist.instances[index].pins
            names = list(cell.inputs)
            signals += [pins[name] for name in names]
            if index in states:
                names.append(cell.ff.state)
                signals.append(states[index])
            if len(names) > _MAX_PINS:
                raise ValueError(f"{cell.name} has more than {_MAX_PINS} pins")
            self.pin_names.append(tuple(names))
            starts.append(len(signals))
        sizes = np.array([4 ** len(names) for names in self.pin_names], np.int64)
        self.hist_start = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)[
            : len(cells)
        ]
        self.histogram_size = int(sizes.sum())
        self.pin_start = np.array(starts, np.int64)
        self.pins = np.array(signals, np.int32)
        self.clock_cells = np.array(clock_cells, np.int64)
        settle = [index for index in range(len(cells)) if index not in clock_only]
        self.settle_cells = np.array(settle, np.int64)

    def new(self) -> int:
        self.signals += 1
        return self.signals - 1

    def outputs(self, index: int, cell, env: Mapping[str, int], program: list) -> None:
        for pin in cell.outputs:
            net = self.netlist.instances[index].pins.get(pin)
            if net is not None and cell.pins[pin].function is not None:
                source = self.compile(cell.pins[pin].function, env, program)
                program.append((OR, net, source, source))

    def compile(self, expr: Expr, env: Mapping[str, int], program: list) -> int:
        """Append what computes `expr`; return where its value is."""
        if expr.op == "var":
            if expr.name not in env:
                raise ValueError(
                    f"{self.netlist.name}: the library has a cell whose function reads "
                    f"{expr.name!r}, which is none of its inputs"
                )
            return env[expr.name]
        if expr.op == "const":
            return CONST1 if expr.value else CONST0
        sources = [self.compile(arg, env, program) for arg in expr.args]
        target = self.new()
        op = NOT if expr.op == "not" else _OPS[expr.op]
        program.append((op, target, sources[0], sources[-1]))
        return target

    def start(self) -> np.ndarray:
        """Every signal at zero, except the constant one and the clock, which is high."""
        values = np.zeros(self.signals, np.uint64)
        values[CONST1] = ~np.uint64(0)
        for op, target, a, b in self.rise:
            words = values[a], values[b]
            values[target] = (words[0] & words[1], words[0] | words[1], words[0] ^ words[1],
                              ~words[0])[op]  # fmt: skip
        return values

    def simulate(self, values, lanes, stimulus, ports, toggles, histogram) -> np.ndarray:
        """Run one block of up to 64 streams; returns the words of all output bits."""
        inputs = [net for name in ports for net in self.netlist.ports[name].bits]
        outputs = [net for port in self.netlist.outputs.values() for net in port.bits]
        responses = np.zeros((len(stimulus), len(outputs)), np.uint64)
        flip = np.array(self.flip, np.int32).reshape(-1, 5)
        simulate(
            values,
            np.uint64(lanes),
            np.ascontiguousarray(stimulus).view(np.uint64),
            np.array(inputs, np.int32),
            np.array(outputs, np.int32),
            *(np.array(p, np.int32).reshape(-1, 4) for p in (self.settle, self.fall, self.rise)),
            np.array(self.clock_nets, np.int32),
            self.rounds,
            *(np.ascontiguousarray(flip[:, i]) for i in range(5)),
            self.falling,
            self.pin_start,
            self.pins,
            self.hist_start,
            self.settle_cells,
            self.clock_cells,
            self.delays,
            self.arrival,
            responses,
            toggles,
            histogram,
        )
        return responses


def _none(cycles: int) -> np.ndarray:
    return np.zeros((cycles, 0), np.int64)
