# amaranth: UnusedElaboratable=no
"""Drawn faults: the benches kill what is not proven harmless; the same seed draws the same."""

import pytest

from macsmith.experiments.verify.mutants import LEVELS, SUBJECTS, Mutant, make_mutants, run
from macsmith.experiments.verify.mutants import _prove as prove_survivor
from macsmith.experiments.verify.simulators import SimulatorMissing, environment
from macsmith.hw.export import to_verilog


def test_faults_are_killed_or_proven_harmless():
    try:
        environment("icarus")
    except SimulatorMissing as error:
        pytest.skip(str(error))
    report = run(24, seed=1)
    assert report.ok, "\n".join(report.lines())
    assert len(report.mutants) == 24
    assert {mutant.level for mutant in report.mutants} == set(LEVELS)
    assert len({mutant.subject for mutant in report.mutants}) == len(SUBJECTS)
    assert "24 mutants" in "\n".join(report.lines())


def test_a_seed_draws_the_same_and_another_one_does_not():
    first, again, other = (make_mutants(SUBJECTS[:3], 6, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert len({mutant.verilog for mutant in first}) == 6


def test_a_survivor_that_is_a_fault_is_not_called_equivalent():
    subject = SUBJECTS[4]
    text = to_verilog(subject.make(), name="mutant_0")
    assert "clear ?" in text
    whole = Mutant("mutant_0", subject, "RTL", "none", "", text)
    assert prove_survivor(whole, 20.0)[0] == "equivalent"
    wrong = Mutant("mutant_0", subject, "RTL", "text", "", text.replace("clear ?", "en ?"))
    verdict, line = prove_survivor(wrong, 20.0)
    assert verdict == "survived"
    assert "DIFFERS" in line


def test_count_is_checked():
    with pytest.raises(ValueError, match=r"^count must be 1 or more, not 0"):
        run(0)
