"""Scales: the paper's numbers by hand, and the same bits in numpy."""

import numpy as np
import pytest
import torch

from macsmith.quant import scale
from macsmith.sim.catalog import FORMATS


@pytest.mark.parametrize(
    ("name", "largest"),
    [("int8", 127), ("int4", 7), ("int3", 3), ("dint4", 6), ("dint3", 2), ("dint4_c4", 6)],
)
def test_symmetric_scale_by_hand(name, largest):
    s = scale.symmetric(torch.tensor([1.0, 21.0]), FORMATS[name])
    assert s.tolist() == (torch.tensor([1.0, 21.0]) / largest).tolist()


@pytest.mark.parametrize(
    ("name", "divisor", "largest"),
    [("int8", "mean", 127.5), ("int8", "full", 128), ("int4", "full", 8), ("dint4", "full", 7)],
)
def test_other_divisors_by_hand(name, divisor, largest):
    s = scale.symmetric(torch.tensor([3.0]), FORMATS[name], divisor)
    assert s.item() == torch.tensor(3.0).div(largest).item()


@pytest.mark.parametrize(
    ("name", "largest"), [("int8", 127), ("dint4", 6), ("fp4_e2m1", 6), ("nf4", 1)]
)
def test_symmetric_scale_is_numpys(name, largest):
    x = np.random.default_rng(0).exponential(size=1000).astype(np.float32)
    got = scale.symmetric(torch.from_numpy(x), FORMATS[name])
    assert (got.numpy() == x / np.float32(largest)).all()


@pytest.mark.parametrize(
    ("name", "p"), [("int4z", 15), ("int3z", 7), ("dint4z", 13), ("dint3z", 5)]
)
def test_zero_pointed_scale_by_hand(name, p):
    lo, hi = torch.tensor([-1.0, 0.5, -3.0]), torch.tensor([2.0, 4.0, -1.0])
    s, z = scale.zero_pointed(lo, hi, FORMATS[name])
    want = torch.tensor([3.0, 4.0, 3.0]) / p  # the range is extended to contain 0
    assert s.tolist() == want.tolist()
    assert z.tolist() == [round(p / 3), 0, p]


def test_zero_pointed_scale_is_numpys():
    rng = np.random.default_rng(0)
    lo = rng.normal(-0.5, 1, 1000).astype(np.float32)
    hi = lo + rng.exponential(size=1000).astype(np.float32)
    low, high = np.minimum(lo, 0), np.maximum(hi, 0)
    for name, steps in (("int4z", 15), ("dint4z", 13), ("int8z", 255)):
        s, z = scale.zero_pointed(torch.from_numpy(lo), torch.from_numpy(hi), FORMATS[name])
        want = (high - low) / np.float32(steps)
        assert (s.numpy() == want).all()
        assert (z.numpy() == np.clip(np.round(-low / want), 0, steps)).all()


def test_the_figures_divisor_and_awqs_range():
    lo, hi = torch.tensor([-4.5]), torch.tensor([16.5])  # the paper's figure 5: s = 21/14
    s, z = scale.zero_pointed(lo, hi, FORMATS["dint4z"], steps="levels")
    assert (s.item(), z.item()) == (1.5, 3)
    s, z = scale.zero_pointed(
        torch.tensor([1.0]), torch.tensor([14.0]), FORMATS["dint4z"], extend=False
    )
    assert (s.item(), z.item()) == (1.0, 0)


def test_activations_keep_zero_exact():
    s, za = scale.asymmetric(
        torch.tensor([-1.0, 1.0, -2.0, 0.0]), torch.tensor([3.0, 2.0, -1.0, 0.0]), FORMATS["int8"]
    )
    assert s[:3].tolist() == (torch.tensor([4.0, 2.0, 2.0]) / 255).tolist()
    assert za.tolist() == [64 - 128, -128, 127, -128]


@pytest.mark.parametrize("name", ["int8", "dint4z"])
def test_an_all_zero_row_has_a_positive_scale(name):
    zero = torch.zeros(1)
    fmt = FORMATS[name]
    s = scale.zero_pointed(zero, zero, fmt)[0] if fmt.zero_pointed else scale.symmetric(zero, fmt)
    assert s.item() == torch.finfo(torch.float32).tiny


def test_unknown_conventions_are_refused():
    one = torch.ones(1)
    with pytest.raises(ValueError, match="divisor must be one of both, mean, full, not 'half'"):
        scale.symmetric(one, FORMATS["int8"], "half")
    with pytest.raises(ValueError, match="steps must be one of steps, levels, not 'p'"):
        scale.zero_pointed(-one, one, FORMATS["int4z"], "p")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_what_is_not_finite_is_seen_wherever_it_is(value, dtype):
    for shape in ((1,), (3, 7), (2, 50, 33)):
        x = torch.randn(shape).to(dtype)
        assert scale.all_finite(x)
        for where in {0, x.numel() // 2, x.numel() - 1}:
            y = x.flatten()
            y[where] = value
            assert not scale.all_finite(y.view(shape))
    assert scale.all_finite(torch.zeros(0, 4, dtype=dtype))


def test_ends_of_rows():
    lo, hi = scale.ends(torch.tensor([[3.0, -1.0, 2.0], [5.0, 5.0, 5.0], [0.0, float("nan"), 1.0]]))
    assert lo[:2].tolist() == [-1, 5]
    assert hi[:2].tolist() == [3, 5]
    assert lo[2].isnan()
    assert hi[2].isnan()
