"""Static timing of a mapped netlist from the library's tables: arrivals, slews, critical path.

Boundary conditions (`Boundary`) are declared, not hidden: operands switch `input_arrival_ps` after
the clock edge with a stated slew, from an ideal driver; every output drives a stated load; the
clock is ideal, its edge reaches every flip-flop at time 0 with a stated slew. Wires have no
capacitance and no delay. A path starts at an input port or at a flip-flop's clock pin (the
clock-to-output delay counts) and ends at an output port or at a flip-flop's data pin (its setup
time counts). A flip-flop on the falling edge and the clock gate behind it have half a period each,
so that twice their path is what the period must be. Arcs that depend on a state (`when`) all count:
the worst one decides. The slew of a net is the worst of all that reach it.
"""

from dataclasses import dataclass, field

import numpy as np

from macsmith.hw.cell import TimingArc
from macsmith.hw.clocking import clock_tree
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import CONST1, Netlist

__all__ = ["Boundary", "Step", "Timing", "analyze", "net_loads"]

RISE, FALL = 0, 1
_LAUNCH = ("rising_edge", "falling_edge")
_ASYNC = ("preset", "clear")
_THROUGH = {
    "combinational": (RISE, FALL),
    "combinational_rise": (RISE,),
    "combinational_fall": (FALL,),
}


@dataclass(frozen=True, slots=True)
class Boundary:
    """What surrounds a unit. Slews in ps between the library's own thresholds."""

    input_slew_ps: float
    clock_slew_ps: float
    output_load_ff: float
    input_arrival_ps: float = 0.0

    @classmethod
    def of(cls, library: Library) -> "Boundary":
        """Conditions that mean the same in every technology.

        Slews are those of the smallest inverter that drives four of its kind in a chain of such
        (FO4, mean of both edges); each output drives the data pin of the smallest flip-flop.
        """
        cell = library.inverter
        (pin_in,), (pin_out,) = cell.inputs, cell.outputs
        load = 4 * cell.pins[pin_in].cap
        arcs = [arc for arc in cell.pins[pin_out].timing if arc.rise_slew and arc.fall_slew]
        slew = 0.0
        if arcs:
            for _ in range(64):  # converges to the last digit in about ten rounds
                slew = (arcs[0].rise_slew.at(slew, load) + arcs[0].fall_slew.at(slew, load)) / 2
        flip_flop = library.flip_flop
        if flip_flop is None:  # a netlist without state
            return cls(slew, slew, load / 4)
        return cls(slew, slew, flip_flop.pins[flip_flop.ff.data].cap)


@dataclass(frozen=True, slots=True)
class Step:
    """A point of a path: when and how the edge reaches `net`, through which cell's pin."""

    net: str
    edge: str  # "rise" or "fall"
    arrival_ps: float
    slew_ps: float
    instance: str  # "" at a port
    cell: str
    pin: str  # the cell's input pin


@dataclass(frozen=True)
class Timing:
    """`delay_ps` is the shortest clock period that the netlist meets; `setup_ps` is the part of it
    that the endpoint's setup time takes. `slew_ps[net, edge]` is NaN where nothing switches."""

    delay_ps: float
    setup_ps: float
    endpoint: str
    path: tuple[Step, ...] = field(repr=False)
    slew_ps: np.ndarray = field(repr=False, compare=False)  # float64 [nets, 2], rise and fall
    arrival_ps: np.ndarray = field(repr=False, compare=False)  # the same shape

    def slack_ps(self, clock_ps: float) -> float:
        """Worst slack at a clock period; negative: not met."""
        return clock_ps - self.delay_ps


def net_loads(netlist: Netlist, library: Library, output_load_ff: float) -> np.ndarray:
    """float64 [nets, 2]: capacitance in fF that a rising and a falling edge sees on each net."""
    loads = np.zeros((len(netlist.net_names), 2))
    for instance in netlist.instances:
        cell = library.cell(instance.type)
        for pin in cell.inputs:
            if (net := instance.pins.get(pin)) is not None:
                loads[net] += cell.pins[pin].rise_cap, cell.pins[pin].fall_cap
    for instance in netlist.instances:
        cell = library.cell(instance.type)
        for pin in cell.outputs:  # most libraries say 0
            if (net := instance.pins.get(pin)) is not None:
                loads[net] += cell.pins[pin].rise_cap, cell.pins[pin].fall_cap
    for port in netlist.outputs.values():
        for net in port.bits:
            loads[net] += output_load_ff
    return loads


def analyze(
    netlist: Netlist, library: Library, boundary: Boundary | None = None, clock: str = "clk"
) -> Timing:
    """Time `netlist` with flip-flops on the port `clock` (or with none at all).

    ValueError: a combinational loop, or a clock that `hw.clocking` cannot follow.
    """
    return _Analysis(netlist, library, boundary or Boundary.of(library), clock).result()


class _Analysis:
    def __init__(self, netlist: Netlist, library: Library, boundary: Boundary, clock: str) -> None:
        self.netlist, self.cells, self.boundary = netlist, library, boundary
        self.tree = clock_tree(netlist, library, clock)
        self.load = net_loads(netlist, library, boundary.output_load_ff).tolist()
        count = len(netlist.net_names)
        self.arrival = [[-np.inf, -np.inf] for _ in range(count)]
        self.slew = [[np.nan, np.nan] for _ in range(count)]
        # how the worst edge came: (instance index or -1, input pin, edge of the input)
        self.cause: list[list[tuple[int, str, int] | None]] = [[None, None] for _ in range(count)]

    def result(self) -> Timing:
        for name, port in self.netlist.inputs.items():
            for net in port.bits:
                clocked = net in self.tree.nets
                slew = self.boundary.clock_slew_ps if clocked else self.boundary.input_slew_ps
                arrival = 0.0 if clocked else self.boundary.input_arrival_ps
                for edge in (RISE, FALL):
                    self.reach(net, edge, arrival, slew, (-1, name, edge))
        for net in self.tree.nets:
            for edge in (RISE, FALL):
                self.reach(net, edge, 0.0, self.boundary.clock_slew_ps, (-1, "", edge))
        for index in self.tree.flip_flops:
            self.cell(index, launch=True)
        for index in self.netlist.combinational_order(self.cells):
            if index not in self.tree.instances:
                self.cell(index, launch=False)
        return self.worst()

    def cell(self, index: int, launch: bool) -> None:
        instance = self.netlist.instances[index]
        cell = self.cells.cell(instance.type)
        for pin in cell.outputs:
            net = instance.pins.get(pin)
            if net is None:
                continue
            for arc in cell.pins[pin].timing:
                source = instance.pins.get(arc.related)
                if source is None or source <= CONST1:
                    continue
                for edge_in, edge_out in _edges(arc, launch):
                    table, slew = (arc.rise, arc.rise_slew), (arc.fall, arc.fall_slew)
                    delay_table, slew_table = (table, slew)[edge_out]
                    if delay_table is None or self.arrival[source][edge_in] == -np.inf:
                        continue
                    slew_in, load = self.slew[source][edge_in], self.load[net][edge_out]
                    self.reach(
                        net,
                        edge_out,
                        self.arrival[source][edge_in] + delay_table.at(slew_in, load),
                        slew_table.at(slew_in, load) if slew_table else 0.0,
                        (index, arc.related, edge_in),
                    )

    def reach(
        self, net: int, edge: int, arrival: float, slew: float, cause: tuple[int, str, int]
    ) -> None:
        if arrival > self.arrival[net][edge]:
            self.arrival[net][edge] = arrival
            self.cause[net][edge] = cause
        if not slew <= self.slew[net][edge]:  # NaN: the first
            self.slew[net][edge] = slew

    def worst(self) -> Timing:
        ends = []  # (delay, setup, endpoint, net, edge)
        falling = self.tree.falling
        for index in self.tree.flip_flops:
            instance = self.netlist.instances[index]
            cell = self.cells.cell(instance.type)
            for pin in cell.inputs:
                net = instance.pins.get(pin)
                for arc in cell.pins[pin].timing if net is not None else ():
                    if not arc.kind.startswith(("setup", "recovery")):
                        continue
                    for edge, table in enumerate((arc.rise, arc.fall)):
                        if table is None or self.arrival[net][edge] == -np.inf:
                            continue
                        setup = table.at(self.slew[net][edge], self.boundary.clock_slew_ps)
                        end = f"{instance.name}/{pin}"
                        needed = (self.arrival[net][edge] + setup) * (1 + (index in falling))
                        ends.append((needed, setup, end, net, edge))
        for index, pin in self.tree.enables:
            instance = self.netlist.instances[index]
            net, end = instance.pins[pin], f"{instance.name}/{pin}"
            for edge in (RISE, FALL):
                if self.arrival[net][edge] > -np.inf:
                    ends.append((2 * self.arrival[net][edge], 0.0, end, net, edge))
        for name, port in self.netlist.outputs.items():
            for bit, net in enumerate(port.bits):
                end = f"{name}[{bit}]" if len(port.bits) > 1 else name
                for edge in (RISE, FALL):
                    if self.arrival[net][edge] > -np.inf:
                        ends.append((self.arrival[net][edge], 0.0, end, net, edge))
        arrival, slew = np.array(self.arrival), np.array(self.slew)
        if not ends:  # constants only
            return Timing(0.0, 0.0, "", (), slew, arrival)
        delay, setup, end, net, edge = max(ends, key=lambda e: e[0])
        return Timing(delay, setup, end, tuple(self.path(net, edge)), slew, arrival)

    def path(self, net: int, edge: int) -> list[Step]:
        steps = []
        while True:
            index, pin, edge_in = self.cause[net][edge]
            instance = self.netlist.instances[index] if index >= 0 else None
            steps.append(
                Step(
                    self.netlist.net_names[net],
                    ("rise", "fall")[edge],
                    self.arrival[net][edge],
                    self.slew[net][edge],
                    instance.name if instance else "",
                    instance.type if instance else "",
                    pin,
                )
            )
            if instance is None:
                return steps[::-1]
            net, edge = instance.pins[pin], edge_in


def _edges(arc: TimingArc, launch: bool) -> list[tuple[int, int]]:
    """(edge of the related pin, edge of the output) pairs that `arc` connects."""
    if launch and arc.kind in _LAUNCH:
        edge_in = RISE if arc.kind == "rising_edge" else FALL
        return [(edge_in, RISE), (edge_in, FALL)]
    if arc.kind in _THROUGH and not launch:
        edges_out = _THROUGH[arc.kind]
    elif arc.kind in _ASYNC and launch:
        edges_out = (FALL,) if arc.kind == "clear" else (RISE,)
    else:
        return []
    if arc.sense == "positive_unate":
        return [(edge, edge) for edge in edges_out]
    if arc.sense == "negative_unate":
        return [(1 - edge, edge) for edge in edges_out]
    return [(edge_in, edge) for edge in edges_out for edge_in in (RISE, FALL)]
