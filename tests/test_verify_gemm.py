"""The GEMM bench's reference against the engine."""

import pytest

from macsmith.experiments.verify import gemm
from macsmith.sim.requantize import RequantizeSpec
from macsmith.sim.spec import MacSpec


@pytest.mark.parametrize("weights", ["int8", "dint4z"])
def test_a_real_layer_has_the_sums_of_the_engine(weights, monkeypatch):
    spec = MacSpec(weights, "int8", 24, "saturate", lanes=3)
    numbers = RequantizeSpec(acc_width=24, correction_width=32)
    schedule = gemm.layer_schedule(spec, 2, 2, numbers)
    gemm.require_engine(schedule, numbers)

    right = gemm.results
    monkeypatch.setattr(gemm, "results", lambda *given: [(s + 1, y) for s, y in right(*given)])
    with pytest.raises(AssertionError, match=r"^the real layer's sums are not the engine's$"):
        gemm.require_engine(schedule, numbers)
