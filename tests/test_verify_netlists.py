# amaranth: UnusedElaboratable=no
"""Mapped netlists against golden, on the library that every set-up has, if it is here."""

from dataclasses import replace

import numpy as np
import pytest
from technology import needs_osu018
from tools import needs

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import floats_driver, gates_check, many, netlists, requantizing
from macsmith.experiments.verify.floats_many import many_floats
from macsmith.experiments.verify.runner import Case, describe
from macsmith.experiments.verify.suite import all_cases
from macsmith.hw.synth import synthesize
from macsmith.sim import golden, ndarray
from macsmith.sim.requantize import ROUNDINGS
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


@pytest.mark.parametrize(("acc_width", "overflow"), [(62, "wrap"), (62, "saturate"), (63, "exact")])
def test_the_widest_accumulators(acc_width, overflow):
    spec = MacSpec("fp8_e4m3", "fp8_e4m3", acc_width, overflow)
    with pytest.raises(ValueError, match=r"needs 64 bits, more than 63$"):
        replace(spec, acc_width=acc_width + 1)
    ends = (*spec.acc_range, *spec.product_range, 0)
    exact = [x + y for x in ends for y in ends]
    assert max(map(abs, exact)) > spec.acc_range[1]
    kept = many.overflowed(np.array(exact), spec).tolist()
    assert kept == [golden.overflow(x, spec) for x in exact]
    drawn = many.many_sums(instance("mac", spec), 2**10)
    for stream in (0, 7):
        assert drawn.due[stream].tolist() == drawn.golden(stream)


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


def rows_of_golden(drawn):
    """Streams of which the model in arrays is golden's."""
    assert drawn.in_arrays
    for stream in (0, 3, len(drawn.due) - 1):
        assert drawn.due[stream].tolist() == drawn.golden(stream), stream
    return drawn.due[..., 0]


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("acc_width", [12, 32])
def test_many_requantized(acc_width, rounding):
    one = instance("requantizer", MacSpec("int4", "int8", acc_width), rounding=rounding)
    drawn = requantizing.many_requantized(one, 2**13)
    assert drawn.en.sum() == 2**13
    y = rows_of_golden(drawn)
    low, high = y == -128, y == 127
    assert 500 < low.sum() < 3000
    assert 500 < high.sum() < 3000
    shift, multiplier = (drawn.ports[name][..., 0] for name in ("shift", "multiplier"))
    product = multiplier * wrapped(drawn.ports["acc"], acc_width)
    product -= multiplier * wrapped(drawn.ports["correction"], one.widths["correction"])
    ties = (product & -product) * 2 == 1 << np.minimum(shift, 62)
    assert (ties & (shift > 0) & ~low & ~high).sum() > 50
    assert set(np.unique(shift)) == set(range(64))


def wrapped(codes, width):
    return (codes[..., 0] ^ 1 << (width - 1)) - (1 << (width - 1))


def test_products_too_wide_for_arrays_are_goldens():
    one = instance("requantizer", MacSpec("int4", "int8", 62))
    drawn = requantizing.many_requantized(one, 2**8)
    assert not drawn.in_arrays
    assert drawn.due[1].tolist() == drawn.golden(1)
    assert drawn.ports["acc"].max() > 2**60
    assert len(np.unique(drawn.due)) > 20


@pytest.mark.parametrize("fmt", ["fp16", "bf16"])
def test_many_floats(fmt):
    drawn = many_floats(instance("float_mac", MacSpec("int4", "int8"), fmt=fmt), 2**14)
    assert drawn.en.sum() == 2**14
    sums = rows_of_golden(drawn)
    exponents = sums >> 23 & 255
    seen = {floats_driver.sum_class(code) for code in sums.ravel().tolist()}
    assert seen == set(floats_driver.SUMS) - ({"-0", "subnormal"} if fmt == "fp16" else set())
    assert (exponents < 255).mean() > 0.6
    fell = (exponents[:, 1:] < exponents[:, :-1] - 2) & ~drawn.ports["clear"][:, 1:]
    assert (fell & ~drawn.rst[:, 1:] & (sums[:, 1:] > 0)).sum() > 50  # cancelled


@needs_osu018
def test_a_wrong_model_in_arrays_is_found(monkeypatch):
    right = ndarray.requantize

    def wrong_in(streams):
        def model(*operands, **others):
            y = right(*operands, **others)
            y[streams, 7] ^= 1
            return y

        monkeypatch.setattr(ndarray, "requantize", model)

    one = instance("requantizer", MacSpec("int4", "int8", 12))
    found = synthesize(
        get_unit("requantizer").make(one.spec), "osu018", clock_ps=10**6, name=one.module
    )
    wrong_in(5)  # which is not compared with golden, so that it is the netlist's word against it
    checked, _ = gates_check.check(one, found.netlist, found.technology, most=2**10)
    assert checked.wrong == 1
    assert checked.failure.startswith("requantizer stream 5 cycle 7: ")
    wrong_in(-1)
    with pytest.raises(AssertionError, match=r"^requantizer: the model in arrays is not golden's$"):
        gates_check.check(one, found.netlist, found.technology, most=2**10)


@needs_osu018
@pytest.mark.parametrize(
    ("unit", "spec", "options"),
    [
        ("mac", MacSpec("dint4", "int8", 32), {"style": "gated-digits", "pipeline": 1}),
        ("mac", MacSpec("int4", "int8", 13, "wrap"), {"style": "carrysave-booth4"}),
        ("mac", MacSpec("int4", "int8", 63, "exact"), {}),
        ("dot", MacSpec("dint4z", "int8", 14, "saturate", lanes=2), {"pipeline": 2}),
        ("shared", MacSpec("dint4z", "int8", 24), {"outputs": 3}),
        ("multiplier", MacSpec("dint4z", "int8", 32), {"style": "dadda"}),
        ("requantizer", MacSpec("int4", "int8", 12), {"rounding": "half-even"}),
        ("requantizer", MacSpec("int4", "int8", 12), {"rounding": "tflite", "pipeline": 2}),
        ("float_mac", MacSpec("int4", "int8"), {"fmt": "bf16", "pipeline": 2}),
    ],
)
def test_a_netlist_is_golden(unit, spec, options):
    one = instance(unit, spec, **options)
    found = synthesize(get_unit(unit).make(spec, **options), "osu018", clock_ps=10**6, name=unit)
    checked, _ = gates_check.check(one, found.netlist, found.technology, most=FEW)
    assert checked.failure == ""
    assert checked.results > 10_000
    assert (checked.in_arrays > 0) == (unit != "multiplier")
    assert checked.in_arrays < checked.results
    kinds = ("all operands", "random operands", "operands from placed sums")
    assert checked.in_arrays == sum(checked.events[kind] for kind in kinds)
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
    kinds = [(c.unit, c.style, dict(c.options).get("dataflow")) for c in cases]
    assert len(cases) == len(set(kinds))
    assert {flow for unit, _, flow in kinds if unit == "array"} == {"output", "weight"}


def test_formats_of_each_style_are_known_and_served(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\nwidth = 1\nfrac_bits = 0\nlevels = [1, 3]\n')
    for bad, message in (
        ("nf5", r"^unknown format 'nf5'"),
        ("fp4_e1m2", r"^`verify --all` has no case of fp4_e1m2; it has int8, int4, dint4"),
        (str(own), r"^`verify --all` has no case of own; it has int8, int4, dint4"),
    ):
        with pytest.raises(ValueError, match=message):
            netlists.each_style("mac", ["int4", bad])
    with pytest.raises(ValueError, match=r"^unknown format 'nope'"):
        netlists.each_style("requantizer", ["nope"])
    every = netlists.each_style("decoder", None)
    assert {case.spec.weights.name for case in every} > {"int8", "int4", "dint4", "nf4"}


def test_bad_requests():
    case = Case("mac", MacSpec("int4", "int8"))
    with pytest.raises(ValueError, match=r"^a netlist needs a library: "):
        netlists.verify_netlists("mac", [case], pdk="none")
    with pytest.raises(ValueError, match=r"^nothing to verify: there is no case$"):
        netlists.verify_netlists("mac", [])
