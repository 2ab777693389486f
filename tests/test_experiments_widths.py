"""An accumulator's width: in bits, or as many as a depth needs."""

import pytest

from macsmith.experiments.units import spec_for
from macsmith.experiments.widths import Depth, bits_of, width_of
from macsmith.sim.spec import MacSpec


@pytest.mark.parametrize("weights", ["int8", "dint4", "dint4z", "nf4"])
@pytest.mark.parametrize("depth", [1, 2, 4096])
def test_as_wide_as_a_depth_needs_and_no_wider(weights, depth):
    bits = bits_of(width_of(f"depth:{depth}"), weights, "int8")
    MacSpec(weights, "int8", bits, "exact").check_depth(depth)
    least, greatest = (depth * x for x in MacSpec(weights, "int8", bits).product_range)
    assert not -(2 ** (bits - 2)) <= least <= greatest < 2 ** (bits - 2)
    spec = spec_for("dot", weights, "int8", Depth(depth), "exact", 2)
    assert (spec.acc_width, spec.lanes) == (bits, 2)


def test_bits_are_bits():
    assert (width_of("32"), width_of(32), bits_of(24, "int8", "int8")) == (32, 32, 24)
    assert not isinstance(width_of("32"), Depth)


@pytest.mark.parametrize("text", ["", "x", "1.5", "-4", "depth:", "depth:0", "depth:-1", "for:4"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"^wanted a number of bits, or depth:N for N products"):
        width_of(text)


def test_a_unit_without_products_has_no_depth():
    with pytest.raises(ValueError, match=r"^a requantizer has no formats"):
        spec_for("requantizer", "int8", "int8", Depth(9), "wrap", None)
