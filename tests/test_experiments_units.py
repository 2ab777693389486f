# amaranth: UnusedElaboratable=no
"""The units' records: what each says that it ignores changes nothing, and all else does."""

from dataclasses import replace

import pytest

from macsmith.experiments.units import UNITS, get_unit
from macsmith.hw.export import to_verilog_many
from macsmith.sim.catalog import get_format
from macsmith.sim.spec import MacSpec

CHANGES = {
    "weights": get_format("int4"),
    "activations": get_format("int3"),
    "acc_width": 13,
    "overflow": "wrap",
    "lanes": 3,
}


def refused(unit, spec):
    try:
        get_unit(unit).make(spec)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_ignores_what_it_says_and_nothing_else(unit):
    kind = get_unit(unit)
    spec = MacSpec("dint4", "int4", 12, "saturate", 2 if unit == "dot" else 1)
    specs = {name: replace(spec, **{name: other}) for name, other in CHANGES.items()}
    read = {name for name, other in specs.items() if refused(unit, other)}
    made = {f"unit_{name}": kind.make(specs[name]) for name in sorted(CHANGES.keys() - read)}
    own, *texts = (
        text.partition("\n")[2].replace(name, "unit")  # the first line describes the spec
        for name, text in to_verilog_many({"unit": kind.make(spec), **made}).items()
    )
    read |= {
        name.removeprefix("unit_") for name, text in zip(made, texts, strict=True) if text != own
    }
    assert CHANGES.keys() - read == kind.ignores - {"operands"}
    assert ("operands" in kind.ignores) == (kind.gates is None)
