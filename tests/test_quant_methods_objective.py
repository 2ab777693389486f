"""The objective of searches, against a forward pass of its own, and who is best by it."""

from itertools import product

import pytest
import tiny
import torch
from rounded import error

from macsmith.quant.groups import fold
from macsmith.quant.methods import METHODS
from macsmith.quant.methods.grid import STEPS, candidates
from macsmith.quant.methods.objective import Objective
from macsmith.quant.methods.smoothquant import smoothing
from macsmith.quant.recipe import Activations, Recipe, Weights
from macsmith.quant.steps import Aqas, Awq

SAMPLES = 2


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
                wanted = error(block, group, s, recipe, SAMPLES, **options)
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
            x = torch.cat(list(block.inputs(group.layers[0]))).abs().amax(dim=0)
            smooth = smoothing(x, group.columns.abs().amax(dim=0), 0.5)
            others = [torch.ones_like(s), smooth]
            options = {"inputs_too": True, "whole": whole == "attention"}
            found = error(block, group, s, recipe, SAMPLES, **options)
            least = min(error(block, group, other, recipe, SAMPLES, **options) for other in others)
            assert found <= least * (1 + 1e-4), group.names
            better += found < 0.99 * least
            ran += 1
            fold(group, s)
    assert ran >= 4
    assert better, "the grid never found anything: the test is void"


def scaled(x, w, pairs):
    """By exponents (a, b): the papers' x^a w^-b, as AWQ's released code normalizes them."""
    x, w = x.clamp(min=1e-4), w.clamp(min=1e-4)
    grid = {(a, b): x**a / w**b for a, b in pairs}
    return {pair: s / (s.max() * s.min()).sqrt() for pair, s in grid.items()}


def magnitudes(block, group, kind):
    x, w = torch.cat(list(block.inputs(group.layers[0]))).abs(), group.columns.abs()
    return (x.amax(dim=0), w.amax(dim=0)) if kind == "max" else (x.mean(dim=0), w.mean(dim=0))


def attention_of(model):
    """The first block, and its layers that share attention's input."""
    block, groups = next(tiny.scaled_blocks(model))
    return block, groups[0]


#: Both operands so coarse that every choice of a search is seen.
COARSE = Recipe(weights=Weights(format="int4"), activations=Activations(format="int4"))


@pytest.mark.parametrize("make", [tiny.opt, tiny.qwen2])
def test_awq_takes_the_best_of_its_grid_for_activations_in_float(make):
    block, group = attention_of(make())
    x, w = magnitudes(block, group, "mean")
    grid = scaled(x, w, [(a, 0) for a in STEPS])

    def errors(inputs_too):
        options = {"inputs_too": inputs_too, "whole": True}
        return {k: error(block, group, s, COARSE, SAMPLES, **options) for k, s in grid.items()}

    alone, both = errors(False), errors(True)
    assert alone[min(both, key=both.get)] > 1.01 * min(alone.values()), "void: one choice for both"
    s = METHODS[Awq].scale(block, group, Awq(samples=SAMPLES), COARSE)
    found = error(block, group, s, COARSE, SAMPLES, inputs_too=False, whole=True)
    assert found == pytest.approx(min(alone.values()), rel=1e-3)
    assert found < 0.99 * alone[0, 0]


def aqas_errors(block, group, kind, pairs):
    """What AQAS is to choose from, and each one's error; None is no scale at all."""
    grid = scaled(*magnitudes(block, group, kind), pairs) | {None: torch.ones(group.width)}
    options = {"inputs_too": True, "whole": True}
    return {k: error(block, group, s, COARSE, SAMPLES, **options) for k, s in grid.items()}


def chosen_error(block, group, **options):
    s = METHODS[Aqas].scale(block, group, Aqas(samples=SAMPLES, **options), COARSE)
    return error(block, group, s, COARSE, SAMPLES, inputs_too=True, whole=True)


def test_aqas_takes_the_best_by_its_representative():
    block, group = attention_of(tiny.qwen2())
    line = [(a, 1 - a) for a in STEPS]
    least = {k: min(aqas_errors(block, group, k, line).values()) for k in ("max", "mean")}
    assert abs(least["max"] / least["mean"] - 1) > 0.02, "void: one is as good as the other"
    for kind in least:
        found = chosen_error(block, group, representative=kind)
        assert found == pytest.approx(least[kind], rel=1e-3)


def test_aqas_takes_the_best_of_two_dimensions():
    block, group = attention_of(tiny.qwen2())
    errors = aqas_errors(block, group, "max", product(STEPS, STEPS))
    least = min(errors.values())
    lines = (
        lambda a, b: a == 0.5,
        lambda a, b: b == 0.5,
        lambda a, b: b == 1 - a,
        lambda a, b: b == 0,
    )
    for on in lines:
        best = min(e for pair, e in errors.items() if pair is None or on(*pair))
        assert best > 1.01 * least, "void: a line of the grid is as good"
    assert chosen_error(block, group, grid="2d") == pytest.approx(least, rel=1e-3)


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
