"""The bench of a simulator run: many units side by side, one operand bus, one result bus.

Crossing from Python into a simulator costs far more than a product does, and so does a Verilator
build. So all units share one top module, and a clock cycle is one write and one read:

::

    stim [ unit 0: rst en clear w a z | 0.. | unit 1: ... ]      each unit starts on a byte
              |                                |
           [unit 0]                         [unit 1]
              |                                |
    seen [ acc | 0..                  | acc | 0..       ]     a register: what was before the edge
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from macsmith.sim.spec import MacSpec

__all__ = ["TOP", "Port", "Unit", "top_verilog"]

TOP = "macsmith_bench"


@dataclass(frozen=True)
class Port:
    """A port by name and bits."""

    name: str
    width: int


@dataclass(frozen=True)
class Unit:
    """One instance in the bench, and what it is to be driven with.

    Attributes
    ----------
    module : str
        Verilog module; its name in messages too.
    kind : str
        Key of `stimulus.STIMULI`.
    spec : MacSpec
    latency : int
        Rising clock edges from operands to result.
    inputs : tuple of Port
        In order, from bit 0 of the unit's part of the bus; without the clock.
    output : Port
    share : tuple of int
        ``(i, n)``: of the pairs of operand codes, the i-th of n parts; n = 0: no pairs.
    given : tuple of (w, a, z, clear)
        A MAC's products; where there are any, it is driven with these and nothing else.
    """

    module: str
    kind: str
    spec: MacSpec
    latency: int
    inputs: tuple[Port, ...]
    output: Port
    share: tuple[int, int] = (0, 1)
    given: tuple[tuple[int, int, int, int], ...] = ()

    @property
    def stim_bytes(self) -> int:
        """Bytes of the unit's part of the operand bus."""
        return -(-sum(port.width for port in self.inputs) // 8)

    @property
    def seen_bytes(self) -> int:
        """Bytes of the unit's part of the result bus."""
        return -(-self.output.width // 8)

    @cached_property
    def shifts(self) -> dict[str, int]:
        """Lowest bit of each input in the unit's part of the operand bus."""
        ends = accumulate((port.width for port in self.inputs), initial=0)
        return {port.name: end for port, end in zip(self.inputs, ends, strict=False)}

    def pack(self, **values: int) -> int:
        """The unit's part of the operand bus; values of ports it does not have are left out."""
        word = 0
        for name, shift in self.shifts.items():
            word |= values[name] << shift
        return word

    def unpack(self, word: int) -> dict[str, int]:
        """Inputs by name, of the unit's part of the operand bus."""
        shifts = self.shifts
        return {p.name: word >> shifts[p.name] & (2**p.width - 1) for p in self.inputs}


def top_verilog(units: list[Unit]) -> str:
    """Verilog of the top module; ``clk`` drives every unit that has a register."""
    lines, results = [], []
    stim = seen = 0
    for k, unit in enumerate(units):
        pins = [".clk(clk)"] if unit.latency else []
        for port in unit.inputs:
            low = stim + unit.shifts[port.name]
            pins.append(f".{port.name}(stim[{low + port.width - 1}:{low}])")
        out = unit.output
        pins.append(f".{out.name}(result_{k})")
        lines += [
            f"  wire [{out.width - 1}:0] result_{k};",
            f"  {unit.module} unit_{k}({', '.join(pins)});",
        ]
        pad = 8 * unit.seen_bytes - out.width
        results.append(f"{pad}'d0, result_{k}" if pad else f"result_{k}")
        stim += 8 * unit.stim_bytes
        seen += 8 * unit.seen_bytes
    return "\n".join([
        f"module {TOP}(",
        "  input clk /* verilator public_flat_rw */,",
        f"  input [{stim - 1}:0] stim /* verilator public_flat_rw */,",
        f"  output reg [{seen - 1}:0] seen /* verilator public_flat_rd */",
        ");",
        *lines,
        # A register, because a net of thousands of bits is slow where it changes bit by bit.
        f"  always @(posedge clk) seen <= {{{', '.join(reversed(results))}}};",
        "endmodule",
        "",
    ])
