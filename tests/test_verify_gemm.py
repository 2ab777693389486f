# amaranth: UnusedElaboratable=no
"""The GEMM bench's reference against the engine."""

import pytest

from macsmith.experiments.verify import gemm_layers
from macsmith.hw.gemm import Gemm
from macsmith.sim.requantize import RequantizeSpec
from macsmith.sim.spec import MacSpec


@pytest.mark.parametrize("weights", ["int8", "dint4z"])
@pytest.mark.parametrize(("dataflow", "lanes"), [("output", 3), ("weight", 1)])
def test_a_real_layer_has_the_sums_of_the_engine(weights, dataflow, lanes, monkeypatch):
    spec = MacSpec(weights, "int8", 24, "saturate", lanes)
    numbers = RequantizeSpec(acc_width=24, correction_width=32)
    schedule = gemm_layers.layer_schedule(spec, 3, 2, numbers, dataflow)
    gemm_layers.require_engine(schedule, numbers)

    right = gemm_layers.requantized
    monkeypatch.setattr(
        gemm_layers, "requantized", lambda *given: [(s + 1, y) for s, y in right(*given)]
    )
    with pytest.raises(AssertionError, match=r"^the real layer's sums are not the engine's$"):
        gemm_layers.require_engine(schedule, numbers)


def test_a_tile_that_no_real_layer_fits_says_why():
    for spec, more, why in (
        (MacSpec("dint4", "fp8_e4m3", 48), {"zero_points": False}, "its activations are in two's"),
        (MacSpec("dint4", "int8", 32), {"depth": 255}, "it needs a depth of 256"),
    ):
        schedule, what = gemm_layers.real_layer(Gemm(spec, 2, 2, **more))
        assert schedule is None
        assert what.startswith(f"no real layer ({why}")
