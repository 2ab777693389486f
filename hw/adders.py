"""Adders that stay adders: what a technology library may have as one cell.

Synthesis finds back neither the full adder in its gates nor the one structure in which it is
cheap, so the units say where their full adders are. Whoever elaborates a unit with the platform
`KEEP_ADDERS` gets them as instances of the black box `BOX`; everyone else, simulators and Verilog
included, gets the two equations.
"""

from amaranth import Const, Instance, Module, Signal, Value
from amaranth.hdl import Elaboratable

__all__ = ["BOX", "KEEP_ADDERS", "FullAdder", "HalfAdder"]

BOX = "macsmith_adder"  # pins A, B, C in, X (carry) and Y (sum) out


class _KeepAdders:
    """Platform of `amaranth.back.rtlil.convert` that makes every adder a `BOX`."""


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
            m.submodules.box = _box(a, b, c, self)
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
        if platform is KEEP_ADDERS:
            m.submodules.box = _box(a, b, Const(self.one, 1), self)
            return m
        m.d.comb += [
            self.sum.eq(a ^ b ^ self.one),
            self.carry.eq(a | b if self.one else a & b),
        ]
        return m


def _box(a: Value, b: Value, c: Value, adder: FullAdder | HalfAdder) -> Instance:
    return Instance(BOX, i_A=a, i_B=b, i_C=c, o_X=adder.carry, o_Y=adder.sum)
