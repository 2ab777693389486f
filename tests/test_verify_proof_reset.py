# amaranth: UnusedElaboratable=no
"""Faults that show only in states which no reset leads to are none, all others are found."""

import pytest
from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
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


def test_a_register_that_is_not_reset_holds_anything_at_first():
    """The same in both circuits; and one that only the right circuit resets is found."""
    graphs = {
        **to_aigs({"right": Counter(), "kept": Counter(reset_less=True)}),
        **to_aigs({"kept too": Counter(reset_less=True, wrong=3)}),
        **to_aigs({"wrong": Counter(reset_less=True, wrong=1)}),
    }
    assert first_difference(graphs["kept"], graphs["kept too"], SOON) is None
    assert first_difference(graphs["kept"], graphs["wrong"], SOON) == 1
    assert first_difference(graphs["right"], graphs["kept"], SOON) == 0


class Slot(wiring.Component):
    """A beat that is kept until it is taken; ``fault`` is what is wrong."""

    latency = 1

    def __init__(self, fault=""):
        self.fault = fault
        super().__init__({"i": In(stream.Signature(4)), "o": Out(stream.Signature(4))})

    def elaborate(self, platform):
        m = Module()
        valid, payload = Signal(), Signal(4, reset_less=True)
        m.d.comb += [
            self.i.ready.eq(~valid | self.o.ready),
            self.o.valid.eq(valid),
            self.o.payload.eq(payload),
        ]
        if self.fault == "garbage without a beat":
            m.d.comb += self.o.payload.eq(Mux(valid, payload, 5))
        with m.If(self.i.ready):
            m.d.sync += valid.eq(self.i.valid)
            m.d.sync += payload.eq(self.i.payload)
        if self.fault == "payload changes":
            m.d.sync += payload[3].eq(self.i.payload[3])
        return m


@pytest.mark.parametrize(("fault", "clock"), [
    ("garbage without a beat", None), ("payload changes", 2),
])  # fmt: skip
def test_a_payload_counts_where_it_is_valid(fault, clock):
    graphs = to_aigs({"plain": Slot(), "faulty": Slot(fault)})
    assert first_difference(graphs["plain"], graphs["faulty"], SOON) == clock


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
