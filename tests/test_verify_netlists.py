# amaranth: UnusedElaboratable=no
"""Mapped netlists against golden, on the library that every set-up has, if it is here."""

import numpy as np
import pytest
from technology import needs_osu018
from tools import needs

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import gates_check, many, netlists
from macsmith.experiments.verify.runner import Case, describe
from macsmith.experiments.verify.suite import all_cases
from macsmith.hw.synth import synthesize
from macsmith.sim.spec import MacSpec

FEW = 2**16


def instance(unit, spec, **options):
    return describe(unit, unit, spec, get_unit(unit).make(spec, **options), **options)


SUMS = [
    ("mac", MacSpec("dint4z", "int8", 14, "saturate", lanes=3), {"pipeline": 1}),
    ("mac", MacSpec("int8", "int8", 17), {}),
    ("dot", MacSpec("dint4", "int4", 11, "saturate", lanes=3), {}),
    ("shared", MacSpec("dint4z", "int4", 10), {"outputs": 2}),
]


@pytest.mark.parametrize(("unit", "spec", "options"), SUMS)
def test_the_model_in_arrays_is_golden(unit, spec, options):
    one = instance(unit, spec, **options)
    drawn = many.draw(one, most=2**13)
    sums = many.expected(drawn, one)
    for stream in (0, 5, len(sums) - 1):
        assert sums[stream].tolist() == many.follow(drawn, one, stream)
    assert (~drawn.en).any()
    assert drawn.rst.any()
    assert (drawn.clear & drawn.en).any()
    low, high = spec.acc_range
    assert sums.min() < low / 2
    assert sums.max() > high / 2


def test_every_combination_enters_where_there_are_few():
    one = instance("shared", MacSpec("int3", "int4", 12), outputs=2)
    drawn = many.draw(one, most=2**10)
    assert drawn.exhaustive
    codes = np.concatenate([drawn.w, drawn.a], axis=-1)[drawn.en & ~drawn.rst]
    assert len(np.unique(codes, axis=0)) == 2**10
    assert not many.draw(one, most=2**9).exhaustive
    deep = many.draw(instance("shared", MacSpec("int3", "int4", 12), outputs=2, pipeline=2))
    for back in range(3):  # nothing that entered is dropped by a reset before it shows
        assert not (deep.en[:, : deep.en.shape[1] - back] & deep.rst[:, back:]).any()
    assert not (drawn.en & drawn.rst).any()


@needs_osu018
@pytest.mark.parametrize(
    ("unit", "spec", "options"),
    [
        ("mac", MacSpec("dint4", "int8", 32), {"style": "gated-digits", "pipeline": 1}),
        ("mac", MacSpec("int4", "int8", 13, "wrap"), {"style": "carrysave-booth4"}),
        ("dot", MacSpec("dint4z", "int8", 14, "saturate", lanes=2), {"pipeline": 2}),
        ("shared", MacSpec("dint4z", "int8", 24), {"outputs": 3}),
        ("multiplier", MacSpec("dint4z", "int8", 32), {"style": "dadda"}),
        ("requantizer", MacSpec("int4", "int8", 12), {"rounding": "half-even"}),
    ],
)
def test_a_netlist_is_golden(unit, spec, options):
    one = instance(unit, spec, **options)
    found = synthesize(get_unit(unit).make(spec, **options), "osu018", clock_ps=10**6, name=unit)
    checked, _ = gates_check.check(one, found.netlist, found.technology, most=FEW)
    assert checked.failure == ""
    assert checked.results > 10_000
    assert all(checked.bins.values())


@needs_osu018
def test_a_wrong_netlist_is_found():
    """The netlist of another spec: different only where a sum overflows."""
    spec, other = MacSpec("dint4", "int8", 14, "wrap"), MacSpec("dint4", "int8", 14, "saturate")
    found = synthesize(get_unit("mac").make(other), "osu018", clock_ps=10_000, name="mac")
    checked, _ = gates_check.check(instance("mac", spec), found.netlist, found.technology, most=FEW)
    assert checked.wrong > 0
    assert checked.failure.startswith("mac stream ")


@needs_osu018
@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
@pytest.mark.parametrize(
    ("unit", "spec", "options"),
    [
        ("mac", MacSpec("dint4z", "int4", 10, "saturate"), {"style": "gated-booth4"}),
        ("decoder", MacSpec("dint4z", "int8", 16), {}),
        ("array", MacSpec("dint3", "int4", 9), {"rows": 2, "cols": 2, "dataflow": "weight"}),
    ],
)
def test_the_bench_of_the_verilog_runs_on_the_netlist(unit, spec, options, simulator):
    needs(simulator)
    cases = [Case(unit, spec, tuple(options.items()))]
    result = netlists.verify_netlists(unit, cases, pdk="osu018", simulator=simulator)
    assert result.ok, result.failures
    assert result.results >= 256


@needs_osu018
def test_a_wrong_cell_is_found_in_a_simulator(monkeypatch):
    """The smallest of the cells with two inputs computes something else."""
    needs("icarus")
    right = netlists.cell_models

    def wrong(library, names):
        return right(library, names).replace("assign Y = ~(A & B)", "assign Y = ~(A | B)")

    monkeypatch.setattr(netlists, "cell_models", wrong)
    case = Case("multiplier", MacSpec("int4", "int4", 8))
    result = netlists.verify_netlists("multiplier", [case], pdk="osu018", simulator="icarus")
    assert not result.ok


def test_each_style_once():
    cases = netlists.each_style(None, ["dint4"])
    assert {(c.unit, c.style) for c in cases} == {
        (c.unit, c.style) for c in all_cases() if c.spec.weights.name in ("dint4", "int4", "int8")
    }
    assert len(cases) == len({(c.unit, c.style) for c in cases})
    with pytest.raises(ValueError, match=r"^`verify --all` has no case of nf5$"):
        netlists.each_style("mac", ["nf5"])


def test_bad_requests():
    case = Case("mac", MacSpec("int4", "int8"))
    with pytest.raises(ValueError, match=r"^a netlist needs a library: "):
        netlists.verify_netlists("mac", [case], pdk="none")
    with pytest.raises(ValueError, match=r"^nothing to verify: there is no case$"):
        netlists.verify_netlists("mac", [])
