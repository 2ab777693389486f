"""SmoothQuant: the formula, at norms and nowhere else."""

import numpy as np
import pytest
import tiny
import torch

from macsmith.quant.methods import METHODS
from macsmith.quant.methods.smoothquant import smoothing
from macsmith.quant.recipe import Recipe, Weights
from macsmith.quant.steps import SmoothQuant

RECIPE = Recipe(weights=Weights(format="int8"))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("make", tiny.FAMILIES)
def test_scales_are_the_papers_formula_and_only_norms_are_scaled(make, alpha):
    ran = 0
    for block, groups in tiny.scaled_blocks(make()):
        for group in groups:
            s = METHODS[SmoothQuant].scale(block, group, SmoothQuant(alpha=alpha), RECIPE)
            if group.producer is None or "norm" not in type(group.producer).__name__.lower():
                assert s is None
                continue
            x = np.abs(torch.cat(list(block.inputs(group.layers[0]))).detach().double().numpy())
            w = np.abs(np.vstack([m.weight.detach().double().numpy() for m in group.layers]))
            wanted = x.max(axis=0) ** alpha / w.max(axis=0) ** (1 - alpha)
            assert s.detach().numpy() == pytest.approx(wanted, rel=1e-5)
            ran += 1
    assert ran >= 2 or make is tiny.opt_post_norm


def test_dead_channels_stay_as_they_are():
    x = torch.tensor([0.0, 4.0, 4.0, 0.0, 1e-6])
    w = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0])
    assert smoothing(x, w, 0.5).tolist() == [1, 1, 2, 1, 1]
