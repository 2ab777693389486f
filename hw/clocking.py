"""Which cells a clock reaches, and whether every flip-flop listens to its rising edge."""

from dataclasses import dataclass

from macsmith.hw.liberty import Library
from macsmith.hw.netlist import Netlist

__all__ = ["ClockTree", "clock_tree"]


@dataclass(frozen=True, slots=True)
class ClockTree:
    """`nets` carry the clock (empty where no flip-flop is); `instances` are the buffers and
    inverters between them, in order; `flip_flops` are all flip-flops of the netlist."""

    nets: frozenset[int]
    instances: tuple[int, ...]
    flip_flops: tuple[int, ...]


def clock_tree(netlist: Netlist, library: Library, clock: str) -> ClockTree:
    """Follow the port `clock` through buffers and inverters to the flip-flops.

    ValueError, one line: a latch or other stateful cell that is no flip-flop, no such port, or a
    flip-flop whose state does not change on the rising edge of the port.
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
    # Values of each clock net while the port is (low, high).
    levels = {port.bits[0]: (False, True)}
    instances = []
    sinks = netlist.sinks(library)
    frontier = [port.bits[0]]
    for net in frontier:  # grows while it is walked
        for index, _ in sinks[net]:
            instance = netlist.instances[index]
            cell = library.cell(instance.type)
            if not cell.combinational or len(cell.inputs) != 1:
                continue
            instances.append(index)
            for pin in cell.outputs:
                function = cell.pins[pin].function
                values = tuple(bool(function.evaluate({cell.inputs[0]: v})) for v in levels[net])
                levels[instance.pins[pin]] = values
                frontier.append(instance.pins[pin])
    for index in stateful:
        instance = netlist.instances[index]
        clocked_on = library.cell(instance.type).ff.clocked_on
        pins = [instance.pins.get(name, -1) for name in clocked_on.variables()]
        envs = (
            {
                n: levels.get(p, (None,) * 2)[v]
                for n, p in zip(clocked_on.variables(), pins, strict=True)
            }
            for v in (0, 1)
        )
        reached = all(pin in levels for pin in pins)
        if not reached or [bool(clocked_on.evaluate(env)) for env in envs] != [False, True]:
            raise ValueError(
                f"{netlist.name}: {instance.name} ({instance.type}) is not clocked by the rising "
                f"edge of {clock!r}"
            )
    return ClockTree(frozenset(levels), tuple(instances), tuple(stateful))
