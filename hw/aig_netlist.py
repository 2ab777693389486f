"""A mapped netlist as an and-inverter graph: each cell is what the library says it computes."""

from macsmith.hw.aig import FALSE, TRUE, Aig
from macsmith.hw.aig_clocks import one_clock
from macsmith.hw.boolean import Expr
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import CONST0, CONST1, Netlist

__all__ = ["to_aig"]


def to_aig(netlist: Netlist, library: Library) -> Aig:
    """The graph; registers have the names of the flip-flops, and hold the library's state.

    All are on the rising edge of ``clk``: `aig_clocks` says what becomes of gated clocks.
    ValueError on a latch, a clear or preset in use, a cell without a function, a loop, an input of
    a cell that is not connected, or a net that nothing drives.
    """
    return one_clock(_Builder(netlist, library).build())


class _Builder:
    def __init__(self, netlist: Netlist, library: Library) -> None:
        self.netlist, self.cells = netlist, library
        self.lits = {CONST0: FALSE, CONST1: TRUE}  # by net
        self.gates: list[tuple[int, int, int]] = []
        self.vars = 0

    def build(self) -> Aig:
        netlist, library = self.netlist, self.cells
        netlist.require_connected(library)
        inputs, input_vars = [], []
        for name, port in netlist.inputs.items():
            for bit, net in enumerate(port.bits):
                self.lits[net] = self.new()
                inputs.append((name, bit))
                input_vars.append(self.lits[net] >> 1)
        flip_flops = []
        for instance in netlist.instances:
            cell = library.cell(instance.type)
            if not cell.sequential:
                continue
            if cell.ff is None:
                raise ValueError(f"{instance.name} is a {instance.type}: no flip-flop")
            state = self.new()
            flip_flops.append((instance, cell, state))
            for pin in cell.outputs:
                if pin in instance.pins:
                    known = {cell.ff.state: state, cell.ff.inverse: state ^ 1}
                    self.lits[instance.pins[pin]] = self.value(cell.pins[pin].function, {}, known)
        for index in netlist.combinational_order(library):
            instance = netlist.instances[index]
            cell = library.cell(instance.type)
            for pin in cell.outputs:
                if pin in instance.pins:
                    self.lits[instance.pins[pin]] = self.value(
                        cell.pins[pin].function, instance.pins, {}
                    )
        outputs = [
            ((name, bit), self.lit(net))
            for name, port in netlist.outputs.items()
            for bit, net in enumerate(port.bits)
        ]
        registers, nexts, clocks = [], [], []
        for instance, cell, state in flip_flops:
            known = {cell.ff.state: state, cell.ff.inverse: state ^ 1}
            after, clock, *others = (
                self.value(expr, instance.pins, known) if expr else FALSE
                for expr in (cell.ff.next_state, cell.ff.clocked_on, cell.ff.clear, cell.ff.preset)
            )
            registers.append((instance.name, 0))
            nexts.append(after)
            clocks.append(clock)
            if others != [FALSE, FALSE]:
                raise ValueError(f"{instance.name} has a clear or a preset in use")
        return Aig(
            tuple(inputs),
            tuple(registers),
            tuple(bit for bit, _ in outputs),
            tuple(input_vars),
            tuple(state >> 1 for *_, state in flip_flops),
            tuple(lit for _, lit in outputs),
            tuple(nexts),
            tuple(self.gates),
            tuple(clocks),
        )

    def new(self) -> int:
        self.vars += 1
        return 2 * self.vars

    def lit(self, net: int) -> int:
        """Literal of a net."""
        if net not in self.lits:
            name = self.netlist.net_names[net]
            raise ValueError(f"{self.netlist.name}: nothing drives {name}")
        return self.lits[net]

    def value(self, expr: Expr | None, pins: dict[str, int], known: dict[str, int]) -> int:
        """Literal of an expression over pins (by net) and ``known`` names (by literal)."""
        if expr is None:
            raise ValueError(f"{self.netlist.name}: the library gives a cell no function")
        if expr.op == "const":
            return TRUE if expr.value else FALSE
        if expr.op == "var":
            if expr.name in known:
                return known[expr.name]
            return self.lit(pins[expr.name])
        x, *rest = (self.value(arg, pins, known) for arg in expr.args)
        if expr.op == "not":
            return x ^ 1
        (y,) = rest
        if expr.op == "and":
            return self.and_(x, y)
        if expr.op == "or":
            return self.and_(x ^ 1, y ^ 1) ^ 1
        return self.and_(self.and_(x, y) ^ 1, self.and_(x ^ 1, y ^ 1) ^ 1)

    def and_(self, x: int, y: int) -> int:
        lit = self.new()
        self.gates.append((lit >> 1, x, y))
        return lit
