# amaranth: UnusedElaboratable=no
"""Arrays driven with operands: energy, and every result where and when it is due."""

import pytest
from technology import needs_osu018

from macsmith.experiments import operands
from macsmith.experiments.gates_arrays import ARRAYS
from macsmith.experiments.measure import driven, measure
from macsmith.experiments.units import get_unit
from macsmith.hw.synth import synthesize
from macsmith.sim import golden
from macsmith.sim.spec import MacSpec

SHAPE = {"rows": 3, "cols": 2}
CASES = [
    (MacSpec("int3", "int3", 8), {"dataflow": "output"}),
    (MacSpec("int3z", "int2", 8, "saturate", lanes=3), {"dataflow": "output"}),
    (MacSpec("int3", "int3", 7, "saturate"), {"dataflow": "weight", "decode": "edge"}),
    (MacSpec("int3z", "int2", 8), {"dataflow": "weight"}),
]


@needs_osu018
@pytest.mark.parametrize(("spec", "options"), CASES)
def test_an_array_has_energy_and_equals_golden(spec, options):
    streams = operands.uniform(spec)
    found = measure("array", spec, pdk="osu018", operands=streams, options=SHAPE | options)
    assert found.netlist_equal is True
    assert found.synthesis.met
    assert found.energy.products == streams.products * 6
    sums = streams.products if options["dataflow"] == "weight" else streams.clear.sum() * 3
    assert found.compared == sums * 2
    assert 0 < found.energy.leakage_pj < found.energy.dynamic_pj


@needs_osu018
def test_an_array_on_a_real_layer():
    spec = MacSpec("int3", "int8", 19)
    found = measure("array", spec, pdk="osu018", options={"rows": 2, "cols": 2})
    assert found.netlist_equal is True
    assert found.operands.startswith("opt-mini")
    assert len(found.lines()) == 7
    assert found.lines()[-1].endswith("equal the engine, and the golden model in a sample")
    assert "the engine" in found.as_dict()["netlist_reference"]


@needs_osu018
@pytest.mark.parametrize(("spec", "options"), CASES[::2])
def test_a_wrong_array_is_seen(spec, options, monkeypatch):
    """What comes out is wrong, comes too late, or comes too often."""
    component = get_unit("array").make(spec, **SHAPE, **options)
    streams = operands.uniform(spec, depth=128)
    made = synthesize(component, "osu018", clock_ps=10**6, name="array")
    spent, compared, different = driven(ARRAYS, component, made, streams)
    assert (compared > 1000, different) == (True, 0)
    shown = {name: codes.copy() for name, codes in spent.activity.outputs.items()}
    at = component.latency + 127
    assert shown["o__valid"][5, at]
    shown["o__payload"][5, at, 1 + 3] ^= 1
    assert ARRAYS.compare(shown, streams, component) == (compared, 1)
    shown["o__valid"][5, at] = 0
    assert ARRAYS.compare(shown, streams, component) == (compared, 2)
    shown["o__valid"][5, component.latency] = 1
    assert ARRAYS.compare(shown, streams, component) == (compared, 3)
    monkeypatch.setattr(golden, "dot", lambda *_: 10**6)
    with pytest.raises(AssertionError, match=r"^the sum of stream 0 and stream [0-9]+ is not gold"):
        ARRAYS.compare(shown, streams, component)


@needs_osu018
def test_a_file_of_one_stream_is_refused_before_the_synthesis(tmp_path, monkeypatch):
    path = tmp_path / "one.csv"
    path.write_text("w,a\n" + "1,2\n" * 8)

    def synthesised(*_, **__):
        raise AssertionError("too late")

    monkeypatch.setattr("macsmith.experiments.measure.synthesize", synthesised)
    given = {"pdk": "osu018", "operands": str(path), "options": {"rows": 2, "cols": 3}}
    with pytest.raises(ValueError, match=r"^an array of 2 x 3 needs operands in as many streams"):
        measure("array", MacSpec("int3", "int3", 8), **given)
    with pytest.raises(AssertionError, match=r"^too late$"):  # what suits it goes on
        measure("array", MacSpec("int3", "int3", 8), **given | {"operands": "uniform"})


def test_operands_that_an_array_would_wait_for_are_refused():
    spec = MacSpec("int3", "int3", 8)
    few = operands.uniform(spec)
    few = operands.Operands(few.w[:4], few.a[:4], None, few.clear[:4], "four streams")

    def refused(given, words, **options):
        with pytest.raises(ValueError, match=words):
            ARRAYS.stimulus(given, get_unit("array").make(spec, **options))

    refused(few, r"^an array of 5 x 2 needs operands in as many streams, not 4$", rows=5, cols=2)
    refused(operands.uniform(spec, depth=3), r"^an array of 4 rows waits where a sum has 3 pro")
    refused(few, r"^an array of 2 x 2 needs operands in 5 streams, not 4, so as not to wait",
            rows=2, cols=2, dataflow="weight")  # fmt: skip
    refused(operands.uniform(spec, depth=3), r"^no sum has 4 products for as many rows$",
            dataflow="weight")  # fmt: skip
