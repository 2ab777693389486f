# amaranth: UnusedElaboratable=no
"""Mapped netlists as graphs: proven equal to the unit's RTL, and wrong where a gate is wrong."""

import time
from dataclasses import replace

import pytest
from technology import library

from macsmith.experiments.units import make_unit
from macsmith.experiments.verify.proof import decide, pose
from macsmith.hw.aig_netlist import to_aig
from macsmith.hw.aig_yosys import to_aigs
from macsmith.hw.netlist import CONST1
from macsmith.hw.synth import synthesize
from macsmith.sim.spec import MacSpec

SPEC = MacSpec("dint3", "int3", 8)
UNITS = [("decoder", "plain"), ("multiplier", "booth4"), ("mac", "plain"), ("mac", "gated-booth4")]


@pytest.fixture(scope="module")
def osu018():
    return library("osu018")


def proof_of(netlist, library, component, unit):
    plain = to_aigs({"plain": make_unit(unit, SPEC)})["plain"]
    problem = pose(plain, to_aig(netlist, library), component)
    return decide(problem, (unit, "", "", 0), time.monotonic(), 60.0)


@pytest.mark.parametrize(("unit", "style"), UNITS)
def test_a_netlist_is_proven_equal_to_the_plain_unit(unit, style, osu018):
    component = make_unit(unit, SPEC, style=style)
    netlist = synthesize(component, osu018, clock_ps=10_000.0, name="top").netlist
    proof = proof_of(netlist, osu018, component, unit)
    assert proof.verdict == "proven", proof.line
    assert sum(proof.how.values()) > 0
    last = max(k for k, one in enumerate(netlist.instances) if osu018.cell(one.type).combinational)
    cell = osu018.cell(netlist.instances[last].type)
    pins = netlist.instances[last].pins | {cell.inputs[0]: CONST1}
    wrong = list(netlist.instances)
    wrong[last] = replace(wrong[last], pins=pins)
    proof = proof_of(replace(netlist, instances=tuple(wrong)), osu018, component, unit)
    assert proof.verdict == "differs"


def test_a_clear_in_use_is_refused(osu018):
    component = make_unit("mac", SPEC)
    netlist = synthesize(component, osu018, clock_ps=10_000.0, name="top").netlist
    at = next(k for k, one in enumerate(netlist.instances) if osu018.cell(one.type).sequential)
    flop = netlist.instances[at]
    assert flop.type == "DFFPOSX1"
    instances = list(netlist.instances)
    instances[at] = replace(
        flop, type="DFFSR", pins={**flop.pins, "R": netlist.ports["en"].bits[0], "S": CONST1}
    )
    with pytest.raises(ValueError, match=rf"^{flop.name} has a clear or a preset in use"):
        to_aig(replace(netlist, instances=tuple(instances)), osu018)


def test_what_is_open_is_refused(osu018):
    component = make_unit("multiplier", SPEC)
    netlist = synthesize(component, osu018, clock_ps=10_000.0, name="top").netlist
    first, *others = netlist.instances
    pin = osu018.cell(first.type).inputs[0]
    pins = {name: net for name, net in first.pins.items() if name != pin}
    with pytest.raises(ValueError, match=rf"input {pin} of {first.name} .* is not connected$"):
        to_aig(replace(netlist, instances=(replace(first, pins=pins), *others)), osu018)
    with pytest.raises(ValueError, match=r"^top: nothing drives "):
        to_aig(replace(netlist, instances=tuple(others)), osu018)
