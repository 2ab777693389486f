"""The golden model on cases computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macsmith.sim import golden
from macsmith.sim.spec import MacSpec


def test_dint4_by_hand():
    """3 * 0.5 + (-128) * (-0.5) + 127 * (-6) + 1 * 7 = -689.5, in half steps."""
    spec = MacSpec("dint4", "int8")
    acc = golden.dot([3, 0x80, 0x7F, 1], [0b1000, 0b1001, 0b1010, 0b0111], spec)
    assert acc * 2.0**-spec.frac_bits == -689.5


def test_zero_point_by_hand():
    """dint4z at z = 5: codes 0, 13, c1, c2 are -5, 8, 1/2, -1/2."""
    spec = MacSpec("dint4z", "int8")
    assert golden.trace([10, 10, 10, 10], [0, 13, 14, 15], spec, 5) == [-100, 60, 70, 60]


def test_overflow_by_hand():
    codes = [127] * 3, [127] * 3  # 16129 each
    assert golden.trace(*codes, MacSpec("int8", "int8", 16)) == [16129, 32258, 48387 - 65536]
    assert golden.trace(*codes, MacSpec("int8", "int8", 16, "saturate")) == [16129, 32258, 32767]


def test_saturation_depends_on_lanes():
    """+max +max -max: clamped after every product, or after the group of three."""
    a, w = [127, 127, 127], [127, 127, 129]
    w *= 2
    a *= 2
    one = golden.trace(a, w, MacSpec("int8", "int8", 16, "saturate", 1))
    three = golden.trace(a, w, MacSpec("int8", "int8", 16, "saturate", 3))
    p = 127 * 127
    assert one == [p, 2 * p, p, 2 * p, 32767, 32767 - p]
    assert three == [p, 2 * p, p, 2 * p, 32767, 2 * p]


def test_short_last_group():
    spec = MacSpec("int8", "int8", 16, "saturate", 4)
    assert golden.dot([127] * 5, [127] * 5, spec) == 32767
    assert golden.dot([], [], spec) == 0


@given(st.integers(-(2**63), 2**63 - 1))
def test_float32_rounds_once(x):
    assert golden.float32(x) == float(np.int64(x).astype(np.float32))


def test_a_missing_zero_point_is_refused():
    with pytest.raises(ValueError, match=r"^int4z is zero-pointed: give zero_point$"):
        golden.dot([1], [3], MacSpec("int4z", "int8"))


def test_codes_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"^product 1: a=0 w=-1 are not both codes"):
        golden.dot([0, 0], [0, -1], MacSpec("int4", "int8"))
