# amaranth: UnusedElaboratable=no
"""Sums placed in a netlist: what is found of its flip-flops, and what it finds."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth import Module, ResetSignal, Signal
from amaranth.lib import wiring
from technology import needs_osu018

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import gates_check, many, placed
from macsmith.experiments.verify.placed_arrays import place_array
from macsmith.experiments.verify.placed_sums import place_sums
from macsmith.experiments.verify.runner import describe
from macsmith.hw.mac import Mac
from macsmith.hw.synth import synthesize
from macsmith.sim import golden
from macsmith.sim.spec import MacSpec

WRAP = MacSpec("dint4", "int4", 10)
CLAMP = replace(WRAP, overflow="saturate")
FEW = 2**12


def made_up(flips, spec, numbers, sums=1, base=3, register=None):
    """Sums of a unit whose flip-flop k adds ``numbers[k]`` to sum ``k % sums``.

    ``register``: bits of the two's complement that is kept before it is clamped.
    """
    out = np.zeros((len(flips), sums), np.int64)
    for row, flipped in enumerate(flips.tolist()):
        for s in range(sums):
            total = base + sum(n for k, n in enumerate(numbers) if flipped[k] and k % sums == s)
            if register:
                total = golden.wrap(total, register)
            out[row, s] = golden.overflow(total, spec)
    return out


def powers(width, *signs):
    return [sign * 2**b for b, sign in zip(range(width), signs or (1,) * width, strict=True)]


@pytest.mark.parametrize(
    ("spec", "numbers", "register"),
    [
        (WRAP, powers(10), None),
        (WRAP, powers(10, 1, -1, 1, 1, -1, 1, 1, 1, -1, -1), None),  # some are kept inverted
        (WRAP, [*powers(10), 0, *powers(10)[2:], 0, *powers(10)[::-1]], None),  # carry-save
        (CLAMP, powers(10), 10),
        (CLAMP, [*powers(12), 0], 12),  # a register wider than what is shown
    ],
)
def test_sums_are_what_they_are_placed_at(spec, numbers, register):
    flips = placed.one_of_each(len(numbers))
    places = placed.find_places(made_up(flips, spec, numbers, register=register), spec)
    rng = np.random.default_rng(0)
    wanted = rng.integers(*spec.acc_range, (200, 1), endpoint=True)
    wanted[:4, 0] = *spec.acc_range, 0, -1
    upset = places.upset(wanted, rng)
    assert upset.shape == (200, len(numbers))
    shown = made_up(upset, spec, numbers, base=0, register=register)
    assert shown.tolist() == wanted.tolist()
    spare = [k for k, n in enumerate(numbers) if n and not (spec is CLAMP or k in range(10))]
    assert {index for index, _ in places.spare[0]} == set(spare)
    assert all(0 < upset[:, index].mean() < 1 for index in spare)


def test_several_sums_each_have_their_own():
    numbers = [2 ** (k // 2) for k in range(20)]
    seen = made_up(placed.one_of_each(20), WRAP, numbers, sums=2)
    places = placed.find_places(seen, WRAP)
    rng = np.random.default_rng(0)
    wanted = rng.integers(*WRAP.acc_range, (50, 2), endpoint=True)
    shown = made_up(places.upset(wanted, rng), WRAP, numbers, sums=2, base=0)
    assert shown.tolist() == wanted.tolist()


@pytest.mark.parametrize("missing", [0, 4, 9])
def test_a_bit_that_no_flip_flop_holds_is_missed(missing):
    numbers = powers(10)
    numbers[missing] = 0
    assert placed.find_places(made_up(placed.one_of_each(10), WRAP, numbers), WRAP) is None


@pytest.mark.parametrize("width", [10, 32, 63 - 1])
def test_targets_are_at_both_ends_and_at_powers_of_two(width):
    spec = replace(CLAMP, acc_width=width)
    low, high = spec.acc_range
    found = placed.targets(np.random.default_rng(0), spec, (4000,), 100)
    assert found.min() == low
    assert found.max() == high
    for end in (low, high):
        assert (abs(found - end) <= 200).sum() > 800
    logs = np.log2(np.maximum(abs(found), 1))
    assert len(np.unique(logs.round())) >= width - 1


def instance(unit, spec, **options):
    return describe(unit, unit, spec, get_unit(unit).make(spec, **options), **options)


def mapped(unit, spec, **options):
    return synthesize(get_unit(unit).make(spec, **options), "osu018", clock_ps=10**6, name=unit)


@needs_osu018
def test_the_quiet_product_of_a_format_without_zero_is_no_sum():
    spec = MacSpec("dint4z", "int4", 12)
    one = instance("shared", spec, outputs=2, pipeline=1)
    found = mapped("shared", spec, outputs=2, pipeline=1)
    drawn, bins = place_sums(one, found.netlist, found.technology)
    assert min(bins.values()) > 10
    assert len(bins) == 4
    assert drawn.due[3].tolist() == drawn.golden(3)
    assert drawn.due[3].tolist() != many.expected(many.draw(one, 1, 2**15, True), one)[3].tolist()


WIDE = MacSpec("dint4", "int4", 32, "saturate")
OTHERS = [
    ("mac", WIDE, {"pipeline": 1}),
    ("mac", replace(WIDE, lanes=3), {}),
    ("dot", replace(WIDE, lanes=2), {"style": "fused-digits"}),
    ("shared", WIDE, {"outputs": 2}),
    ("array", WIDE, {"rows": 2, "cols": 1}),
    ("array", WIDE, {"rows": 2, "cols": 1, "dataflow": "weight"}),
]


@needs_osu018
@pytest.mark.parametrize(("unit", "spec", "options"), OTHERS)
def test_what_wraps_instead_of_clamping_is_found(unit, spec, options):
    """No sum of a run from a reset gets there: only placed ones, or those that enter, show it."""
    options = {"dataflow": "output"} | options if unit == "array" else options
    one = instance(unit, spec, **options)
    found = mapped(unit, replace(spec, overflow="wrap"), **options)
    checked, _ = gates_check.check(one, found.netlist, found.technology, most=FEW)
    assert checked.wrong > 0
    assert checked.failure.startswith(f"{unit} ")


class Sticky(wiring.Component):
    """A MAC whose bit 29 is turned over for good once a great sum has been begun anew."""

    def __init__(self, spec, by):
        self.mac, self.by = Mac(spec), by
        super().__init__(dict(self.mac.signature.members.items()))

    def elaborate(self, platform):
        m = Module()
        m.submodules.mac = mac = self.mac
        for name in ("en", "clear", "w", "a"):
            m.d.comb += getattr(mac, name).eq(getattr(self, name))
        begun = {"clear": self.en & self.clear, "reset": ResetSignal()}[self.by]
        # Two registers, so that one that is inverted is no bit of the sum.
        both = Signal(2, reset_less=True)
        with m.If(begun & mac.acc[29] & ~mac.acc[31]):
            m.d.sync += both.eq(3)
        m.d.comb += self.acc.eq(mac.acc ^ (both.all() << 29))
        return m


@needs_osu018
@pytest.mark.parametrize("by", ["clear", "reset"])
def test_an_upper_bit_that_is_not_begun_anew_is_found(by):
    spec = MacSpec("dint4", "int4", 32)
    found = synthesize(Sticky(spec, by), "osu018", clock_ps=10**6, name="mac")
    netlist = found.netlist
    one = instance("mac", spec)
    assert gates_check.check_placed(one, netlist, found.technology).wrong > 0
    places, _ = place_sums(one, netlist, found.technology)
    assert places is not None


@needs_osu018
def test_an_array_is_followed_from_placed_sums():
    spec = MacSpec("dint4z", "int4", 24, "saturate", lanes=3)
    options = {"rows": 1, "cols": 2, "dataflow": "output"}
    found = mapped("array", spec, **options)
    one = instance("array", spec, **options)
    checked, _ = gates_check.check(one, found.netlist, found.technology, most=FEW)
    assert checked.failure == ""
    assert checked.events["products from placed sums"] > 5000
    assert min(hits for name, hits in checked.bins.items() if name.startswith("placed: ")) > 5
    place, _ = place_array(one, found.netlist, found.technology)
    place[1].require_golden(range(0, 256, 50))
