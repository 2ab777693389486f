"""The bench of a simulator run: many units side by side, one operand bus, one result bus.

Crossing from Python into a simulator costs far more than a product does, and so does a Verilator
build. So all units share one top module, and a clock cycle is one write and one read:

::

    stim [ part 0: rst en clear w a z | 0.. | part 1: ... ]      each part starts on a byte
              |            |                     |
           [unit 0]     [unit 1]              [unit 2]     units of one contract share a part
              |            |                     |
    seen [ acc | 0..    | acc | 0..           | acc | 0..  ]     a register: before the edge
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeVar

from macsmith.experiments.units import get_unit
from macsmith.sim.spec import MacSpec

__all__ = [
    "FULL", "NEAR", "RESET_CYCLES", "TOP", "Effort", "Instance", "Port", "parts", "top_verilog",
]  # fmt: skip

TOP = "macsmith_bench"
RESET_CYCLES = 16  # more than any unit has stages
#: Operand combinations that every unit goes through, and not only the first of its formats.
FEW = 2**10
T = TypeVar("T")
#: Cycles to overflow that every bench drives, of a narrow accumulator.
NEAR = 600
#: Options that name a style: of the unit, and of a tile's requantizers.
_STYLES = ("style", "requantizer")


@dataclass(frozen=True)
class Port:
    """A port by name and bits."""

    name: str
    width: int


@dataclass(frozen=True)
class Effort:
    """How long a unit is driven; what must be covered is the same for every effort, but for what
    takes long itself (all pairs, a long sum, the overflow of a wide accumulator), and for what is
    another module's turn: its bins are that module's too.

    Attributes
    ----------
    random : int
        Cycles of the random run.
    exhaustive : int
        Operand combinations are gone through up to this many; of more, a sample is taken.
    sample : int
        Random combinations, where going through all is too much.
    runs : int
        Runs to overflow, upwards and downwards each; of a stream, runs at random speed.
    long : int
        Cycles with products of one sum, at least; 0 is no such sum.
    stalls : int
        Cycles of the longest stall.
    reach : int
        Cycles that a directed run to overflow may take; a wider accumulator is not driven to it.
    whole_layer : bool
        Whether a GEMM tile gets all channels of the real layer, and not only some.
    turns : int
        Of the many operands of a rounding and a clamp that differ in a bit, and of the many cycles
        of a stream in which it is reset or a port is held up, each module has one in so many, or in
        as many as there are modules that share them with it, if these are fewer. No multiple of 2
        or 5, which is how operands are grouped.
    """

    random: int = 2000
    exhaustive: int = 2**20
    sample: int = 2**16
    runs: int = 8
    long: int = 2**12 + 2**6
    stalls: int = 100
    reach: int = NEAR
    whole_layer: bool = False
    turns: int = 1

    def briefly(self) -> "Effort":
        """The same without long sweeps, for a unit whose formats have had theirs in another."""
        few = min(self.exhaustive, FEW)
        sample = min(self.sample, FEW)
        brief = replace(self, exhaustive=few, sample=sample, long=0, stalls=3)
        return replace(brief, reach=min(self.reach, NEAR), whole_layer=False)


#: Of 24 bits dINT4 x INT8 reaches the ends in 4,700 cycles.
FULL = Effort(reach=20_000, whole_layer=True)


@dataclass(frozen=True)
class Instance:
    """One unit in the bench, and what it is to be driven with.

    Attributes
    ----------
    module : str
        Verilog module; its name in messages too.
    unit : str
        Key of `units.UNITS`.
    spec : MacSpec
    latency : int
        Rising clock edges from operands to result.
    inputs, outputs : tuple of Port
        In order, from bit 0 of the unit's part of a bus; without the clock.
    options : mapping
        The component's own parameters, as it was built.
    effort : Effort
    given : tuple of (w, a, z, clear)
        A MAC's products; where there are any, it is driven with these and nothing else.
    place : int
        Its place among the modules that share what takes turns, from 0.
    sharing : int
        How many those are; 1 shares nothing.
    """

    module: str
    unit: str
    spec: MacSpec
    latency: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    effort: Effort = FULL
    given: tuple[tuple[int, int, int, int], ...] = ()
    place: int = 0
    sharing: int = 1

    @property
    def stim_bytes(self) -> int:
        """Bytes of the unit's part of the operand bus."""
        return -(-sum(port.width for port in self.inputs) // 8)

    @property
    def seen_bytes(self) -> int:
        """Bytes of the unit's part of the result bus."""
        return -(-sum(port.width for port in self.outputs) // 8)

    @cached_property
    def shifts(self) -> dict[str, int]:
        """Lowest bit of each input in the unit's part of the operand bus."""
        return _shifts(self.inputs)

    @cached_property
    def result_shifts(self) -> dict[str, int]:
        """Lowest bit of each output in the unit's part of the result bus."""
        return _shifts(self.outputs)

    @cached_property
    def widths(self) -> dict[str, int]:
        """Bits of each port."""
        return {port.name: port.width for port in (*self.inputs, *self.outputs)}

    def plain(self) -> Any:
        """The component in plain style: ports, latency and throughput are those of every style, and
        the styles of a user's module are not known in a simulator's process."""
        options = {name: x for name, x in self.options.items() if name not in _STYLES}
        return get_unit(self.unit).make(self.spec, **options)

    @property
    def turn(self) -> tuple[int, int]:
        """Which part of what takes turns this module has, and of how many: see `Effort.turns`."""
        turns = min(self.effort.turns, self.sharing)
        return self.place % turns, turns

    def in_turn(self, many: Sequence[T]) -> Sequence[T]:
        """Those of many operands whose turn it is in this module; the modules that share them have
        all of them together."""
        first, step = self.turn
        return many[first::step]

    @property
    def reset_word(self) -> int:
        """The unit's part of the operand bus with the reset high, and all else 0."""
        return 1 << self.shifts["rst"] if "rst" in self.shifts else 0

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

    def pack_results(self, **values: int) -> int:
        """The unit's part of the result bus, of outputs that may be negative."""
        word = 0
        for port in self.outputs:
            word |= (values[port.name] & (2**port.width - 1)) << self.result_shifts[port.name]
        return word

    def split_results(self, bits: str) -> dict[str, str]:
        """Outputs by name as the simulator prints them, most significant bit first."""
        end, split = len(bits), {}
        for port in self.outputs:
            split[port.name] = bits[end - port.width : end]
            end -= port.width
        return split


def _shifts(ports: Iterable[Port]) -> dict[str, int]:
    ports = list(ports)
    ends = accumulate((port.width for port in ports), initial=0)
    return {port.name: end for port, end in zip(ports, ends, strict=False)}


def parts(keys: Sequence[Any], sizes: Sequence[int]) -> tuple[list[int], int]:
    """First byte of each instance's part of the operand bus, and the bytes of the whole.

    Instances of one key share a part.
    """
    start, total, at = {}, 0, []
    for key, size in zip(keys, sizes, strict=True):
        if key not in start:
            start[key] = total
            total += size
        at.append(start[key])
    return at, total


def top_verilog(instances: Sequence[Instance], keys: Sequence[Any] | None = None) -> str:
    r"""Verilog of the top module; ``clk`` drives every unit that has a register.

    Instances of one key are driven with the same; without keys, each by itself. A cycle of ``clk``
    is two of ``tick``: between, while ``clk`` is still high, ``wake`` rises, and operands change.
    So a register at the wrong edge has them half a cycle before it should.

    ::

        tick  __/--\__/--\__/--\__/--\__
        clk   __/-----\_____/-----\_____      rises: seen
        wake  _____/-----\_____/-----\__
    """
    keys = range(len(instances)) if keys is None else keys
    starts, stim_bytes = parts(keys, [one.stim_bytes for one in instances])
    lines, results = [], []
    for k, (one, start) in enumerate(zip(instances, starts, strict=True)):
        pins = [".clk(clk)"] if one.latency else []
        for port in one.inputs:
            low = 8 * start + one.shifts[port.name]
            pins.append(f".{port.name}(stim[{low + port.width - 1}:{low}])")
        width = sum(port.width for port in one.outputs)
        for port in one.outputs:
            low = one.result_shifts[port.name]
            pins.append(f".{port.name}(result_{k}[{low + port.width - 1}:{low}])")
        lines += [
            f"  wire [{width - 1}:0] result_{k};",
            f"  {one.module} unit_{k}({', '.join(pins)});",
        ]
        pad = 8 * one.seen_bytes - width
        results.append(f"{pad}'d0, result_{k}" if pad else f"result_{k}")
    seen = 8 * sum(one.seen_bytes for one in instances)
    return "\n".join([
        f"module {TOP}(",
        "  input tick /* verilator public_flat_rw */,",
        f"  input [{8 * stim_bytes - 1}:0] stim /* verilator public_flat_rw */,",
        f"  output reg [{seen - 1}:0] seen /* verilator public_flat_rd */,",
        "  output reg wake /* verilator public_flat_rd */",
        ");",
        "  reg clk = 1'b0;",
        "  always @(posedge tick) clk <= ~clk;",
        "  always @(negedge tick) wake <= clk;",
        *lines,
        # A register, because a net of thousands of bits is slow where it changes bit by bit.
        f"  always @(posedge clk) seen <= {{{', '.join(reversed(results))}}};",
        "endmodule",
        "",
    ])
