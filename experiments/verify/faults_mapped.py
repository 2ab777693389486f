"""Faults of a mapped netlist, one at a time: at cells, pins, wires and flip-flops."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial

from macsmith.hw.cell import Cell
from macsmith.hw.clocking import clock_tree
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import CONST0, CONST1, Instance, Netlist

__all__ = ["Faults"]


class Faults:
    """Every fault that can be made in a netlist."""

    def __init__(self, netlist: Netlist, library: Library) -> None:
        self.netlist, self.cells = netlist, library
        tree = clock_tree(self.netlist, self.cells, "clk")
        clocks = tree.nets
        self.data = sorted(set(range(2, len(self.netlist.net_names))) - clocks)
        self.by_operator: dict[str, list[tuple[str, Callable]]] = {}
        for index, instance in enumerate(self.netlist.instances):
            if index in tree.instances and not any(i == index for i, _ in tree.enables):
                continue
            for operator, place, make in self._at(index, instance, clocks):
                self.by_operator.setdefault(operator, []).append((place, make))

    def draw(self, rng: random.Random) -> tuple[str, str, Netlist] | None:
        """(operator, place, netlist); None where it is no circuit, but a loop for instance."""
        operator = rng.choice(sorted(self.by_operator))
        place, make = rng.choice(self.by_operator[operator])
        place, netlist = make(place, rng)
        try:
            netlist.combinational_order(self.cells)
            clock_tree(netlist, self.cells, "clk")
        except ValueError:
            return None
        return operator, place, netlist

    def _at(self, index: int, instance: Instance, clocks: frozenset[int]) -> Iterator[tuple]:
        cell = self.cells.cell(instance.type)
        where = f"{instance.name} ({instance.type})"
        for other in _exchangeable(self.cells, instance.type) if cell.combinational else ():
            yield "other cell", f"{where} as {other}", self._same(index, type=other)
        pins = [p for p in cell.inputs if p in instance.pins and instance.pins[p] not in clocks]
        for k, one in enumerate(pins):
            for two in pins[k + 1 :]:
                nets = instance.pins[one], instance.pins[two]
                if cell.sequential or nets[0] == nets[1] or _symmetric(cell, one, two):
                    continue
                swap = instance.pins | {one: nets[1], two: nets[0]}
                yield "pins exchanged", f"{where} {one} {two}", self._same(index, pins=swap)
        for pin in pins:
            net, place = instance.pins[pin], f"{where} {pin}"
            for value, constant in ((0, CONST0), (1, CONST1)):
                if net != constant:
                    tied = instance.pins | {pin: constant}
                    yield f"stuck at {value}", place, self._same(index, pins=tied)
            yield "inverted", place, partial(self._inverted, index, pin, net)
            yield "other net", place, partial(self._rewired, index, pin)
        if cell.ff is not None and cell.ff.next_state.op in ("var", "not"):
            yield "register", f"{where} holds", partial(self._register, index, True)
            yield "register", f"{where} left out", partial(self._register, index, False)

    def _same(self, index: int, **changes) -> Callable:
        return lambda place, rng: (place, self._put(index, **changes))

    def _put(self, index: int, **changes) -> Netlist:
        instances = list(self.netlist.instances)
        instances[index] = replace(instances[index], **changes)
        return replace(self.netlist, instances=tuple(instances))

    def _with_inverter(self, netlist: Netlist, net: int) -> tuple[Netlist, int]:
        """The netlist with one more inverter; the net that it drives."""
        cell, fresh = self.cells.inverter, len(netlist.net_names)
        (pin_in,), (pin_out,) = cell.inputs, cell.outputs
        inverter = Instance("fault", cell.name, {pin_in: net, pin_out: fresh})
        return replace(
            netlist,
            instances=(*netlist.instances, inverter),
            net_names=(*netlist.net_names, "fault"),
        ), fresh

    def _inverted(self, index: int, pin: str, net: int, place: str, _: random.Random):
        netlist, fresh = self._with_inverter(self.netlist, net)
        instances = list(netlist.instances)
        pins = instances[index].pins | {pin: fresh}
        instances[index] = replace(instances[index], pins=pins)
        return place, replace(netlist, instances=tuple(instances))

    def _rewired(self, index: int, pin: str, place: str, rng: random.Random):
        pins = self.netlist.instances[index].pins
        net = rng.choice([net for net in self.data if net != pins[pin]])
        name = self.netlist.net_names[net]
        return f"{place} to {name}", self._put(index, pins=pins | {pin: net})

    def _register(self, index: int, holds: bool, place: str, _: random.Random):
        """The flip-flop takes its own output, or what it takes is used instead of its output."""
        instance = self.netlist.instances[index]
        cell = self.cells.cell(instance.type)
        (data,) = cell.ff.next_state.variables()
        out = next(pin for pin in cell.outputs if pin in instance.pins)
        function = cell.pins[out].function
        inverts = (function.op == "not") ^ (cell.ff.next_state.op == "not")
        inverts ^= function.variables() == (cell.ff.inverse,)
        taken = instance.pins[out] if holds else instance.pins[data]
        netlist = self.netlist
        if inverts:
            netlist, taken = self._with_inverter(netlist, taken)
        if holds:
            instances = list(netlist.instances)
            instances[index] = replace(instance, pins=instance.pins | {data: taken})
            return place, replace(netlist, instances=tuple(instances))
        return place, _instead(netlist, self.cells, instance.pins[out], taken)


def _instead(netlist: Netlist, library: Library, net: int, other: int) -> Netlist:
    """Every use of a net is one of another."""
    instances = []
    for instance in netlist.instances:
        inputs = library.cell(instance.type).inputs
        pins = {p: other if p in inputs and n == net else n for p, n in instance.pins.items()}
        instances.append(replace(instance, pins=pins))
    ports = {
        name: replace(port, bits=tuple(other if bit == net else bit for bit in port.bits))
        if port.direction == "output"
        else port
        for name, port in netlist.ports.items()
    }
    return replace(netlist, instances=tuple(instances), ports=ports)


@lru_cache(maxsize=4)
def _by_pins(library: Library) -> dict[tuple, list[str]]:
    """Stateless cells that synthesis may use, by their pins."""
    found: dict[tuple, list[str]] = {}
    for name in sorted(library.functions):
        cell = library.cell(name)
        if cell.combinational and cell.inputs:
            found.setdefault((frozenset(cell.inputs), frozenset(cell.outputs)), []).append(name)
    return found


@lru_cache(maxsize=512)
def _exchangeable(library: Library, name: str) -> tuple[str, ...]:
    """Cells with the same pins that compute something else; of equal ones the first."""
    cell = library.cell(name)
    found = {_truth(cell): name}
    for other in _by_pins(library).get((frozenset(cell.inputs), frozenset(cell.outputs)), ()):
        found.setdefault(_truth(library.cell(other)), other)
    return tuple(other for other in found.values() if other != name)


def _truth(cell: Cell, exchanged: tuple[str, str] | None = None) -> tuple[bool, ...]:
    """Every output for all inputs, both in order of name; of two pins exchanged as given."""
    names = sorted(cell.inputs)
    one, two = exchanged or (names[0], names[0])
    at = [{one: two, two: one}.get(name, name) for name in names]
    return tuple(
        bool(cell.pins[out].function.evaluate(dict(zip(at, values, strict=True))))
        for out in sorted(cell.outputs)
        for values in itertools.product((False, True), repeat=len(names))
    )


def _symmetric(cell: Cell, one: str, two: str) -> bool:
    return _truth(cell) == _truth(cell, (one, two))
