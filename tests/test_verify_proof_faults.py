# amaranth: UnusedElaboratable=no
"""Formal proofs: a fault that is planted is found, in every kind of step."""

import time
from dataclasses import replace

import pytest
from amaranth import Module, Mux

from macsmith.experiments.verify.proof import decide, pose
from macsmith.hw.aig_yosys import to_aigs
from macsmith.hw.dot import DotProduct
from macsmith.hw.mac import Mac
from macsmith.sim.spec import MacSpec

INT8 = MacSpec("int8", "int8", 32)
DINT4 = MacSpec("dint4", "int8", 20, "saturate")
WRAPPED = MacSpec("dint4", "int8", 20, "wrap")
SOON = 60.0


class Faulty(Mac):
    """A unit of a style, wrong where the accumulator and the weight are rare values."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.right = right = Mac(self.spec, self.style, self.pipeline)
        wrong = (right.acc[:14] == 0x1234) & (self.w == 5)
        m.d.comb += [
            right.en.eq(self.en & ~wrong),
            right.clear.eq(self.clear),
            right.w.eq(self.w),
            right.a.eq(self.a),
            self.acc.eq(right.acc),
        ]
        return m


@pytest.mark.parametrize(
    ("spec", "style", "pipeline"),
    [
        (INT8, "carrysave-booth4", 0),
        (INT8, "fused-picked", 1),
        (DINT4, "gated-dadda", 0),
    ],
)
def test_a_planted_fault_is_found_in_every_kind_of_step(spec, style, pipeline):
    component = Faulty(spec, style, pipeline)
    graphs = to_aigs({"plain": Mac(spec), "unit": component})
    problem = pose(graphs["plain"], graphs["unit"], component)
    proof = decide(problem, ("mac", style, "", pipeline), time.monotonic(), SOON)
    assert proof.verdict == "differs"
    assert proof.counterexample["w at edge 0"] == 5


@pytest.mark.parametrize("style", ["fused-picked", "carrysave-booth4"])
def test_a_counterexample_is_one_with_its_strobes(style):
    """What golden says of it is what was wanted, and what the fault does is what came."""
    component = Faulty(INT8, style)
    graphs = to_aigs({"plain": Mac(INT8), "unit": component})
    problem = pose(graphs["plain"], graphs["unit"], component)
    proof = decide(problem, ("mac", style, "", 0), time.monotonic(), SOON)
    found = dict(proof.counterexample)
    acc = sum(value for name, value in found.items() if name.startswith("state")) % 2**32
    w, a = (INT8.weights.levels[found[f"{name} at edge 0"]] for name in ("w", "a"))
    rst, en, clear = (found[f"{name} at edge 0"] for name in ("rst", "en", "clear"))
    assert (rst, en) == (0, 1)
    assert proof.word == "next acc"
    assert proof.wanted == (w * a + (0 if clear else acc)) % 2**32
    assert proof.got == acc
    assert f"{proof.got:#x} and not {proof.wanted:#x}: " in proof.line
    assert not [name for name in found if "edge 1" in name or "$" in name]


def test_a_gated_accumulator_is_proven_and_its_faults_are_found():
    component = Mac(WRAPPED, "gated-booth4")
    graphs = to_aigs({"plain": Mac(WRAPPED), "unit": component})
    assert "enable" not in graphs["unit"].register_widths  # on the falling edge: no state
    proof = decide(
        pose(graphs["plain"], graphs["unit"], component), ("", "", "", 0), time.monotonic()
    )
    assert proof.verdict == "proven", proof.line
    for k, (name, bit) in enumerate(graphs["unit"].registers):
        if name == "acc_reg" and bit in (0, 19):
            lits = list(graphs["unit"].next_lits)
            lits[k] ^= 1
            wrong = replace(graphs["unit"], next_lits=tuple(lits))
            problem = pose(graphs["plain"], wrong, component)
            assert decide(problem, ("", "", "", 0), time.monotonic(), SOON).verdict == "differs"


def test_a_fault_in_one_lane_is_found():
    spec = MacSpec("dint4", "int8", 32, "wrap", 2)

    class Wrong(DotProduct):
        def elaborate(self, platform):
            m = Module()
            m.submodules.right = right = DotProduct(self.spec, self.style)
            swapped = (self.w[1] == 8) & (self.a[0] == 0x80) & (self.a[1] == 0x7F)
            m.d.comb += [
                right.en.eq(self.en),
                right.clear.eq(self.clear),
                right.w[0].eq(self.w[0]),
                right.w[1].eq(Mux(swapped, 0, self.w[1])),
                right.a.eq(self.a),
                self.acc.eq(right.acc),
            ]
            return m

    component = Wrong(spec, "fused-booth4")
    graphs = to_aigs({"plain": DotProduct(spec), "unit": component})
    problem = pose(graphs["plain"], graphs["unit"], component)
    proof = decide(problem, ("dot", "", "", 0), time.monotonic(), SOON)
    assert proof.verdict == "differs"
    assert proof.counterexample["w at edge 0"] >> 4 == 8
