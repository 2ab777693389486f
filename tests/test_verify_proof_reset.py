# amaranth: UnusedElaboratable=no
"""Faults that show only in states which no reset leads to are none, all others are found."""

import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macsmith.experiments.verify.mutants_rtl import LEVEL
from macsmith.experiments.verify.mutants_subjects import Mutant, Subject
from macsmith.experiments.verify.mutants_verdict import judge
from macsmith.experiments.verify.proof_reset import first_difference
from macsmith.hw.aig_yosys import to_aigs
from macsmith.sim.spec import MacSpec

SOON = 60.0


class Counter(wiring.Component):
    """0, 1, 2 in turn where `en` is high, from ``init`` on; `odd` is wrong at count ``wrong``."""

    latency = 1

    def __init__(self, wrong=None, init=0, reset_less=False):
        self.wrong, self.init, self.reset_less = wrong, init, reset_less
        super().__init__({"en": In(1), "odd": Out(1)})

    def elaborate(self, platform):
        m = Module()
        count = Signal(2, init=self.init)
        seen = Signal(reset_less=self.reset_less)
        m.d.sync += seen.eq(self.en)
        with m.If(self.en):
            m.d.sync += count.eq(count + 1)
            with m.If(count == 2):
                m.d.sync += count.eq(0)
        wrong = 0 if self.wrong is None else count == self.wrong
        m.d.comb += self.odd.eq(count[0] ^ wrong ^ seen)
        return m


def compared(**fault):
    init = fault.get("init", 0)
    graphs = to_aigs({"plain": Counter(init=init), "faulty": Counter(**fault)})
    return first_difference(graphs["plain"], graphs["faulty"], SOON)


def test_what_no_reset_leads_to_is_no_difference():
    assert compared(wrong=3) is None
    assert compared(wrong=3, init=1) is None


@pytest.mark.parametrize(("fault", "clock"), [
    ({"wrong": 0}, 0), ({"wrong": 1}, 1), ({"wrong": 2}, 2),
    ({"wrong": 1, "init": 1}, 0), ({"wrong": 2, "init": 1}, 1), ({"wrong": 0, "init": 1}, 2),
    ({"wrong": 3, "init": 3}, 0),
])  # fmt: skip
def test_a_difference_is_found_in_the_first_clock_that_shows_it(fault, clock):
    assert compared(**fault) == clock


def test_another_first_state_is_a_difference():
    graphs = to_aigs({"plain": Counter(), "faulty": Counter(init=1)})
    assert first_difference(graphs["plain"], graphs["faulty"], SOON) == 0


def test_a_register_that_is_not_reset_is_refused():
    with pytest.raises(ValueError, match="register 'seen' is not reset"):
        compared(reset_less=True)


@pytest.mark.parametrize(("wrong", "word"), [(3, "equivalent"), (2, "survived")])
def test_a_mutant_is_excused_by_it(wrong, word):
    """Register by register the two differ, in a state that is never reached or in one that is."""
    graphs = to_aigs({"whole": Counter(), "faulty": Counter(wrong=wrong)})
    whole = graphs["whole"]
    mutant = Mutant("m", Subject("mac", MacSpec("int4", "int4", 10)), LEVEL, "o", "p", "")
    verdict = judge(mutant, whole, graphs["faulty"], whole, Counter(), SOON)
    assert verdict.word == word
    said = {
        "equivalent": "in all states that are reached",
        "survived": "; outputs can differ 2 clocks after a reset",
    }
    assert said[word] in verdict.detail
