"""Block by block: what layers are rounded on, the same codes on any threads, odd models."""

import pytest
import tiny
import torch

import macsmith.quant as quant
from macsmith.quant import steps
from macsmith.quant.attention import QuantAttention
from macsmith.quant.recipe import Attention, Recipe, Weights

#: Every method, in chains that are quick.
CHAINS = {
    "gptq": (steps.Gptq(),),
    "gptq-act": (steps.SmoothQuant(), steps.Gptq(order="activation", inputs="layer")),
    "awq": (steps.Awq(samples=2), steps.Rtn()),
    "aqas-gptq": (steps.Aqas(samples=2), steps.Gptq()),
    "aweq": (steps.Aweq(), steps.Rtn(), steps.BiasCorrection()),
    "atq-gptq": (steps.Atq(), steps.Gptq()),
    "gwq": (steps.Gwq(),),
    # All of the range: INT8 has nothing to gain from a narrower one.
    "awq-daq": (steps.Awq(samples=2, clip=False), steps.Daq(epochs=1, iterations=6, reach=1)),
}


def recipe(*chain, weights="int4", group_size=0):
    return Recipe(weights=Weights(format=weights, group_size=group_size), steps=chain)


def entering(model, blocks, names):
    """Inputs of linear layers, and of blocks, in one run of the model over all samples."""
    seen = {}

    def keep(name):
        def hook(_, args):
            seen.setdefault(name, []).append(args[0].detach().reshape(-1, args[0].shape[-1]))

        return hook

    modules = dict(model.named_modules())
    hooks = [modules[n].register_forward_pre_hook(keep(n)) for n in (*names, *blocks)]
    for row in tiny.ids():
        model(input_ids=row[None])
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(x) for name, x in seen.items()}


@pytest.mark.parametrize("make", [tiny.opt, tiny.llama])
def test_what_layers_are_rounded_on(make):
    """By block: the block in float, those before it quantized. By layer: all before it quantized.

    The last is what the quantized model itself hands to its layers; the first is what a model does
    whose later blocks are still in float.
    """
    last = "model.decoder.layers.1" if make is tiny.opt else "model.layers.1"
    found = {}
    for inputs in ("block", "layer"):
        given = {}

        def watch(name, layer, quantized, x, given=given):
            given[name] = torch.cat(x)

        model = make()
        quant.quantize_(model, recipe(steps.Gptq(inputs=inputs)), tiny.ids(), watch=watch)
        found[inputs] = given, entering(model, [last], given)
        assert len(given) >= 12
    given, entered = found["layer"]
    for name, x in given.items():
        assert torch.allclose(x, entered[name], rtol=1e-4, atol=1e-5), name
    given, entered = found["block"]
    model = make()
    half = entering(model, [last], given)  # all in float: so is the first block to its layers
    ran = 0
    for name, x in given.items():
        first = name.endswith(("q_proj", "k_proj", "v_proj"))
        if last not in name:
            assert torch.allclose(x, half[name], rtol=1e-4, atol=1e-5), name
        assert torch.allclose(x, entered[name], rtol=1e-4, atol=1e-5) == first, name
        ran += not first
    assert ran >= 6
    assert not torch.allclose(entered[last], half[last], atol=1e-3), "nothing was rounded"


@pytest.mark.parametrize("chain", CHAINS)
def test_codes_do_not_depend_on_threads(chain):
    """All of it is done on one: sums of many threads come in another order on other machines."""
    before = torch.get_num_threads()
    states, inside = [], set()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            model = tiny.llama_gqa()
            quant.quantize_(
                model,
                recipe(*CHAINS[chain]),
                tiny.ids(4, 32),
                watch=lambda *_: inside.add(torch.get_num_threads()),
            )
            assert torch.get_num_threads() == threads
            states.append(model.state_dict())
    finally:
        torch.set_num_threads(before)
    assert inside == {1}
    assert len(states[0]) >= 35
    for state in states[1:]:
        assert state.keys() == states[0].keys()
        assert all(torch.equal(state[name], x) for name, x in states[0].items())


@pytest.mark.parametrize(
    ("chain", "weights"),
    [(c, w) for c in CHAINS for w in ("dint4z", "nf4") if (c, w) != ("awq-daq", "dint4z")],
)
def test_dead_and_constant_channels_and_short_groups(chain, weights):
    """Groups of 7 in rows of 24 and 40; a dead and a constant input, a dead row and column."""
    model = tiny.opt()
    with torch.no_grad():
        for layer in model.model.decoder.layers:
            norm = layer.final_layer_norm
            norm.weight[3] = norm.bias[3] = 0
            norm.weight[4], norm.bias[4] = 0, 2
            layer.fc1.weight[5] = layer.fc1.bias[5] = 0
            layer.fc1.weight[:, 6] = 0
    wanted = model(input_ids=tiny.ids()).logits
    quant.quantize_(model, recipe(*CHAINS[chain], weights=weights, group_size=7), tiny.ids())
    for name, layer in quant.quantized_layers(model):
        assert layer.scale.shape[1] == -(-layer.in_features // 7), name
        assert torch.isfinite(layer.dequantized_weight()).all(), name
    for execution in ("float", "exact"):
        quant.set_execution(model, execution)
        gap = model(input_ids=tiny.ids()).logits - wanted
        assert gap.norm() < 0.5 * wanted.norm()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("chain", CHAINS)
def test_what_is_not_finite_is_refused_naming_the_layer(chain, value):
    """What a norm puts out, which nothing looks at before the block is run."""
    model = tiny.llama()
    model.model.layers[1].post_attention_layernorm.register_forward_hook(
        lambda _, args, y: torch.where(torch.arange(y.shape[-1]) == 2, value, y)
    )
    what = "gradient is" if chain == "gwq" else "calibration inputs are"
    with pytest.raises(ValueError, match=rf"^layer '[\w.]+': its {what} not finite$") as caught:
        quant.quantize_(model, recipe(*CHAINS[chain]), tiny.ids())
    assert chain == "gwq" or "layers.1.mlp" in str(caught.value)


@pytest.mark.parametrize("chain", CHAINS)
def test_calibration_has_to_be_there(chain):
    r, method = recipe(*CHAINS[chain]), CHAINS[chain][0].method
    for ids, message in (
        (None, f"method {method!r} needs calibration: token ids"),
        (torch.zeros(0, 8, dtype=torch.long), r"calibration is empty: \[0, 8\] token ids$"),
        (torch.zeros(3, 0, dtype=torch.long), r"calibration is empty: \[3, 0\] token ids$"),
        (torch.zeros(8, dtype=torch.long), r"wanted token ids \[samples, length\], got \[8\]$"),
        (torch.full((1, 4), 50), "token ids are 50 up to 50, the model's vocabulary is 50$"),
        (torch.zeros(1, 33, dtype=torch.long), "samples of 33 tokens, the model reads 32$"),
    ):
        with pytest.raises(ValueError, match=message):
            quant.quantize_(tiny.opt(), r, ids)


@pytest.mark.parametrize(
    "step", [steps.Awq(clip=False), steps.Aqas(clip=False), steps.Daq(epochs=0), steps.Gwq()]
)
def test_samples_beyond_the_calibration_are_refused_unless_they_are_the_default(tmp_path, step):
    rest = () if step.rounds else (steps.Rtn(),)
    recipe(step.model_copy(update={"samples": 4}), *rest).save(tmp_path / "asked.toml")
    model = tiny.opt()
    message = rf"^method '{step.method}': samples 4, the calibration has 3$"
    with pytest.raises(ValueError, match=message):
        quant.quantize_(model, tmp_path / "asked.toml", tiny.ids(3, 8))
    assert not list(quant.quantized_layers(model))  # it is as it was
    assert quant.quantize_(model, tmp_path / "asked.toml", tiny.ids(4, 8))
    recipe(step, *rest).save(tmp_path / "usual.toml")  # the default spelled out
    assert quant.quantize_(tiny.opt(), tmp_path / "usual.toml", tiny.ids(3, 8))


def test_a_block_is_scaled_and_rounded_with_its_own_attention_in_float(monkeypatch):
    ran, then = set(), {}
    score = QuantAttention.score

    def spy(attention, q, k):
        ran.add(attention)
        return score(attention, q, k)

    monkeypatch.setattr(QuantAttention, "score", spy)
    model = tiny.llama()
    r = recipe(*CHAINS["aqas-gptq"]).model_copy(update={"attention": Attention()})
    watch = lambda name, *_: then.update({name: len(ran)})  # noqa: E731
    quant.quantize_(model, r, tiny.ids(), watch=watch)
    assert len(then) == 14
    for name, count in then.items():
        assert count == ("layers.1." in name)  # by the first block's, behind which the second is


def test_layers_that_nothing_scales_are_said():
    told = []
    steps_ = (steps.SmoothQuant(), steps.Rtn())
    for make in (tiny.llama, tiny.neox):
        quant.quantize_(make(), recipe(*steps_), tiny.ids(), say=told.append)
    assert len(told) == 1
    assert told[0].startswith("4 of 8 layers have an input that can be scaled nowhere, and keep it")
    quant.quantize_(tiny.neox(), recipe(steps.Gptq()), tiny.ids(), say=told.append)
    assert len(told) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("chain", CHAINS)
def test_models_in_half_precision(chain, dtype):
    model = tiny.llama().to(dtype)
    wanted = model(input_ids=tiny.ids()).logits.float()
    quant.quantize_(model, recipe(*CHAINS[chain], weights="int8"), tiny.ids())
    for name, layer in quant.quantized_layers(model):
        assert layer.scale.dtype == torch.float32, name
        assert layer.bias is None or layer.bias.dtype == dtype, name
    logits = model(input_ids=tiny.ids()).logits
    assert logits.dtype == dtype
    assert (logits.float() - wanted).norm() < 0.1 * wanted.norm()


def test_the_longest_samples_and_the_shortest():
    for ids in (tiny.ids(1, 32), tiny.ids(2, 2), tiny.ids(1, 1)):
        model = tiny.llama()
        quant.quantize_(model, "w4a8-aqas-gptq-dint4", ids)
        assert torch.isfinite(model(input_ids=tiny.ids()).logits).all()


def test_progress_counts_layers_in_and_outside_blocks():
    seen = []
    model = tiny.llama()
    r = recipe(steps.Gptq()).model_copy(update={"ignore": ()})
    names = quant.quantize_(model, r, tiny.ids(), progress=lambda *pair: seen.append(pair))
    assert names[-1] == "lm_head"
    assert seen == [(k, 15) for k in range(1, 16)]


def test_training_mode_and_gradients_are_as_before():
    model = tiny.opt().train()
    quant.quantize_(model, recipe(steps.Gptq()), tiny.ids())
    assert model.training
    assert model.model.decoder.final_layer_norm.weight.requires_grad


@pytest.mark.parametrize("make", [tiny.opt, tiny.llama_gqa])
def test_blocks_are_calibrated_on_what_the_float_model_has(make):
    """And otherwise on what those before put out as they are quantized."""
    found = {}
    for prefix in ("quantized", "float"):
        given = {}

        def watch(name, layer, quantized, x, given=given):
            given[name] = torch.cat(x)

        chosen = recipe(steps.Gptq()).model_copy(update={"prefix": prefix})
        quant.quantize_(make(), chosen, tiny.ids(), watch=watch)
        found[prefix] = given
    wanted, float_model = {}, make()
    for name, layer in float_model.named_modules():
        if isinstance(layer, torch.nn.Linear) and name != "lm_head":
            layer.register_forward_pre_hook(
                lambda _, args, name=name: wanted.update({name: args[0].flatten(0, -2)})
            )
    float_model(tiny.ids())
    for name, x in found["float"].items():
        assert torch.allclose(x, wanted[name], rtol=1e-4, atol=1e-5), name
        first = ".layers.0." in name
        assert torch.equal(x, found["quantized"][name]) == first, name


def test_a_killed_run_that_looks_at_the_float_model_goes_on(tmp_path):
    """A block that is restored hands on what it would have before it was quantized."""
    chosen = recipe(steps.Awq(samples=2), steps.Gptq()).model_copy(update={"prefix": "float"})
    models = [tiny.llama_gqa() for _ in range(2)]
    quant.quantize_(models[0], chosen, tiny.ids(), work=tmp_path / "w")
    _, last = sorted((tmp_path / "w").iterdir())
    last.unlink()
    quant.quantize_(models[1], chosen, tiny.ids(), work=tmp_path / "w")
    states = [model.state_dict() for model in models]
    assert all(torch.equal(states[0][name], x) for name, x in states[1].items())
