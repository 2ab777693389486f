"""A mapped netlist as data: cells of a library, nets, ports; from Yosys, to Verilog."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from macsmith.hw.export import KEYWORDS
from macsmith.hw.liberty import Library

__all__ = ["CONST0", "CONST1", "Instance", "Netlist", "Port", "from_yosys", "identifier",
           "to_verilog"]  # fmt: skip

CONST0, CONST1 = 0, 1  # the two nets that every netlist has: constant zero and one
_KEYWORDS = frozenset(KEYWORDS.split())
_CONSTANTS = {"0": CONST0, "x": CONST0, "z": CONST0, "1": CONST1}


@dataclass(frozen=True, slots=True)
class Instance:
    """One cell of the library; `pins` maps each connected pin to its net."""

    name: str
    type: str
    pins: dict[str, int]


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the module; `bits` are its nets, least significant first."""

    direction: str  # "input" or "output"
    bits: tuple[int, ...]
    signed: bool = False


@dataclass(frozen=True)
class Netlist:
    """One flat module. Nets are numbered 0 .. len(net_names) - 1; nets 0 and 1 are constants."""

    name: str
    ports: dict[str, Port]
    instances: tuple[Instance, ...] = field(repr=False)
    net_names: tuple[str, ...] = field(repr=False)

    @property
    def inputs(self) -> dict[str, Port]:
        return {name: port for name, port in self.ports.items() if port.direction == "input"}

    @property
    def outputs(self) -> dict[str, Port]:
        return {name: port for name, port in self.ports.items() if port.direction == "output"}

    @cached_property
    def cell_counts(self) -> dict[str, int]:
        """How many instances of each cell there are, by the cell's name."""
        counts: dict[str, int] = defaultdict(int)
        for instance in self.instances:
            counts[instance.type] += 1
        return dict(sorted(counts.items()))

    def sinks(self, library: Library) -> list[list[tuple[int, str]]]:
        """Per net, the (instance index, pin) of every cell input that it drives."""
        found: list[list[tuple[int, str]]] = [[] for _ in self.net_names]
        for index, instance in enumerate(self.instances):
            inputs = library.cell(instance.type).inputs
            for pin, net in instance.pins.items():
                if pin in inputs:
                    found[net].append((index, pin))
        return found

    def require_connected(self, library: Library) -> None:
        """ValueError, naming it, if an input of a cell is on no net: its value would be anything.

        That holds for inputs that no function of the cell reads as well: Yosys leaves none open.
        """
        for instance in self.instances:
            for pin in library.cell(instance.type).inputs:
                if pin not in instance.pins:
                    raise ValueError(
                        f"{self.name}: input {pin} of {instance.name} ({instance.type}) is not "
                        "connected"
                    )

    def combinational_order(self, library: Library) -> list[int]:
        """Indices of the stateless instances, each after the ones that drive it.

        ValueError on a combinational loop, naming a net of it.
        """
        cells = [library.cell(instance.type) for instance in self.instances]
        sinks = self.sinks(library)
        driven = {
            net
            for instance, cell in zip(self.instances, cells, strict=True)
            if not cell.sequential
            for pin, net in instance.pins.items()
            if pin in cell.outputs
        }
        waiting = {
            i: sum(instance.pins.get(pin) in driven for pin in cell.inputs)
            for i, (instance, cell) in enumerate(zip(self.instances, cells, strict=True))
            if not cell.sequential
        }
        ready = [i for i, count in waiting.items() if count == 0]
        order = []
        for i in ready:  # grows while it is walked
            order.append(i)
            for pin in cells[i].outputs:
                for sink, _ in sinks[self.instances[i].pins[pin]] if self._has(i, pin) else ():
                    if sink in waiting:
                        waiting[sink] -= 1
                        if waiting[sink] == 0:
                            ready.append(sink)
        if len(order) != len(waiting):
            stuck = min(i for i, count in waiting.items() if count > 0)
            net = next(iter(self.instances[stuck].pins.values()))
            raise ValueError(f"{self.name}: combinational loop through net {self.net_names[net]}")
        return order

    def _has(self, index: int, pin: str) -> bool:
        return pin in self.instances[index].pins


def from_yosys(document: dict, top: str) -> Netlist:
    """The module `top` of what Yosys's `write_json` wrote.

    Cells keep Yosys's order and are named u0, u1, ...: Yosys's own names hold running counters.
    Undefined bits become constant zero. Nets take the shortest public name that they have.
    """
    module = document["modules"][top]
    numbers: dict[int | str, int] = {}

    def nets(bits: list[int | str]) -> tuple[int, ...]:
        return tuple(
            _CONSTANTS[bit] if bit in _CONSTANTS else numbers.setdefault(bit, len(numbers) + 2)
            for bit in bits
        )

    ports = {
        name: Port(port["direction"], nets(port["bits"]), bool(port.get("signed")))
        for name, port in module["ports"].items()
    }
    instances = tuple(
        Instance(
            f"u{index}",
            cell["type"],
            {pin: nets(bits)[0] for pin, bits in cell["connections"].items() if bits},
        )
        for index, cell in enumerate(module["cells"].values())
    )
    names = ["0", "1", *(f"n{i}" for i in range(2, len(numbers) + 2))]
    public: dict[int, str] = {}
    for name, wire in module["netnames"].items():
        if not wire["hide_name"]:
            for index, bit in enumerate(wire["bits"]):
                label = name if len(wire["bits"]) == 1 else f"{name}[{index}]"
                net = numbers.get(bit, CONST0)
                if net > CONST1 and len(label) < len(public.get(net, label + " ")):
                    public[net] = label
    for net, label in public.items():
        names[net] = label
    return Netlist(top, ports, instances, tuple(names))


def to_verilog(netlist: Netlist) -> str:
    """Structural Verilog-2001 without `signed`, which OpenSTA's reader does not know.

    Nets are port bits where they can be and n<number> elsewhere; instances keep their names, so
    that reports of other tools can be matched with ours.
    """
    ports = ", ".join(map(identifier, netlist.ports))
    lines = [f"module {identifier(netlist.name)} ({ports});"]
    wire = {CONST0: "1'b0", CONST1: "1'b1"}
    assigns = []
    for name, port in netlist.ports.items():
        width = f"[{len(port.bits) - 1}:0] " if len(port.bits) > 1 else ""
        lines.append(f"  {port.direction} {width}{identifier(name)};")
    # inputs first: a net that is an input and an output takes its name from what drives it
    for name, port in (*netlist.inputs.items(), *netlist.outputs.items()):
        for bit, net in _named_bits(name, port):
            if net in wire and port.direction == "output":
                assigns.append(f"  assign {bit} = {wire[net]};")
            wire.setdefault(net, bit)
    used = sorted({net for instance in netlist.instances for net in instance.pins.values()})
    for net in used:
        if net not in wire:
            wire[net] = f"n{net}"
            lines.append(f"  wire n{net};")
    lines += assigns
    for instance in netlist.instances:
        pins = ", ".join(f".{identifier(pin)}({wire[net]})" for pin, net in instance.pins.items())
        lines.append(f"  {identifier(instance.type)} {instance.name} ({pins});")
    return "\n".join([*lines, "endmodule", ""])


def _named_bits(name: str, port: Port) -> Iterator[tuple[str, int]]:
    name = identifier(name)
    for index, net in enumerate(port.bits):
        yield (name if len(port.bits) == 1 else f"{name}[{index}]"), net


def identifier(name: str) -> str:
    """A name as Verilog takes it, escaped where it has to be."""
    plain = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and name not in _KEYWORDS
    return name if plain else f"\\{name} "
