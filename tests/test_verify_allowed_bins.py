# amaranth: UnusedElaboratable=no
"""Bins of arrays and tiles of one-signed and lopsided formats: all that can be hit, and no others.

What the driven beats hit is known before a simulation, but for bins of the handshakes.
"""

import random
from dataclasses import replace

import pytest
from tools import needs

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import runner
from macsmith.experiments.verify.agent import make_agent
from macsmith.experiments.verify.array_extremes import ElementSum, signs_of, ways_back
from macsmith.experiments.verify.whole import EFFORTS
from macsmith.hw.idle_bits import idle_bits
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

POSITIVE = Format("positive", 3, (1, 3, 9, 27, 2, 4, 8, 16), frac_bits=2)
NEGATIVE = Format("negative", 3, (-1, -3, -9, -27, -2, -4, -8, -16), frac_bits=1)
UNSIGNED = Format("unsigned", 4, tuple(range(16)))
MINUS = Format("minus", 1, (0, -1))
SIGNS = Format("signs", 1, (-1, 1))
TILE = {"rows": 1, "cols": 2, "depth": 3, "zero_points": False}
WORDS = ("clamped", "in between", "overflow", "is back", "shift ", "correction", "partial sum near",
         "lane ", "sum", "product")  # fmt: skip


def of_values(unit, spec, options):
    """Bins that do not depend on a handshake, and whether each is hit."""
    component = get_unit(unit).make(spec, **options)
    one = runner.describe(unit, "unit", spec, component, **options)
    bins = make_agent(replace(one, effort=EFFORTS["icarus"])).cover.bins
    return {name: hits for name, hits in bins.items() if any(word in name for word in WORDS)
            and "long" not in name}  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "more", "never"),
    [
        (POSITIVE, {}, {"clamped below"}),
        (NEGATIVE, {}, {"clamped above"}),
        (POSITIVE, {"dataflow": "weight"}, set()),  # sums of either sign enter
        ("int2", {}, set()),
    ],
)
def test_a_tile_is_clamped_where_its_products_allow_it(weights, more, never):
    bins = of_values("gemm", MacSpec(weights, UNSIGNED, 20, "saturate"), TILE | more)
    assert {"clamped below", "clamped above", "in between"} - bins.keys() == never
    assert [name for name, hits in bins.items() if not hits] == []


def test_what_wraps_is_clamped_either_way():
    bins = of_values("gemm", MacSpec(POSITIVE, UNSIGNED, 12), TILE)
    assert bins["clamped below"]
    assert bins["clamped above"]


def test_a_group_comes_back_by_a_product_of_any_size():
    bins = of_values("array", MacSpec(MINUS, "int2", 3, "saturate", 3), {"rows": 3, "cols": 1})
    for sign in ("overflow", "negative overflow"):
        for r, place in ((0, 1), (2, 2)):
            assert bins[f"element {r},0: {sign} after {place} of a group, and back within it"]
    assert [name for name, hits in bins.items() if not hits] == []


@pytest.mark.parametrize(
    ("spec", "places"),
    [
        (MacSpec("dint4", "int8", 12, "saturate", 4), {1, 2, 3}),
        (MacSpec(SIGNS, SIGNS, 4, "saturate", 3), {1, 2}),
        (MacSpec(POSITIVE, UNSIGNED, 12, "saturate", 3), set()),  # nothing takes anything back
    ],
)
def test_ways_back_are_ways_out_and_back(spec, places):
    for sign in signs_of(spec):
        found = ways_back(spec, sign)
        assert found.keys() == places
        for place, path in found.items():
            model, shown = ElementSum(spec), set()
            model.acc = spec.acc_range[sign > 0]
            for step in path:
                model.product(*step)
                shown |= set(model.shown())
            what = {+1: "overflow", -1: "negative overflow"}[sign]
            assert f"{what} after {place} of a group, and back within it" in shown


def drawn(rng, name):
    """A format of one sign, of both, or one whose levels are much further on one side."""
    width = rng.choice((1, 2, 3))
    sides = rng.choice(((0, 20), (-20, 0), (-9, 9), (-60, 3)))
    while True:
        levels = tuple(rng.randint(*sides) for _ in range(2**width))
        if len(set(levels)) > 1:
            fmt = Format(name, width, levels, frac_bits=rng.randrange(4))
            if not idle_bits(fmt):
                return fmt


@pytest.mark.parametrize("unit", ["array", "gemm"])
def test_every_bin_of_any_format_is_hit(unit):
    rng, tried = random.Random(unit), 0
    while tried < (40 if unit == "array" else 8):
        weights, activations = drawn(rng, "w"), drawn(rng, "a")
        width = MacSpec(weights, activations, 62).product_width + rng.choice((0, 1, 4, 9))
        lanes = rng.choice((1, 2, 3, 4))
        flow = rng.choice(("output", "weight"))
        spec = MacSpec(weights, activations, width, rng.choice(("wrap", "saturate")),
                       lanes if flow == "output" else 1)  # fmt: skip
        options = {"rows": rng.choice((1, 2, 3)), "cols": rng.choice((1, 2)), "dataflow": flow}
        if unit == "gemm":
            if flow == "weight" and 0 not in activations.levels:
                continue  # none can be built
            pointed = activations.is_twos_complement
            options |= {"depth": rng.choice((1, 5)), "zero_points": pointed}
        bins = of_values(unit, spec, options)
        assert [name for name, hits in bins.items() if not hits] == [], (spec, options)
        tried += 1


@pytest.mark.parametrize(
    ("unit", "spec", "options"),
    [
        ("gemm", MacSpec(POSITIVE, UNSIGNED, 12, "saturate"), TILE),
        ("array", MacSpec(MINUS, "int2", 3, "saturate", 3), {"rows": 3, "cols": 1}),
    ],
)
def test_such_units_pass(unit, spec, options):
    needs("icarus")
    case = runner.Case(unit, spec, tuple(options.items()))
    result = runner.build_cases(unit, [case], "icarus", EFFORTS["icarus"])
    assert result.ok, result.lines()
