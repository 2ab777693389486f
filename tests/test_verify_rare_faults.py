# amaranth: UnusedElaboratable=no
"""Faults that show in rare operands or after a long time only: the benches find every one."""

from dataclasses import replace

import pytest
from amaranth import Mux
from tools import needs

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import runner
from macsmith.experiments.verify.whole import EFFORTS
from macsmith.hw import requantizer
from macsmith.hw.export import to_verilog_many
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
                effort=EFFORTS["icarus"])
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
        "sticky": shifter(lambda x, by, y, sticky, beyond: (y, sticky | (by >= 33), beyond)),
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
