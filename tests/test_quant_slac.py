"""The sweep over calibration lengths: each point by itself, its summary, and what is refused."""

import statistics

import numpy as np
import pytest
import tiny
import torch

import macsmith.quant as quant
from macsmith.quant import steps
from macsmith.quant.recipe import Recipe, Weights
from macsmith.quant.slac import Point, Sweep, UpdateRatio, layer_ratio, sweep

GPTQ = Recipe(weights=Weights(format="int4"), steps=(steps.Gptq(damping=0.05),))
LENGTHS = (4, 16, 8)


def loss(model):
    """Mean loss at length 10, whatever the model was calibrated on."""
    return quant.perplexity(model, tiny.ids(4, 10).flatten(), window=10).loss


def draw(length):
    return tiny.ids(5, length)


def test_each_point_is_a_fresh_model_calibrated_with_that_length():
    seen = []
    found = sweep(tiny.opt, GPTQ, draw, loss, LENGTHS, progress=lambda *x: seen.append(x))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [(point.length, point.samples) for point in found.points] == [(4, 5), (16, 5), (8, 5)]
    for point in found.points:
        model, inputs = tiny.opt(), {}
        quant.quantize_(
            model, GPTQ, draw(point.length),
            watch=lambda name, layer, made, x, inputs=inputs: inputs.update({name: torch.cat(x)}),
        )  # fmt: skip
        assert point.result == loss(model)
        assert [ratio.layer for ratio in point.ratios] == list(inputs)
        assert len(inputs) == 12
        for ratio, x in zip(point.ratios, inputs.values(), strict=True):
            x = x.double().numpy()
            h = 2 * x.T @ x
            live = np.diag(h) > 0  # some inputs are always 0
            h += np.diag(~live)
            h += 0.05 * np.diag(h).mean() * np.eye(len(h))
            inverse = np.linalg.inv(h)
            others = np.abs(inverse / np.diag(inverse))[live][:, live]
            others = others[~np.eye(live.sum(), dtype=bool)]
            assert ratio.mean == pytest.approx(others.mean(), rel=1e-6)
            assert ratio.largest == pytest.approx(others.max(), rel=1e-6)
        assert point.ratio == statistics.fmean(ratio.mean for ratio in point.ratios)
    results = [point.result for point in found.points]
    assert len(set(results)) == 3, "the length decided nothing: the test is void"
    assert found.mean == pytest.approx(sum(results) / 3)
    assert found.std == pytest.approx(np.std(results, ddof=1))


def test_the_papers_own_table_gives_the_std_that_is_a_samples():
    """Table 1's OPTQ row: 2.13 of its four numbers, where the paper prints 2.54."""
    row = {64: 68.14, 128: 69.89, 512: 65.96, 2048: 65.19}
    found = Sweep(tuple(Point(length, 128, result, ()) for length, result in row.items()))
    assert found.std == pytest.approx(2.13, abs=0.005)
    assert found.mean == pytest.approx(67.295)
    assert found.points[0].ratio is None
    assert Sweep(found.points[:1]).std == 0


def test_ratios_are_what_samples_too_few_make_large():
    """Fewer tokens than channels: columns that nothing tells apart move each other most."""
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(400, 20, generator=draws)
    few, many = (layer_ratio("here", [x[:n]], 0.01) for n in (10, 400))
    assert few.layer == "here"
    assert few.mean > 2 * many.mean
    assert layer_ratio("here", [x[:200], x[200:]], 0.01) == pytest.approx(many)
    assert few.largest >= few.mean > 0
    assert isinstance(few, UpdateRatio)
    # Of dead columns nothing is said (H's mean diagonal, and so the damping, counts them as 1).
    dead = torch.cat([x, torch.zeros(400, 20)], dim=1)
    assert layer_ratio("here", [dead], 0.01)[1:] == pytest.approx(many[1:], rel=0.02)
    assert layer_ratio("here", [dead[:, 19:]], 0.01) == ("here", 0.0, 0.0)


def test_ratios_are_left_out_where_nobody_asks():
    found = sweep(tiny.llama, "w4a8-aweq-int4", draw, loss, (8,), ratios=False)
    assert found.points[0].ratios == ()
    assert np.isfinite(found.mean)


def test_what_makes_no_sweep_is_refused():
    for lengths in ((), (4, 4)):
        with pytest.raises(ValueError, match=r"^lengths: wanted some, each once, got \[(4, 4)?\]$"):
            sweep(tiny.opt, GPTQ, draw, loss, lengths)
    with pytest.raises(ValueError, match=r"^no step of the recipe needs calibration, .*: rtn$"):
        sweep(tiny.opt, "w4a8-rtn-int4", draw, loss, (4,))
    with pytest.raises(ValueError, match=r"^samples: wanted 4 tokens each, got \[5, 6\]$"):
        sweep(tiny.opt, GPTQ, lambda length: draw(6), loss, (4,))
    with pytest.raises(ValueError, match=r"^calibrated on 4 tokens the model's result is nan$"):
        sweep(tiny.opt, GPTQ, draw, lambda model: float("nan"), (4,))
    with pytest.raises(ValueError, match=r"^layer 'one': no update ratio of a single column$"):
        layer_ratio("one", [torch.ones(3, 1)], 0.01)
