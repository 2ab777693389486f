"""Adders that stay adders: what a technology library may have as one cell.

Synthesis finds back neither the full adder in its gates nor the one structure in which it is
cheap, so the units say where their full adders are. Whoever elaborates a unit with the platform
`KEEP_ADDERS` gets them as cells of Yosys's type ``$fa``; everyone else, simulators and Verilog
included, gets the two equations.
"""

from amaranth import Instance, Module, Signal, Value
from amaranth.hdl import Elaboratable

__all__ = ["KEEP_ADDERS", "FullAdder", "HalfAdder"]


class _KeepAdders:
    """Platform of `amaranth.back.rtlil.convert` that makes every `FullAdder` one cell."""


KEEP_ADDERS = _KeepAdders()


class FullAdder(Elaboratable):
    """Combinational: ``2 * carry + sum = a + b + c``, one bit each.

    No `wiring.Component`: a compressor tree has hundreds, and the tree is the unit.
    """

    def __init__(self, a: Value, b: Value, c: Value):
        self.operands = a, b, c
        self.sum, self.carry = Signal(name="sum"), Signal(name="carry")

    def elaborate(self, platform):
        m = Module()
        a, b, c = self.operands
        if platform is KEEP_ADDERS:
            ports = {"i_A": a, "i_B": b, "i_C": c, "o_Y": self.sum, "o_X": self.carry}
            m.submodules.cell = Instance("$fa", p_WIDTH=1, **ports)
            return m
        either = Signal()
        m.d.comb += [
            either.eq(a ^ b),
            self.sum.eq(either ^ c),
            self.carry.eq(a & b | either & c),
        ]
        return m


class HalfAdder(Elaboratable):
    """Combinational: ``2 * carry + sum = a + b + one``, one bit each; ``one`` is 0 or 1."""

    def __init__(self, a: Value, b: Value, one: int = 0):
        self.operands, self.one = (a, b), one
        self.sum, self.carry = Signal(name="sum"), Signal(name="carry")

    def elaborate(self, platform):
        m = Module()
        a, b = self.operands
        m.d.comb += [
            self.sum.eq(a ^ b ^ self.one),
            self.carry.eq(a | b if self.one else a & b),
        ]
        return m
