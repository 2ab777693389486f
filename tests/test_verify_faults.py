# amaranth: UnusedElaboratable=no
"""Drawn faults: the benches kill what is not proven harmless; the same seed draws the same."""

import json
from dataclasses import replace

import pytest
from technology import library
from tools import needs

from macsmith.experiments.units import UNITS
from macsmith.experiments.verify import faults_mapped, mutants, mutants_mapped, mutants_rtl
from macsmith.experiments.verify.mutants import (
    LEVELS,
    SUBJECTS,
    Mutant,
    MutantReport,
    run,
    subjects_of,
)
from macsmith.experiments.verify.mutants_subjects import Subject, swapped
from macsmith.experiments.verify.mutants_verdict import Verdict
from macsmith.experiments.verify.simulators import SimulatorMissing
from macsmith.hw.export import to_verilog
from macsmith.hw.netlist import CONST0, Instance
from macsmith.sim.spec import MacSpec

#: One of every kind that is quick: without state, with it, with a gated clock, with several sums.
QUICK = [s for s in SUBJECTS if s.label in ("decoder plain", "mac gated-booth4")] + [
    Subject("dot", MacSpec("dint3", "int4", 9, lanes=2), "fused-digits"),
]


@pytest.fixture(scope="module")
def osu018():
    return library(mutants.LIBRARY)


def test_faults_are_killed_or_proven_harmless(osu018):
    needs("icarus")
    report = run(6, 1, QUICK)
    assert report.ok, "\n".join(report.lines())
    specials = sum(1 for subject in QUICK for _ in swapped(subject))
    assert specials == 9
    assert len(report.mutants) == 2 * (6 + specials)
    for level in LEVELS:
        assert {m.subject for m in report.mutants if m.level == level} == set(QUICK)
    lines = "\n".join(report.lines())
    assert f"{len(report.mutants)} mutants (netlists in osu018)" in lines
    assert "netlist: swapped special" in lines
    assert len(json.loads(json.dumps(report.as_dict()))["mutants"]) == len(report.mutants)


def test_a_seed_draws_the_same_and_another_one_does_not(osu018):
    some = [s for s in SUBJECTS if s.unit in ("decoder", "multiplier")][:2]
    for draw in (
        lambda seed: mutants_rtl.make_mutants(some, 6, seed),
        lambda seed: mutants_mapped.make_mutants(some, 6, seed, osu018)[0],
    ):
        first, again, other = draw(0), draw(0), draw(1)
        assert first == again
        assert first != other
        places = {(m.subject, m.operator, m.place) for m in first}
        assert len(places) == len(first) > 6


def test_every_operator_of_netlists_makes_a_fault_that_shows(osu018):
    subject = Subject("mac", MacSpec("int3", "int3", 7))
    circuit = mutants_mapped.Circuit(subject, osu018)
    assert not circuit.killed(circuit.netlist)
    faults = faults_mapped.Faults(circuit.netlist, osu018)
    assert set(faults.by_operator) == {
        "other cell", "pins exchanged", "stuck at 0", "stuck at 1", "inverted", "other net",
        "register",
    }  # fmt: skip
    drawn = mutants_mapped.make_mutants([subject], 60, 0, osu018)[0]
    killed = {m.operator for m in drawn if circuit.killed(m.circuit)}
    assert killed == set(faults.by_operator)


def test_a_register_that_holds_or_is_left_out(osu018):
    subject = Subject("mac", MacSpec("int3", "int3", 7), "plain", (("pipeline", 1),))
    circuit = mutants_mapped.Circuit(subject, osu018)
    faults = faults_mapped.Faults(circuit.netlist, osu018)
    found = [place for place, _ in faults.by_operator["register"]]
    assert any(place.endswith(" holds") for place in found)
    assert any(place.endswith(" left out") for place in found)
    flops = sum(1 for one in circuit.netlist.instances if osu018.cell(one.type).sequential)
    assert len(found) == 2 * flops
    assert flops > 7


def survivor(subject, circuit, level):
    return Mutant("RTL_0" if level == "RTL" else "netlist_0", subject, level, "text", "", circuit)


def test_an_rtl_survivor_that_is_a_fault_is_not_called_equivalent():
    subject = Subject("mac", MacSpec("dint4", "int4", 10))
    text = to_verilog(subject.make(), name="RTL_0")
    assert "clear ?" in text
    assert mutants_rtl._prove(survivor(subject, text, "RTL"), 20.0).word == "equivalent"
    wrong = survivor(subject, text.replace("clear ?", "en ?"), "RTL")
    verdict = mutants_rtl._prove(wrong, 20.0)
    assert verdict.word == "survived"
    assert "DIFFERS" in verdict.detail


def test_a_netlist_survivor_that_is_a_fault_is_not_called_equivalent(osu018):
    for subject in (QUICK[0], QUICK[1]):  # without a state, and with a gated clock
        circuit = mutants_mapped.Circuit(subject, osu018)
        whole = survivor(subject, circuit.netlist, "netlist")
        assert mutants_mapped._prove(whole, circuit, 20.0).word == "equivalent"
        faults = faults_mapped.Faults(circuit.netlist, osu018)
        place, make = faults.by_operator["inverted"][0]
        wrong = survivor(subject, make(place, None)[1], "netlist")
        verdict = mutants_mapped._prove(wrong, circuit, 20.0)
        assert verdict.word == "survived"
        assert "DIFFERS" in verdict.detail


def test_a_harmless_fault_of_a_netlist_is_proven_so(osu018):
    subject = QUICK[0]
    circuit = mutants_mapped.Circuit(subject, osu018)
    netlist = circuit.netlist
    cell = osu018.inverter
    (pin_in,), (pin_out,) = cell.inputs, cell.outputs
    idle = Instance("idle", cell.name, {pin_in: CONST0, pin_out: len(netlist.net_names)})
    harmless = replace(
        netlist, instances=(*netlist.instances, idle), net_names=(*netlist.net_names, "idle")
    )
    verdicts = mutants_mapped.score(
        [survivor(subject, harmless, "netlist")], {subject: circuit}, 20.0
    )
    assert verdicts["netlist_0"].word == "equivalent"


def test_a_bench_that_fails_without_a_fault_kills_nothing(osu018, monkeypatch):
    subject = QUICK[0]
    monkeypatch.setattr(mutants_mapped.Circuit, "killed", lambda self, netlist: True)
    with pytest.raises(AssertionError, match="decoder plain: its netlist is wrong without a fault"):
        mutants_mapped.make_mutants([subject], 1, 0, osu018)


def test_a_survivor_or_nothing_killed_is_a_failure():
    one = survivor(QUICK[0], "", "RTL")
    other = replace(one, name="netlist_0", level="netlist")

    def report(*words):
        verdicts = {m.name: Verdict(w) for m, w in zip((one, other), words, strict=True)}
        return MutantReport((one, other), verdicts, "osu018", {"RTL": 1.0, "netlist": 1.0})

    assert report("killed", "killed").ok
    for words in (("killed", "survived"), ("killed", "equivalent"), ("equivalent", "equivalent")):
        assert not report(*words).ok
    assert "SURVIVED: netlist decoder plain" in report("killed", "survived").lines()[-1]


def test_count_is_checked():
    with pytest.raises(ValueError, match=r"^count must be 1 up to 10000, not 0"):
        run(0)


def test_a_missing_simulator_is_said_before_the_work(osu018, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(mutants_rtl, "make_mutants", None)
    with pytest.raises(SimulatorMissing, match=r"^Icarus Verilog is not installed"):
        run(1)


def test_subjects_of_a_unit():
    assert {s.unit for s in subjects_of(None)} == set(UNITS) - {"float_mac"}
    for unit in UNITS:
        assert {s.unit for s in subjects_of(unit)} == {unit}
    arrays = [(s.spec.lanes, dict(s.options).get("dataflow")) for s in subjects_of("array")]
    assert arrays == [(1, None), (3, None), (1, "weight")]
    with pytest.raises(ValueError, match=r"^unknown unit 'macc'"):
        subjects_of("macc")
