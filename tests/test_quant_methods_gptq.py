"""GPTQ against least squares: each column, when it is rounded, is what the ones before ask for."""

import numpy as np
import pytest
import tiny
import torch

import macsmith.quant as quant
from macsmith.quant.methods import gptq
from macsmith.quant.recipe import Recipe, Weights
from macsmith.quant.steps import Gptq, Rtn
from macsmith.quant.weights import quantize_weight, scales_of
from macsmith.sim.catalog import get_format

N, K = 5, 12
FORMATS = ["dint4", "int4z", "nf4", "dint4z"]
WELL = 1e-12  # damping that is none


def problem(tokens=60, dead=()):
    torch.manual_seed(0)
    mix = torch.randn(K, K) / 3 + torch.eye(K)
    x = torch.randn(tokens, K) @ mix * torch.randn(K).exp()
    x[:, list(dead)] = 0
    return torch.randn(N, K), [x[:25], x[25:]]


def by_least_squares(weight, inputs, step, recipe):
    """Codes, scales, zero points, and every column as it was when its turn came.

    After each column the rest is solved for anew, by `lstsq`, from the original weights: the
    smallest ||(W - W') X||^2 + damping ||W - W'||^2 with the columns before held.
    """
    fmt, options = recipe.spec().weights, recipe.weights
    size = options.group_size or K
    whole = options.model_copy(update={"group_size": 0})
    x = torch.cat(inputs).double().numpy()
    wanted = weight.double().numpy().copy()
    power = 2 * (x * x).sum(axis=0)
    dead = power == 0
    wanted[:, dead] = 0
    ridge = step.damping * np.where(dead, 1, power).mean()
    a = np.vstack([np.sqrt(2) * x, np.diag(np.sqrt(ridge + dead))])  # [tokens + K, K]
    order = list(range(K))
    if step.order == "activation":
        order.sort(key=lambda k: -power[k])
    s, z = scales_of(torch.from_numpy(wanted).float(), fmt, options)
    now, q, turns = wanted.copy(), np.zeros((N, K), int), np.zeros((N, K))
    for i, k in enumerate(order):
        g = k // size
        if k % size == 0 and step.order == "index" and step.group_scales != "fixed":
            part = torch.from_numpy(now[:, k : k + size]).float()
            new_s, new_z = scales_of(part, fmt, whole)
            s[:, g] = new_s[:, 0]
            if z is not None:
                z[:, g] = new_z[:, 0]
        turns[:, k] = now[:, k]
        for n in range(N):
            levels = np.array(fmt.levels_at(0 if z is None else int(z[n, g])))
            values = levels * 2.0**-fmt.frac_bits * s[n, g].double().item()
            q[n, k] = np.abs(values - now[n, k]).argmin()
            now[n, k] = values[q[n, k]]
        rest = order[i + 1 :]
        if rest:
            held = (wanted - now)[:, order[: i + 1]] @ a[:, order[: i + 1]].T  # [N, tokens + K]
            moved = np.linalg.lstsq(a[:, rest], -held.T, rcond=None)[0].T
            now[:, rest] = wanted[:, rest] - moved
    return q, s, z, turns


def levels_of(q, fmt, z, size):
    """Levels by code and zero point: a format may have two codes of one level."""
    table = np.array([[fmt.levels_at(0 if z is None else int(z[n, k // size]))[q[n, k]]
                       for k in range(K)] for n in range(N)])  # fmt: skip
    return table


@pytest.mark.parametrize("damping", [WELL, 0.01, 1.0])
@pytest.mark.parametrize("order", ["index", "activation"])
@pytest.mark.parametrize("group", [0, 4, 5])
@pytest.mark.parametrize("weights", FORMATS)
def test_every_column_is_the_least_squares_solution(monkeypatch, weights, group, order, damping):
    step = Gptq(order=order, damping=damping)
    recipe = Recipe(weights=Weights(format=weights, group_size=group), steps=(step,))
    weight, inputs = problem()
    fmt, size = recipe.spec().weights, group or K
    q, s, z, turns = by_least_squares(weight, inputs, step, recipe)
    seen = []
    nearest = gptq.nearest

    def spy(values, *args):
        seen.append(values[:, 0].clone())
        return nearest(values, *args)

    monkeypatch.setattr(gptq, "nearest", spy)
    monkeypatch.setattr(gptq, "COLUMNS", 3)  # blocks that end inside of groups, and of the row
    found = gptq.METHOD.round(inputs, weight, step, recipe)
    power = torch.cat(inputs).square().sum(dim=0)
    taken = power.argsort(descending=True).tolist() if order == "activation" else range(K)
    assert len(seen) == K
    for k, column in zip(taken, seen, strict=True):
        mine = (column * s[:, k // size]).double().numpy()
        assert mine == pytest.approx(turns[:, k], rel=1e-4, abs=1e-5), k
    assert torch.allclose(found.scale, s, rtol=1e-6)
    if z is not None:
        assert torch.equal(found.zero_point.long(), z)
    mine = levels_of(found.codes.long().numpy(), fmt, z, size)
    assert (mine == levels_of(q, fmt, z, size)).all()


def test_fixed_group_scales_are_those_of_the_weight():
    step = Gptq(group_scales="fixed")
    recipe = Recipe(weights=Weights(format="int4", group_size=4), steps=(step,))
    weight, inputs = problem()
    q, s, _, _ = by_least_squares(weight, inputs, step, recipe)
    found = gptq.METHOD.round(inputs, weight, step, recipe)
    assert torch.equal(found.scale, quantize_weight(weight, *plain(recipe)).scale)
    assert torch.equal(found.scale, s)
    assert (found.codes.long().numpy() == q).all()
    updated = gptq.METHOD.round(inputs, weight, Gptq(), recipe)
    assert not torch.equal(updated.scale, found.scale)


def plain(recipe):
    return recipe.spec().weights, recipe.weights


@pytest.mark.parametrize("weights", FORMATS)
@pytest.mark.parametrize("order", ["index", "activation"])
def test_dead_channels_become_zero_and_constant_ones_are_as_any(weights, order):
    step = Gptq(order=order)
    recipe = Recipe(weights=Weights(format=weights), steps=(step,))
    weight, inputs = problem(dead=(0, 7))
    for x in inputs:
        x[:, 3] = 2.5
    q, s, z, _ = by_least_squares(weight, inputs, step, recipe)
    found = gptq.METHOD.round(inputs, weight, step, recipe)
    fmt = recipe.spec().weights
    mine = levels_of(found.codes.long().numpy(), fmt, z, K)
    assert (mine == levels_of(q, fmt, z, K)).all()
    assert (mine[:, [0, 7]] == 0).all()
    assert (mine[:, 3] != 0).any()
    assert torch.equal(found.scale, s)


@pytest.mark.parametrize("group", [0, 4, 5])
@pytest.mark.parametrize("weights", FORMATS)
def test_what_a_dead_channel_holds_changes_nothing(weights, group):
    """Not even scales, however these are made; where there is one range they are the same."""
    recipe = Recipe(weights=Weights(format=weights, group_size=group))
    weight, inputs = problem(dead=(0, 7))
    large = weight.clone()
    large[:, [0, 7]] = 1e3
    fixed, updated = (Gptq(group_scales=when) for when in ("fixed", "updated"))
    for step in (fixed, updated, Gptq(order="activation")):
        found, wanted = (gptq.METHOD.round(inputs, w, step, recipe) for w in (large, weight))
        assert torch.equal(found.codes, wanted.codes)
        assert torch.equal(found.scale, wanted.scale)
    if not group:
        one, other = (gptq.METHOD.round(inputs, large, step, recipe) for step in (fixed, updated))
        assert torch.equal(one.codes, other.codes)
        assert torch.equal(one.scale, other.scale)


def test_inputs_that_are_nothing_but_zero_leave_zeros():
    recipe = Recipe(weights=Weights(format="dint4"), steps=(Gptq(),))
    found = gptq.METHOD.round([torch.zeros(9, K)], torch.randn(N, K), Gptq(), recipe)
    assert (found.dequantized(get_format("dint4")) == 0).all()
    assert (found.scale > 0).all()


def test_fewer_tokens_than_channels_are_enough():
    recipe = Recipe(weights=Weights(format="int4"), steps=(Gptq(),))
    weight, (x, _) = problem()
    x = x[:3]
    q, *_ = by_least_squares(weight, [x], Gptq(), recipe)
    found = gptq.METHOD.round([x], weight, Gptq(), recipe)
    assert (found.codes.long().numpy() == q).all()
    rounded = quantize_weight(weight, *plain(recipe)).dequantized(get_format("int4"))
    mine = found.dequantized(get_format("int4"))
    assert ((mine - weight) @ x.T).norm() < ((rounded - weight) @ x.T).norm()


def test_the_update_ratio_is_how_far_the_others_move():
    """Fig. 3's measure: solve for the others with one column a unit away."""
    _, inputs = problem()
    x = torch.cat(inputs).double().numpy()
    ratio = gptq.update_ratio(gptq.hessian(inputs), WELL).numpy()
    for k in range(K):
        others = [j for j in range(K) if j != k]
        moved = np.linalg.lstsq(x[:, others], -x[:, k], rcond=None)[0]
        assert ratio[others, k] == pytest.approx(moved, rel=1e-6, abs=1e-9)
        assert ratio[k, k] == pytest.approx(1)


@pytest.mark.parametrize("make", tiny.MODELS)
def test_whole_models_err_less_than_rounded_to_nearest(make):
    wanted = make()(input_ids=tiny.ids()).logits
    errors = {}
    for step in (Gptq(), Rtn()):
        model = make()
        recipe = Recipe(weights=Weights(format="int4"), steps=(step,))
        quant.quantize_(model, recipe, tiny.ids())
        gap = model(input_ids=tiny.ids()).logits - wanted
        errors[step.method] = gap.square().mean().item()
    assert errors["gptq"] < errors["rtn"]


@pytest.mark.parametrize("group", [0, 5])
def test_layers_of_one_input_are_rounded_as_each_alone(group):
    """Queries, keys and values go through the columns together; what each becomes is its own."""
    given = {}
    recipe = Recipe(weights=Weights(format="dint4z", group_size=group), steps=(Gptq(),))
    watch = lambda name, *rest: given.update({name: rest})  # noqa: E731
    quant.quantize_(tiny.llama_gqa(), recipe, tiny.ids(), watch=watch)
    assert len(given) == 14
    for name, (layer, made, inputs) in given.items():
        alone = gptq.METHOD.round(inputs, layer.weight.detach().float(), Gptq(), recipe)
        assert torch.equal(made.qweight, alone.codes), name
        assert torch.equal(made.scale, alone.scale), name
        assert torch.equal(made.zero_point, alone.zero_point), name
        assert made.scale.untyped_storage().nbytes() == 4 * alone.scale.numel(), name
