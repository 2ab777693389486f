# amaranth: UnusedElaboratable=no
"""What `--weights all` takes."""

import pytest

from macsmith.experiments.cli_units import _served
from macsmith.sim.catalog import FORMATS


def test_all_weights_are_those_that_the_unit_can_serve():
    specs, others = _served("mac", "int8", 32, "wrap", None, style="plain")
    assert others == ["fp8_e5m2"]  # a product of 40 bits
    assert [spec.weights.name for spec in specs] == [n for n in FORMATS if n not in others]
    specs, _ = _served("mac", "int8", 32, "wrap", None, style="fused-digits")
    assert {"dint4", "int4"} <= {spec.weights.name for spec in specs} < set(FORMATS)


def test_none_that_can_be_served_is_an_error():
    with pytest.raises(ValueError, match="accumulator of 3 bits cannot hold one"):
        _served("mac", "int8", 3, "wrap", None, style="plain")
