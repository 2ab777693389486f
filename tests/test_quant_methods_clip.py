"""Clips: each row's limit against all ten, tried one by one in plain numpy."""

import numpy as np
import pytest
import tiny
import torch

import macsmith.quant as quant
from macsmith.quant.methods import METHODS
from macsmith.quant.methods.clip import SHRINKS, clipped
from macsmith.quant.recipe import Activations, Recipe, Weights
from macsmith.quant.steps import Aqas, Awq, Rtn
from macsmith.quant.tokens import fake_tokens
from macsmith.quant.weights import fake_weight

N, K, T = 6, 20, 40


def problem():
    torch.manual_seed(0)
    weight = torch.distributions.StudentT(2.5).sample((N, K))
    weight[4] = 0
    return weight, [torch.randn(T // 2, K) * torch.randn(K).exp() for _ in range(2)]


@pytest.mark.parametrize("inputs_too", [False, True])
@pytest.mark.parametrize("group", [0, 5, 8])
@pytest.mark.parametrize("weights", ["int4", "dint4z", "fp4_e2m1"])
def test_each_group_has_the_limit_with_the_least_error(weights, group, inputs_too):
    recipe = Recipe(weights=Weights(format=weights, group_size=group))
    weight, inputs = problem()
    found = clipped(weight, inputs, recipe, inputs_too=inputs_too).numpy()
    x = torch.cat(inputs)
    spec = recipe.spec()
    seen = fake_tokens(x, spec.activations, recipe.activations) if inputs_too else x
    x, seen, w = x.double().numpy(), seen.double().numpy(), weight.numpy()
    alone = Weights(format=weights)  # a group by itself is a row
    size, limits = group or K, set()
    for n in range(N):
        for part in (slice(k, k + size) for k in range(0, K, size)):
            most, errors, tried = np.abs(w[n, part]).max(), [], []
            for shrink in SHRINKS:
                limit = np.float32(most * (1 - shrink))
                tried.append(np.clip(w[n, part], -limit, limit))
                q = fake_weight(torch.from_numpy(tried[-1])[None], spec.weights, alone)
                gap = seen[:, part] @ q[0].double().numpy() - x[:, part] @ w[n, part]
                errors.append((gap**2).mean())
            best = [t for t, e in zip(tried, errors, strict=True) if e <= min(errors) * (1 + 1e-4)]
            assert any(np.allclose(found[n, part], t, rtol=1e-6, atol=0) for t in best)
            limits.add(int(np.argmin(errors)))
    assert len(limits) > 1, "no row was clipped: the test is void"
    assert (found[4] == 0).all()


@pytest.mark.parametrize(("kind", "inputs_too"), [(Awq, False), (Aqas, True)])
def test_aqas_clips_for_quantized_inputs_and_awq_for_inputs_in_float(kind, inputs_too):
    """On inputs so coarse that the limits differ."""
    recipe = Recipe(weights=Weights(format="int4"), activations=Activations(format="int4"))
    ran = 0
    for block, groups in tiny.scaled_blocks(tiny.llama()):
        for group in groups[1:]:
            given = [layer.weight.detach().clone() for layer in group.layers]
            x = block.inputs(group.layers[0], 2)
            METHODS[kind].clip(block, group, kind(samples=2), recipe)
            for layer, weight in zip(group.layers, given, strict=True):
                limited = {k: clipped(weight, x, recipe, inputs_too=k) for k in (True, False)}
                assert torch.equal(layer.weight, limited[inputs_too])
                ran += not torch.equal(limited[True], limited[False])
    assert ran >= 4


def clipped_layers(make, step):
    """Last names of the first block's layers that the step's clip changes."""
    given = {}
    for clip in (True, False):
        steps = (step if clip else type(step)(samples=step.samples, clip=False), Rtn())
        quant.quantize_(
            make(),
            Recipe(weights=Weights(format="int3"), steps=steps),
            tiny.ids(),
            watch=lambda name, layer, *_, clip=clip: given.update({(name, clip): layer.weight}),
        )
    return {
        name.rpartition(".")[2]
        for (name, clip), weight in given.items()
        if clip and "layers.0" in name and not torch.equal(weight, given[name, False])
    }


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (tiny.opt, {"v_proj", "out_proj", "fc1", "fc2"}),
        (tiny.llama_gqa, {"v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
        (tiny.phi, {"v_proj", "dense", "fc1", "fc2"}),
        (tiny.neox, {"dense", "dense_h_to_4h", "dense_4h_to_h"}),
    ],
)
def test_what_a_softmax_reads_is_not_clipped(make, wanted):
    """One layer for queries, keys and values neither."""
    assert clipped_layers(make, Awq(samples=2)) == wanted


def test_names_that_are_not_clipped():
    step = Awq(samples=2, clip_skip=("fc?", "*.self_attn.v_proj"))
    assert clipped_layers(tiny.opt, step) == {"q_proj", "k_proj", "out_proj"}
    model = tiny.llama()
    recipe = Recipe(weights=Weights(format="int3"), steps=(step, Rtn()))
    with pytest.raises(
        ValueError, match=r"^clip_skip: 'fc\?' matches no linear layer of the model$"
    ):
        quant.quantize_(model, recipe, tiny.ids())
    assert not list(quant.quantized_layers(model))
