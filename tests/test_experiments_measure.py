"""Units measured end to end, on the library that every set-up has, if it is here."""

import pytest
from technology import TINY, needs_osu018

from macsmith.experiments import operands
from macsmith.experiments.measure import choose_library, clock_of, measure
from macsmith.experiments.units import UNITS, spec_for
from macsmith.hw import pdk
from macsmith.sim.spec import MacSpec

#: Units with one result for each cycle, or group.
DRIVEN = [name for name, unit in UNITS.items() if unit.gates and not unit.handshake]


@needs_osu018
@pytest.mark.parametrize("unit", DRIVEN)
@pytest.mark.parametrize("weights", ["dint4", "int4z"])
def test_every_unit_equals_golden(unit, weights):
    spec = MacSpec(weights, "int8", 14, "saturate", lanes=1 if unit == "shared" else 2)
    found = measure(unit, spec, pdk="osu018", operands="uniform")
    assert found.netlist_equal is True
    products = operands.PRODUCTS * operands.STREAMS * (4 if unit == "shared" else 1)
    assert found.energy.products == products
    assert found.compared == products // (2 if unit == "dot" else 1)  # a group is one result
    assert found.synthesis.met
    data = found.as_dict()
    assert data["area_um2"] > 0
    assert data["dynamic_pj"] > 0
    assert data["leakage_pj"] > 0
    assert len(found.lines()) == 7


@needs_osu018
@pytest.mark.parametrize("unit", DRIVEN)
@pytest.mark.parametrize("weights", ["dint4", "fp8_e5m2"])
def test_every_unit_on_a_real_layer_as_the_command_line_describes_it(unit, weights):
    width = 32 if weights == "dint4" else 40
    lanes = 3 if unit == "dot" else 1  # the last group of a sum is short
    found = measure(unit, spec_for(unit, weights, "int8", width, "wrap", lanes), pdk="osu018")
    assert found.netlist_equal is True
    assert found.operands.startswith("opt-mini")


@needs_osu018
def test_a_unit_that_is_not_driven_has_area_and_delay():
    found = measure("requantizer", MacSpec("int4", "int8", 12), pdk="osu018")
    assert found.netlist_equal is None
    assert found.energy is None
    assert found.synthesis.met
    assert found.synthesis.area_um2 > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adders": "foo", "pdk": "none"}, r"^adders must be one of gates, cells, ripple, not "),
        ({"liberty": ["/nope"]}, r"/nope"),
    ],
)
def test_bad_options_are_refused_before_operands_are_made(options, message, monkeypatch):
    def too_late(*_):
        raise AssertionError("operands are made")

    monkeypatch.setattr("macsmith.experiments.measure.get", too_late)
    monkeypatch.setattr("macsmith.experiments.measure.synthesize", too_late)
    with pytest.raises(ValueError, match=message):
        measure("mac", MacSpec("dint4", "int8"), **options)


@needs_osu018
def test_a_wrong_netlist_is_seen():
    """The netlist of another spec, measured as if it were this one's, must differ."""
    spec = MacSpec("dint4", "int8", 12, "wrap")
    streams = operands.uniform(spec)

    class Other(operands.Operands):
        def expected(self, _):
            return super().expected(MacSpec("dint4", "int8", 12, "saturate"))

    other = Other(streams.w, streams.a, streams.z, streams.clear, streams.source)
    found = measure("mac", spec, pdk="osu018", operands=other)
    assert found.netlist_equal is False
    assert 0 < found.different < found.compared


@needs_osu018
def test_a_clock_that_is_missed_says_so():
    found = measure("mac", MacSpec("int8", "int8"), pdk="osu018", clock_ps=100, operands="uniform")
    assert found.synthesis.met is False
    assert found.as_dict()["met"] is False
    assert "NOT MET" in "\n".join(found.lines())


def test_no_library():
    found = measure("mac", MacSpec("dint4", "int8"), pdk="none")
    assert found.netlist_equal is None
    assert found.as_dict()["area_um2"] is None
    assert "NAND2" in found.lines()[1]


def test_without_a_voltage_there_is_no_energy_and_a_reason(tmp_path):
    path = tmp_path / "x.lib"
    path.write_text(TINY.replace("nom_voltage : 2.0;", ""))
    found = measure("mac", MacSpec("int2", "int3", 8), liberty=[path], operands="uniform")
    assert found.netlist_equal is True
    data = found.as_dict()
    assert data["area_um2"] > 0
    assert data["delay_ps"] > 0
    assert data["dynamic_pj"] is None
    why = (
        "library x: energy needs a supply voltage, got none: neither operating conditions nor "
        "nom_voltage nor voltage_map say which"
    )
    assert data["unknown"]["dynamic_pj"] == why
    assert data["leakage_pj"] > 0
    assert "leakage_pj" not in data["unknown"]
    assert f"energy  not known: {why}" in found.lines()


def test_two_ways_to_name_a_library_are_refused():
    with pytest.raises(ValueError, match="not both"):
        choose_library("osu018", ["x.lib"])


def test_usual_clocks():
    assert clock_of(pdk.Pdk("asap7", ())) == 1000.0  # the paper's 1 GHz
    assert clock_of(None) == 10_000.0
