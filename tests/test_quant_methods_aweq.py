"""AWEQ: equal ranges after equalization, and the model as it was; then mean errors of zero."""

import copy

import pytest
import tiny
import torch

import macsmith.quant as quant
from macsmith.quant.methods.aweq import equalizing
from macsmith.quant.recipe import Attention, Recipe, Weights
from macsmith.quant.steps import Aweq, BiasCorrection, Rtn, SmoothQuant


def recipe(*steps, **weights):
    return Recipe(weights=Weights(**{"format": "int8"} | weights), steps=steps)


def measured(x, kind):
    """Range by channel, told another way than the method does."""
    x = x.detach().double().numpy()
    return (x.max(0) - x.min(0)) if kind == "minmax" else 2 * abs(x).max(0)


@pytest.mark.parametrize("kind", ["minmax", "absmax"])
@pytest.mark.parametrize("make", tiny.MODELS)
def test_both_ranges_are_equal_and_the_model_is_as_it_was(make, kind):
    model = make()
    wanted = model(input_ids=tiny.ids()).logits
    ran = 0
    for block, groups in tiny.scaled_blocks(model, Aweq(ranges=kind)):
        for group in groups:
            x = measured(torch.cat(list(block.inputs(group.layers[0]))), kind)
            w = measured(group.columns, kind)
            if group.producer is not None:
                live = x > 0  # not a unit that ReLU never lets through
                assert live.mean() > 0.8
                assert x[live] == pytest.approx(w[live], rel=1e-4)
                ran += 1
    assert ran >= 2 * 3
    logits = model(input_ids=tiny.ids()).logits
    assert (logits - wanted).abs().max() <= 1e-4 * wanted.abs().max()
    assert not torch.equal(logits, wanted), "nothing was scaled"


def test_dead_and_constant_channels_stay_as_they_are():
    x = torch.tensor([0.0, 1.0, 4.0, 0.0, 1e30])
    w = torch.tensor([1.0, 0.0, 1.0, 0.0, 1e-30])
    assert equalizing(x, w).tolist() == [1, 1, 2, 1, 1]
    model = tiny.opt()
    with torch.no_grad():
        norm = model.model.decoder.layers[0].final_layer_norm
        norm.weight[3] = norm.bias[3] = 0  # always 0
        norm.weight[4], norm.bias[4] = 0, 2  # always 2
        model.model.decoder.layers[1].fc1.weight[:, 5] = 0
    wanted = model(input_ids=tiny.ids()).logits
    quant.quantize_(model, recipe(Aweq(), Rtn(), BiasCorrection()), tiny.ids())
    logits = model(input_ids=tiny.ids()).logits
    assert torch.isfinite(logits).all()
    assert (logits - wanted).abs().max() < 0.05 * wanted.abs().max()


def test_it_is_smoothquant_with_ranges_for_magnitudes():
    """With symmetric ranges, where both scale: at the norms, alpha 0.5 gives the same scales."""
    norms = []
    for step in (Aweq(ranges="absmax"), SmoothQuant()):
        model = tiny.llama_gqa()
        scaled = []
        for _, groups in tiny.scaled_blocks(model, step):
            scaled += [g.producer.weight for g in groups if g.names[0].endswith("q_proj")]
        norms.append(torch.stack(scaled))
    assert torch.allclose(*norms, rtol=1e-5)


@pytest.fixture
def kept(monkeypatch):
    """Every quantized layer's float layer, as it was when it was rounded."""
    kept = {}
    original = quant.QuantLinear.from_float

    def keep(linear, *args):
        layer = original(linear, *args)
        if linear.out_features > 1:  # one row of each is tried before anything is done
            kept[layer] = copy.deepcopy(linear)
        return layer

    monkeypatch.setattr(quant.QuantLinear, "from_float", keep)
    return kept


@pytest.mark.parametrize("chain", ["rtn", "aweq", "aweq-gptq"])
@pytest.mark.parametrize("attention", [None, Attention()], ids=["linear", "all"])
@pytest.mark.parametrize("make", [tiny.opt, tiny.llama])
def test_corrected_layers_have_no_mean_error(kept, make, attention, chain):
    steps = Recipe.get(f"w4a8-{chain}-int4").steps
    steps = tuple(s for s in steps if not s.corrects)
    before, after = [], []
    for correct, found in (((), before), ((BiasCorrection(),), after)):
        kept.clear()
        model = make()
        r = recipe(*steps, *correct, format="int4").model_copy(update={"attention": attention})
        quant.quantize_(model, r, tiny.ids())
        gaps = {}

        def compare(layer, args, y, gaps=gaps):
            with torch.no_grad():
                gaps[layer] = (y - kept[layer](args[0])).double()

        hooks = [layer.register_forward_hook(compare) for _, layer in quant.quantized_layers(model)]
        model(input_ids=tiny.ids())
        for hook in hooks:
            hook.remove()
        assert gaps.keys() == kept.keys()
        found += [gap.mean(dim=(0, 1)).abs().max() / gap.abs().max() for gap in gaps.values()]
    assert len(after) == len(before) >= 12
    assert max(after) < 1e-6
    assert min(before) > 1e-3


def test_a_gained_bias_is_saved_and_restored(tmp_path):
    model = tiny.llama()
    quant.quantize_(model, "w4a8-aweq-dint4", tiny.ids())
    quant.save_quantized(model, tmp_path / "q")
    back = quant.load_model(tmp_path / "q")
    assert len(dict(quant.quantized_layers(back))) == 14
    for name, layer in quant.quantized_layers(back):
        assert layer.bias.abs().max() > 0, name
    state, want = back.state_dict(), model.state_dict()
    assert state.keys() == want.keys()
    assert all(torch.equal(state[name], want[name]) for name in want)
    half = quant.load_model(tmp_path / "q", dtype=torch.bfloat16)
    assert all(layer.bias.dtype == torch.bfloat16 for _, layer in quant.quantized_layers(half))


@pytest.mark.parametrize("sample", [0, 5])
def test_inputs_that_are_not_finite_are_refused_by_name(sample):
    model = tiny.opt()
    tiny.nan_at(model, tiny.ids()[sample, 3])
    first = (
        r"^layer 'model.decoder.layers.0.self_attn.[qkv]_proj': its calibration inputs are not f"
    )
    with pytest.raises(ValueError, match=first):
        quant.quantize_(model, "w8a8-aweq", tiny.ids())


@pytest.mark.parametrize("chain", ["aweq", "aweq-gptq"])
def test_calibration_is_needed(chain):
    with pytest.raises(ValueError, match="method 'aweq' needs calibration"):
        quant.quantize_(tiny.opt(), f"w8a8-{chain}")
    with pytest.raises(ValueError, match=r"^calibration is empty: \[0, 5\] token ids"):
        quant.quantize_(tiny.opt(), f"w8a8-{chain}", torch.zeros(0, 5, dtype=torch.int64))
