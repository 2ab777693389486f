"""The objective of searches, against a forward pass of its own, and who is best by it."""

import copy

import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import nn

from macsmith.quant.groups import fold
from macsmith.quant.methods import METHODS
from macsmith.quant.methods.grid import STEPS, candidates
from macsmith.quant.methods.objective import Objective
from macsmith.quant.methods.smoothquant import smoothing
from macsmith.quant.recipe import Activations, Recipe, Weights
from macsmith.quant.steps import Aqas, Awq
from macsmith.quant.tokens import fake_tokens
from macsmith.quant.weights import fake_weight

SAMPLES = 2


class Rounded(nn.Module):
    """Q(W s) Q(X / s) + b, written out: what a layer with folded scales will compute."""

    def __init__(self, layer, s, recipe, inputs_too):
        super().__init__()
        self.layer, self.s, self.recipe, self.inputs_too = layer, s, recipe, inputs_too

    def forward(self, x):
        r = self.recipe
        w = fake_weight(self.layer.weight * self.s, r.spec().weights, r.weights)
        x = x / self.s
        if self.inputs_too:
            x = fake_tokens(x, r.spec().activations, r.activations)
        return F.linear(x, w, self.layer.bias)


@torch.no_grad()
def error(block, group, s, recipe, *, inputs_too, whole):
    """Mean square over the outputs of the group's module, or of its layers."""
    swapped = copy.deepcopy(block.module)
    inside = [n.removeprefix(block.name + ".") for n in group.names]
    for name in inside:
        made = Rounded(swapped.get_submodule(name), s, recipe, inputs_too)
        swapped.set_submodule(name, made)
    watched = inside
    if whole and len(inside) > 1 and group.parent is not None:
        watched = [next(n for n, m in block.module.named_modules() if m is group.parent)]
    gaps = []
    for name in watched:
        for call in block.calls_of(block.module.get_submodule(name), SAMPLES):
            wanted = call.of(block.module.get_submodule(name))
            gaps.append((call.of(swapped.get_submodule(name)) - wanted).double().square().flatten())
    return torch.cat(gaps).mean().item()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("inputs_too", [True, False])
@pytest.mark.parametrize(("weights", "group_size"), [("int4", 0), ("dint4z", 7)])
@pytest.mark.parametrize("make", [tiny.llama_gqa, tiny.phi])
def test_the_objective_is_the_error_of_what_will_be_computed(
    make, weights, group_size, inputs_too, whole
):
    recipe = Recipe(weights=Weights(format=weights, group_size=group_size))
    options = {"inputs_too": inputs_too, "whole": whole}
    ran = 0
    for block, groups in tiny.scaled_blocks(make()):
        for group in groups:
            objective = Objective(block, group, recipe, SAMPLES, **options)
            torch.manual_seed(2)
            for s in (torch.ones(group.width), torch.rand(group.width) + 0.5):
                wanted = error(block, group, s, recipe, **options)
                assert objective.error(s) == pytest.approx(wanted, rel=1e-3)
                ran += 1
    assert ran >= 12


def test_where_activations_stay_in_float_both_objectives_are_the_same():
    """AQAS's is then AWQ's, to the bit."""
    quantized, left = (
        Recipe(weights=Weights(format="int4"), activations=Activations(scheme=scheme))
        for scheme in ("token-asymmetric", "float")
    )
    ran = 0
    for block, groups in tiny.scaled_blocks(tiny.llama()):
        for group in groups:
            s = torch.rand(group.width) + 0.5
            found = [
                Objective(block, group, recipe, SAMPLES, inputs_too=inputs_too).error(s)
                for recipe, inputs_too in ((left, True), (left, False), (quantized, True))
            ]
            assert found[0] == found[1] != found[2]
            ran += 1
    assert ran == 8


@pytest.mark.parametrize(("weights", "whole"), [("int4", "attention"), ("dint4", "layers")])
@pytest.mark.parametrize("make", tiny.FAMILIES)
def test_aqas_is_never_above_plain_rounding_or_smoothquant(make, weights, whole):
    step = Aqas(samples=SAMPLES, objective=whole)
    recipe = Recipe(weights=Weights(format=weights))
    ran = better = 0
    for block, groups in tiny.scaled_blocks(make()):
        for group in groups:
            s = METHODS[Aqas].scale(block, group, step, recipe)
            if group.producer is None:
                assert s is None
                continue
            x = torch.cat(block.inputs(group.layers[0])).abs().amax(dim=0)
            smooth = smoothing(x, group.columns.abs().amax(dim=0), 0.5)
            others = [torch.ones_like(s), smooth]
            options = {"inputs_too": True, "whole": whole == "attention"}
            found = error(block, group, s, recipe, **options)
            least = min(error(block, group, other, recipe, **options) for other in others)
            assert found <= least * (1 + 1e-4), group.names
            better += found < 0.99 * least
            ran += 1
            fold(group, s)
    assert ran >= 4
    assert better, "the grid never found anything: the test is void"


def test_awq_takes_the_best_of_its_grid():
    recipe = Recipe(weights=Weights(format="int4"))
    ran = 0
    for block, groups in tiny.scaled_blocks(tiny.opt()):
        for group in groups:
            x = torch.cat(block.inputs(group.layers[0])).double().abs().mean(dim=0).float()
            errors = {}
            for a in STEPS:
                s = x.clamp(min=1e-4) ** a
                s = s / (s.max() * s.min()).sqrt()
                errors[a] = error(block, group, s, recipe, inputs_too=False, whole=True)
            s = METHODS[Awq].scale(block, group, Awq(samples=SAMPLES), recipe)
            found = error(block, group, s, recipe, inputs_too=False, whole=True)
            assert found == pytest.approx(min(errors.values()), rel=1e-3)
            assert found < errors[0]
            ran += 1
    assert ran == 8


@pytest.mark.parametrize("grid", ["1d", "2d"])
def test_the_grid_is_finite_whatever_is_dead(grid):
    x, w = torch.tensor([0.0, 1e-30, 3.0, 1e4]), torch.tensor([1.0, 0.0, 1e-8, 5.0])
    found = candidates(x, w, grid)
    assert len(found) == {"1d": 20, "2d": 400}[grid]
    for s in found:
        assert torch.isfinite(s).all()
        assert (s > 0).all()
        assert torch.isfinite(1 / s).all()
    assert torch.equal(found[0] if grid == "2d" else candidates(x, None, grid)[0], torch.ones(4))
