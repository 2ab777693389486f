"""A mapped netlist as what the bit-parallel simulation runs: programs and index arrays."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from macsmith.hw.boolean import Expr
from macsmith.hw.clocking import clock_tree
from macsmith.hw.gatesim_kernels import simulate
from macsmith.hw.gatesim_waves import AND, NOT, OR, XOR
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import CONST0, CONST1, Netlist

__all__ = ["RESET_CYCLES", "Model"]

RESET_CYCLES = 2
_OPS = {"and": AND, "or": OR, "xor": XOR}
_MAX_PINS = 12  # a cell's histogram has 4**pins entries


class Model:
    """The netlist as programs and index arrays for the kernel.

    Without ``counting`` nothing is: histograms stay empty.
    """

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
                self.compile(cell.pins[pin].function, env, program, net)

    def compile(
        self, expr: Expr, env: Mapping[str, int], program: list, target: int | None = None
    ) -> int:
        """Append what computes `expr`, into `target` if there is one; return where its value is."""
        if expr.op in ("var", "const"):
            source = self._leaf(expr, env)
            if target is None:
                return source
            program.append((OR, target, source, source))
            return target
        sources = [self.compile(arg, env, program) for arg in expr.args]
        target = self.new() if target is None else target
        op = NOT if expr.op == "not" else _OPS[expr.op]
        program.append((op, target, sources[0], sources[-1]))
        return target

    def _leaf(self, expr: Expr, env: Mapping[str, int]) -> int:
        if expr.op == "const":
            return CONST1 if expr.value else CONST0
        if expr.name not in env:
            raise ValueError(
                f"{self.netlist.name}: the library has a cell whose function reads "
                f"{expr.name!r}, which is none of its inputs"
            )
        return env[expr.name]

    def start(self) -> np.ndarray:
        """Every signal at zero, except the constant one and the clock, which is high."""
        values = np.zeros(self.signals, np.uint64)
        values[CONST1] = ~np.uint64(0)
        for op, target, a, b in self.rise:
            words = values[a], values[b]
            values[target] = (words[0] & words[1], words[0] | words[1], words[0] ^ words[1],
                              ~words[0])[op]  # fmt: skip
        return values

    def reset(self, values, *counts, rst: int = 1) -> None:
        """The cycles that are not counted: `rst` high, and every other input zero."""
        ports = self.netlist.inputs
        words = [-rst * int(name == "rst") for name in self.driven for _ in ports[name].bits]
        self.simulate(values, 0, np.array([words] * RESET_CYCLES, np.int64), *counts)

    def upset(self, values: np.ndarray, flipped: np.ndarray, *counts) -> None:
        """Invert flip-flops: words, one for each, a bit for each stream.

        As many cycles after the reset as it took, so that what follows it late is through.
        """
        self.reset(values, *counts, rst=0)
        values[[fields[3] for fields in self.flip]] ^= flipped

    def simulate(self, values, lanes, stimulus, toggles, histogram) -> np.ndarray:
        """Run one block of up to 64 streams; returns the words of all output bits.

        `stimulus` has a word for each bit of the ports `driven`, in their order.
        """
        responses = np.zeros((len(stimulus), len(self._recorded)), np.uint64)
        simulate(
            values,
            np.uint64(lanes),
            np.ascontiguousarray(stimulus).view(np.uint64),
            *self._fixed,
            responses,
            toggles,
            histogram,
        )
        return responses

    @cached_property
    def driven(self) -> list[str]:
        """Input ports but the clock."""
        return [name for name in self.netlist.inputs if name not in self.clock_ports]

    @cached_property
    def _recorded(self) -> np.ndarray:
        nets = [net for port in self.netlist.outputs.values() for net in port.bits]
        return np.array(nets, np.int32)

    @cached_property
    def _fixed(self) -> tuple:
        """What the kernel is given besides, the same in every block."""
        inputs = [net for name in self.driven for net in self.netlist.ports[name].bits]
        flip = np.array(self.flip, np.int32).reshape(-1, 5)
        return (
            np.array(inputs, np.int32),
            self._recorded,
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
        )
