"""Which cells a clock reaches, what gates it, and which edge each flip-flop listens to.

Two kinds of flip-flop are known: those on the rising edge of the port, directly or behind a clock
gate, and those on its falling edge, whose only use is to hold the enable of a gate while the clock
is high. A gate is any cell of the clock's cone that is fixed while the clock is low.
"""

from dataclasses import dataclass
from itertools import product

from macsmith.hw.cell import Cell
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import CONST1, Netlist

__all__ = ["ClockTree", "clock_tree"]


@dataclass(frozen=True, slots=True)
class ClockTree:
    """The clock's part of a netlist.

    Attributes
    ----------
    nets : frozenset of int
        Nets that carry the clock, gated or not; empty where no flip-flop is.
    instances : tuple of int
        Buffers, inverters and gates between them, in order.
    flip_flops : tuple of int
        All flip-flops of the netlist.
    falling : frozenset of int
        Those of them that the falling edge clocks.
    enables : frozenset of (int, str)
        Instance and pin where a gate's enable enters; it may change while the clock is low.
    """

    nets: frozenset[int]
    instances: tuple[int, ...]
    flip_flops: tuple[int, ...]
    falling: frozenset[int] = frozenset()
    enables: frozenset[tuple[int, str]] = frozenset()


#: What a net of the cone may be while the clock is low, and while it is high.
_Levels = tuple[frozenset[bool], frozenset[bool]]
_LOW, _HIGH = frozenset({False}), frozenset({True})
_ANY = frozenset({False, True})


def clock_tree(netlist: Netlist, library: Library, clock: str) -> ClockTree:
    """Follow the port `clock` through buffers, inverters and gates to the flip-flops.

    ValueError, one line: a latch or other stateful cell that is no flip-flop, no such port, a
    flip-flop that neither edge of the port clocks, or an enable of a gate that does not come from a
    falling-edge flip-flop, or such a flip-flop used for something else.
    """
    stateful = [i for i, inst in enumerate(netlist.instances) if library.cell(inst.type).sequential]
    for index in stateful:
        instance = netlist.instances[index]
        if library.cell(instance.type).ff is None:
            raise ValueError(
                f"{netlist.name}: {instance.name} is a {instance.type}: only flip-flops are known"
            )
    if not stateful:
        return ClockTree(frozenset(), (), ())
    port = netlist.inputs.get(clock)
    if port is None or len(port.bits) != 1:
        got = ", ".join(netlist.inputs)
        raise ValueError(f"{netlist.name}: wanted a one-bit input port {clock!r}, got {got}")
    levels: dict[int, _Levels] = {port.bits[0]: (_LOW, _HIGH)}
    instances, enables = [], set()
    sinks = netlist.sinks(library)
    frontier = [port.bits[0]]
    for net in frontier:  # grows while it is walked
        for index, _ in sinks[net]:
            instance = netlist.instances[index]
            cell = library.cell(instance.type)
            if not cell.combinational or index in instances:
                continue
            found = _outputs(cell, instance.pins, levels)
            if found is None:
                continue
            instances.append(index)
            enables |= {
                (index, pin)
                for pin in cell.inputs
                if instance.pins.get(pin, 0) > CONST1 and instance.pins[pin] not in levels
            }
            for out, pair in found.items():
                levels[out] = pair
                frontier.append(out)
    falling = _falling(netlist, library, clock, stateful, levels)
    _check_enables(netlist, library, sinks, falling, enables)
    return ClockTree(
        frozenset(levels), tuple(instances), tuple(stateful), falling, frozenset(enables)
    )


def _outputs(
    cell: Cell, pins: dict[str, int], levels: dict[int, _Levels]
) -> dict[int, _Levels] | None:
    """Levels of a cell's output nets; None if one can change while the clock is low."""
    found = {}
    for pin in cell.outputs:
        if pin not in pins:
            continue
        function = cell.pins[pin].function
        pair = []
        for phase in (0, 1):
            choices = []
            for name in function.variables():
                net = pins.get(name, 0)
                known = frozenset({net == CONST1}) if net <= CONST1 else _ANY
                choices.append(sorted(levels[net][phase] if net in levels else known))
            pair.append(
                frozenset(
                    bool(function.evaluate(dict(zip(function.variables(), state, strict=True))))
                    for state in product(*choices)
                )
            )
        if len(pair[0]) > 1:
            return None
        found[pins[pin]] = (pair[0], pair[1])
    return found


def _falling(netlist, library, clock, stateful, levels) -> frozenset[int]:
    """Which flip-flops the falling edge clocks; ValueError on one that no edge does."""
    falling = set()
    for index in stateful:
        instance = netlist.instances[index]
        clocked_on = library.cell(instance.type).ff.clocked_on
        names = clocked_on.variables()
        nets = [instance.pins.get(name, -1) for name in names]
        seen = [
            {
                bool(clocked_on.evaluate(dict(zip(names, state, strict=True))))
                for state in product(*(levels[net][phase] for net in nets))
            }
            if all(net in levels for net in nets)
            else set()
            for phase in (0, 1)
        ]
        if seen == [_HIGH, _LOW]:
            falling.add(index)
        elif not (seen[0] == _LOW and True in seen[1]):
            raise ValueError(
                f"{netlist.name}: {instance.name} ({instance.type}) is not clocked by an edge of "
                f"{clock!r}"
            )
    return frozenset(falling)


def _check_enables(netlist, library, sinks, falling, enables) -> None:
    """ValueError unless falling-edge flip-flops drive enables (through logic or not), only they
    do, and they drive nothing else."""
    driver = {
        net: index
        for index, instance in enumerate(netlist.instances)
        for pin, net in instance.pins.items()
        if pin in library.cell(instance.type).outputs
    }
    for index, pin in sorted(enables):
        net = netlist.instances[index].pins[pin]
        while driver.get(net) is not None and driver[net] not in falling:
            source = netlist.instances[driver[net]]
            cell = library.cell(source.type)
            if cell.sequential or len(cell.inputs) != 1:
                break
            net = source.pins[cell.inputs[0]]  # a buffer or an inverter
        if driver.get(net) not in falling:
            raise ValueError(
                f"{netlist.name}: the enable of clock gate {netlist.instances[index].name} "
                f"({netlist.net_names[net]}) may change while the clock is high"
            )
    ports = {net for port in netlist.outputs.values() for net in port.bits}
    for index in sorted(falling):
        instance = netlist.instances[index]
        outputs = library.cell(instance.type).outputs
        frontier = [instance.pins[pin] for pin in outputs if pin in instance.pins]
        misused = False
        for net in frontier:  # grows while it is walked
            misused |= net in ports
            for sink, pin in sinks[net]:
                cell = library.cell(netlist.instances[sink].type)
                if (sink, pin) in enables:
                    continue
                if cell.combinational and len(cell.inputs) == 1:
                    frontier.append(netlist.instances[sink].pins[cell.outputs[0]])
                else:
                    misused = True
        if misused:
            raise ValueError(
                f"{netlist.name}: {instance.name} ({instance.type}) is clocked by the falling edge "
                f"of the clock and drives more than the enable of a clock gate"
            )
