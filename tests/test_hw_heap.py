# amaranth: UnusedElaboratable=no
"""The compressor tree: random heaps of bits, numbers and constants against integer sums."""

import random

import pytest
from amaranth import Module, Mux, Signal, signed, unsigned
from amaranth.hdl import Fragment
from amaranth.sim import Simulator

from macsmith.hw.adders import FullAdder, HalfAdder
from macsmith.hw.heap import Heap, PartialProduct


def wrapped(x, width):
    return (x + 2 ** (width - 1)) % 2**width - 2 ** (width - 1)


class Case:
    """A random heap: what is in it as signals, and the same as integers."""

    def __init__(self, seed):
        rng = self.rng = random.Random(seed)
        self.m = Module()
        self.numbers = []  # (signal, shift)
        self.bits = []  # (signal, weight, sign)
        self.constant = rng.randrange(-300, 300) if rng.random() < 0.7 else 0
        self.heap = Heap(self.m)
        self.heap.add_constant(self.constant)
        for _ in range(rng.randrange(1, 7)):
            width, shift = rng.randrange(1, 7), rng.randrange(4)
            number = Signal(rng.choice([signed, unsigned])(width), name="number")
            self.heap.add(number, shift, ones=rng.choice([0.5, rng.random()]))
            self.numbers.append((number, shift))
        for _ in range(rng.randrange(5)):
            bit, weight, sign = Signal(name="bit"), rng.randrange(6), rng.choice([1, -1])
            (self.heap.add_bit if sign > 0 else self.heap.subtract_bit)(bit, weight)
            self.bits.append((bit, weight, sign))
        low = high = self.constant
        for number, shift in self.numbers:
            low += number.shape().signed and -(2 ** (len(number) - 1)) << shift
            high += (2 ** (len(number) - number.shape().signed) - 1) << shift
        for _, weight, sign in self.bits:
            low, high = low + min(0, sign << weight), high + max(0, sign << weight)
        #: Bits that hold every value of the sum.
        self.bound = max(max(high, 0).bit_length(), (-low - 1 if low < 0 else 0).bit_length()) + 1

    def drive(self, ctx):
        """Random operands, extremes preferred; returns their sum."""
        total = self.constant
        for number, shift in self.numbers:
            values = number.shape()
            low = -(2 ** (len(number) - 1)) if values.signed else 0
            high = low + 2 ** len(number) - 1
            value = self.rng.choice([low, high, self.rng.randint(low, high)])
            ctx.set(number, value)
            total += value << shift
        for bit, weight, sign in self.bits:
            value = self.rng.randrange(2)
            ctx.set(bit, value)
            total += sign * value << weight
        return total

    def run(self, check):
        async def testbench(ctx):
            for _ in range(40):
                total = self.drive(ctx)
                await ctx.delay(1e-9)
                check(ctx, total)

        sim = Simulator(self.m)
        sim.add_testbench(testbench)
        sim.run()


@pytest.mark.parametrize("seed", range(40))
def test_total_is_the_sum_at_any_width(seed):
    case = Case(seed)
    width = case.rng.randrange(3, 14)
    total = case.heap.total(width)
    assert total.shape() == signed(width)

    def check(ctx, expected):
        assert ctx.get(total) == wrapped(expected, width)

    case.run(check)


@pytest.mark.parametrize("seed", range(40))
def test_rows_add_up_to_the_sum_modulo_the_width(seed):
    case = Case(seed)
    width = case.rng.randrange(3, 14)
    rows = case.heap.rows(width)

    def check(ctx, expected):
        assert sum(ctx.get(row) for row in rows) % 2**width == expected % 2**width

    case.run(check)


@pytest.mark.parametrize("seed", range(40))
def test_exact_rows_add_up_to_the_sum_itself(seed):
    case = Case(seed)
    first, second, offset = case.heap.exact_rows(case.bound)

    def check(ctx, expected):
        assert ctx.get(first) + ctx.get(second) + offset == expected

    case.run(check)


@pytest.mark.parametrize("seed", range(80))
def test_onto_adds_the_sum_to_a_base_of_any_width(seed):
    case = Case(seed)
    width = case.bound + case.rng.randrange(-2, 9)
    base = Signal(signed(case.rng.choice([width, max(1, width - 1)])))
    total = case.heap.onto(base, width, case.bound)
    assert total.shape() == signed(width)
    seen = set()

    def check(ctx, expected):
        limit = 2 ** (len(base) - 1)
        value = case.rng.choice([-limit, limit - 1, case.rng.randrange(-limit, limit)])
        # The base is set after the operands: settle once more.
        ctx.set(base, value)
        assert ctx.get(total) == wrapped(value + expected, width)
        seen.add(value)

    case.run(check)
    assert seen


def test_quiet_bits_meet_first():
    """Bits that are seldom 1, or nearly always, are the first full adder's."""
    m = Module()
    heap = Heap(m)
    often = {
        0.5: Signal(),
        0.1: Signal(),
        0.4: Signal(),
        0.95: Signal(),
        0.01: Signal(),
        0.6: Signal(),
    }
    for ones, bit in often.items():
        heap.add_bit(bit, 0, ones=ones)
    heap.rows(3)
    first = next(o for o in _origins(Fragment.get(m, None)) if isinstance(o, FullAdder))
    assert [id(x) for x in first.operands] == [id(often[p]) for p in (0.01, 0.95, 0.1)]


def test_the_tree_spends_as_few_adders_as_bits_have_to_vanish():
    """16 rows of 8 bits: each full adder takes one bit away, a half adder none."""
    m = Module()
    heap = Heap(m)
    rows = [Signal(8) for _ in range(16)]
    for row in rows:
        heap.add(row)
    left = heap.rows(12)
    fragment = Fragment.get(m, None)
    assert left[0].shape() == unsigned(12)
    kinds = [type(origin) for origin in _origins(fragment)]
    full, half = kinds.count(FullAdder), kinds.count(HalfAdder)
    assert full >= 16 * 8 - 2 * 12
    assert half <= 12


def _origins(fragment):
    for sub, _, _ in fragment.subfragments:
        yield from sub.origins or ()
        yield from _origins(sub)


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_numbers_that_are_added_or_subtracted(width, shift):
    """Every number of a width with either sign, by itself and as its complement."""
    m = Module()
    number, negative = Signal(signed(width)), Signal()
    totals = []
    for way in ("signed", "turned"):
        row, heap = PartialProduct(m, f"row_{way}", width, shift, ones=0.3, odd=0.2), Heap(m, way)
        if way == "signed":
            heap.add_signed(row, number, negative)
        else:
            turned = Mux(negative, ~number, number)
            heap.add_turned(row, turned, number[0], negative)
        totals.append(heap.total(width + shift + 2))
    compared = 0

    async def testbench(ctx):
        nonlocal compared
        for value in range(-(2**width) // 2, 2**width // 2):
            for sign in (0, 1):
                ctx.set(number, value)
                ctx.set(negative, sign)
                await ctx.delay(1e-9)
                want = (-value if sign else value) << shift
                assert [ctx.get(total) for total in totals] == [want] * 2, (value, sign)
                compared += 1

    sim = Simulator(m)
    sim.add_testbench(testbench)
    sim.run()
    assert compared == 2 ** (width + 1)


def test_constants_are_never_operands_of_a_full_adder():
    m = Module()
    heap = Heap(m)
    heap.add_constant(0b1011)
    for _ in range(3):
        heap.add(Signal(4))
    heap.total(6)
    adders = [o for o in _origins(Fragment.get(m, None)) if isinstance(o, FullAdder | HalfAdder)]
    assert adders
    assert any(isinstance(a, HalfAdder) and a.one for a in adders)
