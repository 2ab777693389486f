# amaranth: UnusedElaboratable=no
"""Faults that show in rare operands or after a long time only: the benches find every one."""

import re
from dataclasses import replace

import pytest
from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from tools import NO_TURNS, needs

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import runner
from macsmith.hw import array, gemm_exit, requantizer
from macsmith.hw.export import to_verilog_many
from macsmith.hw.mac import Mac
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

DINT4 = MacSpec("dint4", "int8")


def checked(unit, spec, names, **options):
    """What the shortest bench says of a unit, by name; the first is built before a fault is."""
    needs("icarus")
    components = {name: get_unit(unit).make(spec, **options) for name in names}
    verilog = {}
    for name, plant in names.items():
        with pytest.MonkeyPatch.context() as patch:
            if plant:
                plant(patch)
            verilog |= to_verilog_many({name: components[name]})
    instances = [
        replace(runner.describe(unit, name, spec, components[name], **options),
                effort=NO_TURNS)
        for name in names
    ]  # fmt: skip
    return runner.simulate(unit, instances, verilog, "icarus").modules


def require_found(modules):
    """The right unit passes with every bin, and each other one has a wrong result."""
    assert modules["right"].failure == ""
    assert [name for name, found in modules.items() if not found.wrong] == ["right"]


def shifter(change):
    """Plants a wrong (shifted, sticky, beyond), made of the right one and the operands."""

    def plant(patch):
        right = requantizer._shift_right

        def wrong(m, x, shift, width):
            return change(x, shift, *right(m, x, shift, width))

        patch.setattr(requantizer, "_shift_right", wrong)

    return plant


@pytest.mark.parametrize("rounding", ["half-even", "half-away", "tflite"])
def test_ties_beyond_the_multipliers_width(rounding):
    """The widths allow one at every shift."""
    faults = {
        "right": None,
        "ties_33": shifter(lambda x, by, y, sticky, beyond: (y, sticky | (by >= 33), beyond)),
        "tie_45": shifter(
            lambda x, by, y, sticky, beyond: (
                Mux((by == 45) & (x[:45] == 2**44), y ^ 1, y), sticky, beyond)
        ),
    }  # fmt: skip
    modules = checked("requantizer", DINT4, faults, rounding=rounding)
    require_found(modules)
    kinds = [f"{sign}, above {what}" for sign in ("positive", "negative")
             for what in ("even", "odd")]  # fmt: skip
    bins = modules["right"].bins
    assert {f"tie at shift {n}, {kind}" for n in range(1, 61) for kind in kinds} <= bins.keys()


def test_a_clamp_that_one_bit_asks_for():
    """Of a tile, as of the requantizer alone: a result of 2**n, and nothing else."""
    spec = MacSpec(Format("ternary", 2, (0, 1, -1, 0)), "int2", 6)
    faults = {"right": None}
    for n in range(24, 31):
        faults[f"lost_{n}"] = shifter(
            lambda x, by, y, sticky, beyond, n=n: (
                y, sticky, beyond & ~((by == 0) & ((x == 2**n) | (x == -(2**n)))))
        )  # fmt: skip
    shape = {"rows": 2, "cols": 1, "depth": 5, "dataflow": "weight", "zero_points": False}
    require_found(checked("gemm", spec, faults, pipeline=1, **shape))


def narrowed(width, bits):
    """Plants corrections of ``width`` bits that lose the upper ``bits``."""

    def plant(patch):
        patch.setattr(gemm_exit, "signed", lambda w: signed(w - bits if w == width else w))

    return plant


@pytest.mark.parametrize("rounding", ["half-even", "half-away", "tflite"])
def test_one_bit_that_the_rounding_overlooks(rounding):
    """The bits that each stage of the shifter drops, one left out at a time."""
    names = {"right": None}
    lowest = 31 if rounding == "tflite" else 0
    for shift in (34, 36, 40, 48) if lowest else (4, 8, 16, 32, 40):
        for bit in {lowest, (lowest + shift) // 2 - 1, shift - 2}:

            def change(x, by, shifted, sticky, beyond, shift=shift, bit=bit):
                low = x[: shift - 1]
                alone = (by == shift) & (low == 1 << bit)
                return shifted, sticky & ~alone, beyond

            names[f"bit_{bit}_of_{shift}"] = shifter(change)
    require_found(checked("requantizer", DINT4, names, rounding=rounding))


def test_two_bits_that_ask_for_a_clamp():
    """The bit beyond is an exclusive or of neighbours."""
    names = {"right": None}
    for bit in (8, 9, 20, 33):

        def change(x, by, shifted, sticky, beyond, bit=bit):
            return shifted, sticky, beyond & ~((by == 0) & (x == 3 << bit))

        names[f"bits_{bit}"] = shifter(change)
    require_found(checked("requantizer", DINT4, names))


def test_upper_bits_of_a_corrections_product():
    shape = {"rows": 2, "cols": 2, "exits": 2}
    width = get_unit("gemm").make(DINT4, **shape).numbers.correction_width
    assert width == 24  # of a tile for 4,096 products
    faults = {"right": None, "one": narrowed(width, 1), "five": narrowed(width, 5)}
    modules = checked("gemm", DINT4, faults, **shape)
    require_found(modules)
    ends = {f"exit {k}: the {end} correction" for k in range(2) for end in ("least", "greatest")}
    assert ends <= modules["right"].bins.keys()
    assert modules["right"].events[
        "4 tokens x 3 channels of model.decoder.layers.3.fc1 in opt-mini"
    ]


def sink(change):
    """Plants an ``o`` whose (valid, bits) are made of the right ones, the cycles that a beat has
    waited, and whether ``ready`` was high since a reset."""

    def plant(patch):
        right = array.SystolicArray.elaborate

        def wrong(self, platform):
            inner = array.SystolicArray(self.spec, self.rows, self.cols, self.dataflow)
            inner.elaborate = lambda platform: right(inner, platform)
            m = Module()
            m.submodules.inner = inner
            for name in self.signature.members.keys() - {"o"}:
                wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(inner, name))
            waited, seen = Signal(8), Signal()
            m.d.sync += [
                waited.eq(Mux(inner.o.valid & ~self.o.ready, waited + 1, 0)),
                seen.eq(seen | self.o.ready),
            ]
            bits = Value.cast(inner.o.payload)
            valid, bits = change(inner.o.valid, bits, waited, seen | self.o.ready)
            m.d.comb += [
                self.o.valid.eq(valid),
                inner.o.ready.eq(self.o.ready & valid),
                Value.cast(self.o.payload).eq(bits),
            ]
            return m

        patch.setattr(array.SystolicArray, "elaborate", wrong)

    return plant


@pytest.mark.parametrize("dataflow", ["output", "weight"])
def test_a_beat_that_waits_for_long_and_one_right_after_a_reset(dataflow):
    faults = {
        "right": None,
        "changes": sink(lambda valid, bits, waited, seen: (valid, bits ^ ((waited == 30) << 1))),
        "drops": sink(lambda valid, bits, waited, seen: (valid & (waited != 20), bits)),
        "waits": sink(lambda valid, bits, waited, seen: (valid & seen, bits)),
    }
    spec = replace(DINT4, acc_width=13)
    require_found(checked("array", spec, faults, rows=2, cols=2, dataflow=dataflow))


def counting(change):
    """Plants an ``acc`` that is wrong where ``change`` says so, of the products of the sum so far
    and of the cycles without one just before the last product."""

    def plant(patch):
        right = Mac.elaborate

        def wrong(self, platform):
            inner = Mac(self.spec)
            inner.elaborate = lambda platform: right(inner, platform)
            m = Module()
            m.submodules.inner = inner
            products, idle, stall = Signal(13), Signal(7), Signal(7)
            with m.If(self.en):
                m.d.sync += [
                    products.eq(Mux(self.clear, 1, products + (products != 2**13 - 1))),
                    idle.eq(0),
                    stall.eq(idle),
                ]
            with m.Else():
                m.d.sync += idle.eq(idle + (idle != 127))
            m.d.comb += [getattr(inner, name).eq(getattr(self, name)) for name in
                         ("en", "clear", "w", "a")]  # fmt: skip
            m.d.comb += self.acc.eq(inner.acc ^ (change(products, stall) << 1))
            return m

        patch.setattr(Mac, "elaborate", wrong)

    return plant


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_long_sums_and_stalls_of_any_length(overflow):
    faults = {"right": None, "long": counting(lambda products, stall: products == 2**12)}
    faults |= {
        f"stall_{n}": counting(lambda products, stall, n=n: stall == n) for n in (5, 9, 13, 20)
    }
    require_found(checked("mac", replace(DINT4, acc_width=13, overflow=overflow), faults))


def test_a_register_that_no_reset_reaches():
    """Bit 0 of the saved carries is always 0: one that keeps what it has shows in silicon alone."""
    needs("icarus")
    spec = MacSpec("dint4", "int4", 10)
    units = {name: Mac(spec, "carrysave-booth4") for name in ("right", "kept")}
    verilog = to_verilog_many(units)
    assert " carry_reg = 10'h000;" in verilog["kept"], "no first value that could hide it"
    verilog["kept"], planted = re.subn(
        r"\bcarry_reg <= (\S+);", r"carry_reg[9:1] <= \1[9:1];", verilog["kept"]
    )
    assert planted == 1
    instances = [
        replace(runner.describe("mac", name, spec, unit), effort=NO_TURNS)
        for name, unit in units.items()
    ]
    modules = runner.simulate("mac", instances, verilog, "icarus").modules
    require_found(modules)
    assert "acc XXXXXXXXXX != 0" in modules["kept"].first
