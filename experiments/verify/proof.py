"""Formal equivalence of combinational units, by Yosys' SAT solver."""

import re

from amaranth import Cat, Module
from amaranth.back import rtlil
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macsmith.hw import yosys

__all__ = ["prove_equal"]


class _Miter(wiring.Component):
    """``same`` is 1 where two components of one signature give the same outputs for one input."""

    def __init__(self, left: wiring.Component, right: wiring.Component):
        self.left, self.right = left, right
        self.members = left.signature.members
        self.inputs = [name for name, member in self.members.items() if member.flow is In]
        super().__init__({**{name: self.members[name] for name in self.inputs}, "same": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.left, m.submodules.right = self.left, self.right
        differ = []
        for name in self.members:
            left, right = getattr(self.left, name), getattr(self.right, name)
            if name in self.inputs:
                m.d.comb += [left.eq(getattr(self, name)), right.eq(getattr(self, name))]
            else:
                differ.append(left != right)
        m.d.comb += self.same.eq(~Cat(differ).any())
        return m


def prove_equal(left: wiring.Component, right: wiring.Component) -> dict[str, int] | None:
    """Prove that two combinational components are equal for every input.

    None if they are, else inputs for which they differ. ValueError if their ports differ.
    """
    if left.signature != right.signature:
        raise ValueError(f"ports differ: {left.signature!r} and {right.signature!r}")
    passes = [
        "read_rtlil miter.il",
        "proc",
        "flatten",
        "opt -full",
        "tee -o proof.txt sat -prove same 1 -show-inputs miter",
    ]
    text = rtlil.convert(_Miter(left, right), name="miter", emit_src=False)
    proof = yosys.run(passes, {"miter.il": text}, ["proof.txt"])["proof.txt"]
    if "no model found: SUCCESS!" in proof:
        return None
    return {
        name: int(value) for name, value in re.findall(r"^ +\\(\w+) +(\d+) ", proof, re.MULTILINE)
    }
