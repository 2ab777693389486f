"""GWQ: gradients against differences of the loss, and what is kept against a sort of them."""

import pytest
import tiny
import torch

import macsmith.quant as quant
from macsmith.quant.convert import linear_layers
from macsmith.quant.methods.gwq import gradients, largest
from macsmith.quant.recipe import Recipe, Weights
from macsmith.quant.steps import Aweq, Gwq
from macsmith.quant.weights import quantize_weight


def recipe(*steps, weights="int4", **options):
    return Recipe(weights=Weights(format=weights, **options), steps=steps)


def loss(model, row):
    """Mean next-token loss, in float64 where the model's own is in float32."""
    p = model(input_ids=row[None]).logits[0].double().softmax(dim=-1)
    return -p[range(len(row) - 1), row[1:]].log().mean().item()


def test_gradients_are_slopes_of_the_models_own_loss():
    model = tiny.opt().double()  # LLaMA's norms are float32 all the same, too coarse for this
    layers = linear_layers(model, recipe(Gwq()))
    for layer in layers.values():
        layer.weight.requires_grad_(False)  # as a user may have frozen them
    ids = tiny.ids()[:2]
    found = gradients(model, layers, ids)
    assert found.keys() == layers.keys()
    assert not any(layer.weight.requires_grad for layer in layers.values())
    draw = torch.Generator().manual_seed(0)
    ran = 0
    with torch.no_grad():
        own = model(input_ids=ids[:1], labels=ids[:1]).loss.item()
        assert loss(model, ids[0]) == pytest.approx(own, rel=1e-6)
        for name, layer in layers.items():
            flat = layer.weight.view(-1)
            for k in torch.randint(flat.numel(), (2,), generator=draw).tolist():
                at, losses = flat[k].item(), []
                for step in (1e-5, -1e-5):
                    flat[k] = at + step
                    losses.append(sum(loss(model, row) for row in ids))
                flat[k] = at
                slope = (losses[0] - losses[1]) / 2e-5
                assert found[name].view(-1)[k].item() == pytest.approx(slope, rel=1e-3, abs=1e-7)
                ran += slope != 0
    assert ran >= 20


def test_the_largest_magnitudes_are_taken_and_of_equal_ones_the_first():
    a, b = torch.tensor([[1.0, -5, 2], [0, 3, -3]]), torch.tensor([[4.0], [3.0]])
    masks = largest([a, b], 0.5)
    assert masks[0].tolist() == [[False, True, False], [False, True, True]]
    assert masks[1].tolist() == [[True], [False]]
    assert [m.sum().item() for m in largest([a, b], 0.0)] == [0, 0]
    assert all(m.all() for m in largest([a, b], 1.0))


@pytest.mark.parametrize(("weights", "group"), [("int4", 0), ("dint4", 9), ("dint4z", 10)])
@pytest.mark.parametrize("scope", ["layer", "model"])
def test_what_is_kept_is_the_weight_and_the_rest_is_rounded_without_it(scope, weights, group):
    model = tiny.opt()
    step = Gwq(scope=scope, fraction=0.02, values="float32")
    r = recipe(step, weights=weights, group_size=group)
    layers = linear_layers(model, r)
    floats = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    found = {n: g.abs() for n, g in gradients(model, layers, tiny.ids()[:1]).items()}
    bound = {}
    for name, g in found.items():
        pool = torch.cat([x.flatten() for x in found.values()]) if scope == "model" else g.flatten()
        bound[name] = pool.sort(descending=True).values[round(0.02 * pool.numel()) - 1]
    quant.quantize_(model, r, tiny.ids())
    kept = 0
    for name, layer in quant.quantized_layers(model):
        keep = found[name] >= bound[name]
        kept += keep.sum().item()
        wanted = quantize_weight(
            torch.where(keep, torch.zeros(()), floats[name]), layer.spec.weights, r.weights
        )
        assert torch.equal(layer.qweight, wanted.codes)
        assert torch.equal(layer.scale, wanted.scale)
        whole = layer.dequantized_weight()
        assert torch.equal(whole[keep], floats[name][keep])
        assert torch.equal(whole[~keep], wanted.dequantized(layer.spec.weights, group)[~keep])
        assert (layer.kept is None) == (not keep.any())
    total = sum(w.numel() for w in floats.values())
    assert kept == pytest.approx(0.02 * total, abs=len(floats))


def test_layers_outside_the_blocks_have_no_share():
    model = tiny.opt_post_norm()  # with projections before the first block and after the last
    names = quant.quantize_(model, recipe(Gwq(scope="model", fraction=0.5)), tiny.ids())
    outside = [name for name in names if ".layers." not in name]
    layers = dict(quant.quantized_layers(model))
    assert len(outside) == 2
    assert all(layers[name].kept is None for name in outside)
    inside = [layers[name] for name in names if name not in outside]
    weights = sum(layer.qweight.numel() for layer in inside)
    kept = [layer.kept for layer in inside if layer.kept]
    assert sum(len(part.value) for part in kept) == weights // 2


def test_a_format_without_a_zero_keeps_what_is_missing(tmp_path):
    toml = tmp_path / "odd.toml"
    toml.write_text('name = "odd"\nwidth = 2\nfrac_bits = 0\nlevels = [1, 3, -1, -3]\n')
    model = tiny.opt()
    weight = model.model.decoder.layers[0].fc1.weight.detach().clone()
    quant.quantize_(model, recipe(Gwq(values="float32"), weights=str(toml)), tiny.ids())
    layer = model.model.decoder.layers[0].fc1
    places = layer.kept_index.long()
    assert len(places) == round(0.01 * weight.numel())
    whole = layer.dequantized_weight().flatten()[places]
    assert torch.allclose(whole, weight.flatten()[places], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("values", ["float16", "float32"])
@pytest.mark.parametrize("make", [tiny.opt, tiny.llama])
def test_a_folder_restores_every_bit(tmp_path, make, values):
    model = make()
    quant.quantize_(model, recipe(Gwq(values=values), group_size=7), tiny.ids())
    quant.save_quantized(model, tmp_path / "q")
    back = quant.load_model(tmp_path / "q")
    state, want = back.state_dict(), model.state_dict()
    assert state.keys() == want.keys()
    assert sum(name.endswith("kept_value") for name in want) >= 12
    for name in want:
        assert state[name].dtype == want[name].dtype, name
        assert torch.equal(state[name], want[name]), name
    for execution in ("float", "exact"):
        for m in (model, back):
            quant.set_execution(m, execution)
        assert torch.equal(back(input_ids=tiny.ids()).logits, model(input_ids=tiny.ids()).logits)
    half = dict(quant.quantized_layers(quant.load_model(tmp_path / "q", dtype=torch.bfloat16)))
    for name, layer in quant.quantized_layers(model):
        assert half[name].kept_value.dtype == getattr(torch, values)
        assert torch.equal(half[name].kept_value, layer.kept_value)


def test_more_kept_is_nearer_to_the_float_model():
    wanted = tiny.opt()(input_ids=tiny.ids()).logits
    errors = []
    for fraction in (0.0, 0.25, 1.0):
        model = tiny.opt()
        quant.quantize_(model, recipe(Gwq(fraction=fraction), weights="int3"), tiny.ids())
        errors.append((model(input_ids=tiny.ids()).logits - wanted).square().mean().item())
    assert errors == sorted(errors, reverse=True)
    plain = tiny.opt()
    quant.quantize_(plain, "w3a8-rtn-int3")
    logits = plain(input_ids=tiny.ids()).logits
    assert (logits - wanted).square().mean().item() == errors[0], "none kept is plain rounding"


def test_it_works_behind_scales():
    model = tiny.opt()
    wanted = model(input_ids=tiny.ids()).logits
    quant.quantize_(model, recipe(Aweq(), Gwq(fraction=1.0, values="float32")), tiny.ids())
    gap = (model(input_ids=tiny.ids()).logits - wanted).abs().max()
    assert gap < 0.05 * wanted.abs().max()  # of activations, in 8 bits


def test_wrong_requests_are_refused_in_one_line():
    with pytest.raises(ValueError, match="method 'gwq' needs calibration: token ids"):
        quant.quantize_(tiny.opt(), "w4a8-gwq-int4")
    with pytest.raises(ValueError, match=r"^gradients need samples of two tokens or more, got 1$"):
        quant.quantize_(tiny.opt(), "w4a8-gwq-int4", tiny.ids()[:, :1])
    with pytest.raises(ValueError, match=r"^gradients need a model with logits: a causal language"):
        quant.quantize_(tiny.opt().model, "w4a8-gwq-int4", tiny.ids())
    model = tiny.opt()
    tiny.nan_at(model, tiny.ids()[0, 3])
    with pytest.raises(ValueError, match=r"^layer '.*k_proj': its gradient is not finite$"):
        quant.quantize_(model, "w4a8-gwq-int4", tiny.ids())
    model = tiny.opt()
    with torch.no_grad():
        model.model.decoder.layers[0].fc1.weight.mul_(1e7)
    with pytest.raises(
        ValueError, match=r"^layer '.*fc1': a weight to be kept is too large for fl"
    ):
        quant.quantize_(model, recipe(Gwq(fraction=1.0)), tiny.ids())
