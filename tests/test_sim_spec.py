"""Widths are tight, and a spec that cannot be computed is refused in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macsmith.sim.catalog import FORMATS
from macsmith.sim.spec import MacSpec

WIDE = {"acc_width": 62, "overflow": "exact"}


@pytest.mark.parametrize(
    ("weights", "depth", "bits"),
    [
        ("int8", 1, 16),
        ("int8", 1024, 26),
        ("int8", 4096, 28),
        ("dint4z", 4096, 25),
        ("dint4z", 20480, 28),
        ("int8", 20480, 30),
    ],
)
def test_widths_known_from_the_paper_notes(weights, depth, bits):
    assert MacSpec(weights, "int8", **WIDE).depth_width(depth) == bits


@given(st.sampled_from(sorted(FORMATS)), st.sampled_from(["int8", "int4", "fp4_e2m1"]))
def test_product_range_is_reached(weights, activations):
    spec = MacSpec(weights, activations, **WIDE)
    ends = spec.weights.zero_points[0], spec.weights.zero_points[-1]
    products = {
        u * a
        for z in ends
        for u in (min(spec.weights.levels_at(z)), max(spec.weights.levels_at(z)))
        for a in (min(spec.activations.levels), max(spec.activations.levels))
    }
    assert spec.product_range == (min(products), max(products))
    assert MacSpec(weights, activations, spec.product_width).acc_width == spec.product_width


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (("int8", "int8", 15), "^accumulator of 15 bits cannot hold one int8 x int8 product of 16"),
        (("int8", "int8", 10**30), "^an accumulator of 1000000000000000000000000000000 bits needs"),
        (("int8", "int8", 64), "needs 65 bits, more than 63$"),
        (("fp8_e5m2", "fp8_e5m2", 62), "cannot hold one fp8_e5m2 x fp8_e5m2 product of 65 bits$"),
        (
            ("int8", "int8", 32, "exact", 2**50),
            "^lanes must be 65536 at most, not 11258999",
        ),
        (("int8", "int8z"), "^activations 'int8z': zero-pointed formats are for weights"),
        (
            ("int8", "int8", 32, "clip"),
            "^overflow must be one of exact, wrap, saturate, not 'clip'",
        ),
        (("int8", "int8", 32.0), "^acc_width must be a positive integer, not 32.0"),
        (("int8", "int8", 32, "wrap", 0), "^lanes must be a positive integer, not 0"),
        (("int7", "int8"), "^unknown format 'int7'"),
    ],
)
def test_errors(spec, words):
    with pytest.raises(ValueError, match=words) as caught:
        MacSpec(*spec)
    assert "\n" not in str(caught.value)


def test_exact_is_checked_where_the_depth_is_known():
    spec = MacSpec("int8", "int8", 26, "exact")
    spec.check_depth(1024)
    with pytest.raises(ValueError, match="26 bits is not exact for 2048 int8 x int8 products, whi"):
        spec.check_depth(2048)
    MacSpec("int8", "int8", 26, "wrap").check_depth(10**9)
