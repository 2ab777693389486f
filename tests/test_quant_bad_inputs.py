"""Every chain of steps on what models and users come with: a right result or one clear line."""

import pytest
import tiny
import torch
from transformers import OPTConfig, OPTForCausalLM

import macsmith.quant as quant
from macsmith.quant import steps
from macsmith.quant.compare import compare
from macsmith.quant.presets import CHAINS
from macsmith.quant.recipe import Attention, Recipe, Weights

CALIBRATED = [name for name in CHAINS if name != "rtn"]


def recipe(chain, **weights):
    """The chain as it is named, but for its time."""
    quick = {"samples": 2, "epochs": 1, "iterations": 3}
    chosen = []
    for step in CHAINS[chain]:
        mine = {name: value for name, value in quick.items() if name in type(step).model_fields}
        chosen.append(step.model_copy(update=mine))
    attention = Attention(value=Weights(format="int8z"))
    return Recipe(weights=Weights(format="int8", **weights), steps=chosen, attention=attention)


def model():
    config = tiny.COMMON | {"num_hidden_layers": 1, "hidden_size": 16}
    torch.manual_seed(0)
    made = OPTForCausalLM(OPTConfig(**config, ffn_dim=20, word_embed_proj_dim=16, dropout=0.0))
    with torch.no_grad():
        for layer in quant.convert.linear_layers(made, Recipe(weights=Weights(format="int8"))):
            made.get_submodule(layer).weight.mul_(10)
    return made.eval()


def with_odd_channels():
    """Inputs of which one is always 0 and one always the same; weights likewise, by row."""
    made = model()
    block = made.model.decoder.layers[0]
    with torch.no_grad():
        for norm in (block.self_attn_layer_norm, block.final_layer_norm):
            norm.weight[:3] = 0
            norm.bias[:3] = torch.tensor([0.0, 0.7, -4.0])
        block.fc1.weight[:2] = 0
        block.fc1.bias[:2] = torch.tensor([-1.0, 0.3])  # behind ReLU: always 0, always 0.3
        block.fc2.weight[4] = 0
        block.fc2.weight[5] = 0.25
        block.self_attn.out_proj.weight[:, 6] = 0
    return made


@pytest.mark.parametrize("chain", CHAINS)
def test_dead_and_constant_channels_and_a_short_group(chain):
    """On one thread and on two: the same codes, near the float model, exact as float."""
    ids, found = tiny.ids(3, 12), []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            made = with_odd_channels()
            quant.quantize_(
                made, recipe(chain, group_size=7), ids
            )  # of 16 and of 20: a rest of 2, 6
            found.append(made)
    finally:
        torch.set_num_threads(threads)
    one, two = (made.state_dict() for made in found)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert all(torch.isfinite(x).all() for x in one.values() if x.is_floating_point())
    assert len(dict(quant.quantized_layers(found[0]))) == 6
    with torch.no_grad():
        wanted, got = with_odd_channels()(ids).logits, found[0](ids).logits
    assert 0 < (got - wanted).norm() < 0.1 * wanted.norm()
    assert all(each.holds for each in compare(found[0], ids[:1]))


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_activations_that_are_not_finite(chain, value):
    made = model()
    with torch.no_grad():
        made.model.decoder.embed_positions.weight[9, 3] = value
    with pytest.raises(ValueError, match="not finite") as said:  # noqa: PT012
        quant.quantize_(made, recipe(chain), tiny.ids(2, 12))
        made(tiny.ids(2, 12))  # without calibration it is seen when it runs
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (tiny.ids(2, 33), r"^calibration: samples of 33 tokens, the model reads 32$"),
        (tiny.ids(2, 8)[:0], r"^calibration is empty: \[0, 8\] token ids$"),
        (tiny.ids(2, 8)[:, :0], r"^calibration is empty: \[2, 0\] token ids$"),
        (tiny.ids(2, 8) + 50, r"^calibration: token ids are \d+ up to \d+, the model's vocabulary"),
        (tiny.ids(2, 8).float(), r"^calibration: wanted integer token ids, got torch.float32$"),
        (None, r"^method '[a-z-]+' needs calibration: token ids \[samples, length\]$"),
    ],
    ids=["long", "no samples", "no tokens", "vocabulary", "floats", "none"],
)
@pytest.mark.parametrize("chain", CALIBRATED)
def test_calibration_that_cannot_be_used(chain, ids, words):
    made = model()
    with pytest.raises(ValueError, match=words):
        quant.quantize_(made, recipe(chain), ids)
    assert not list(quant.quantized_layers(made))  # it is as it was


@pytest.mark.parametrize("chain", CALIBRATED)
def test_a_single_token_is_enough_or_refused(chain):
    made = model()
    if chain == "gwq":
        with pytest.raises(ValueError, match="gradients need samples of two tokens or more, got 1"):
            quant.quantize_(made, recipe(chain), tiny.ids(2, 1))
        return
    quant.quantize_(made, recipe(chain), tiny.ids(2, 1))
    assert torch.isfinite(made(tiny.ids(1, 8)).logits).all()


def test_a_sequence_beyond_the_context():
    made = model()
    quant.quantize_(made, "w4a8-rtn-dint4")
    with pytest.raises(ValueError, match="window: the model reads 32 tokens, not 33"):
        quant.perplexity(made, tiny.ids(2, 40).flatten(), window=33)


def test_a_range_beyond_float32():
    made = model()
    with torch.no_grad():
        made.get_submodule(next(iter(quant.convert.linear_layers(made, recipe("rtn"))))).weight[
            0, :2
        ] = torch.tensor([3e38, -3e38])
    with pytest.raises(ValueError, match=r"^layer '\S+': the weight's range is more than float32"):
        quant.quantize_(made, recipe("rtn"), tiny.ids(2, 8))


@pytest.mark.parametrize(("damping", "more"), [(1e-17, "more of it"), (1e308, "less of it")])
def test_a_damping_that_leaves_no_inverse(damping, more):
    gptq = Recipe(weights=Weights(format="int4"), steps=(steps.Gptq(damping=damping),))
    with pytest.raises(ValueError, match=f"layer .*: gptq: no inverse of the Hessian .*{more}"):
        quant.quantize_(model(), gptq, tiny.ids(1, 4))


@pytest.mark.parametrize(("step", "field"), [
    (steps.Gptq, "damping"), (steps.Daq, "reach"), (steps.Daq, "step"), (steps.Daq, "rate"),
    (steps.Daq, "growth"),
])  # fmt: skip
def test_infinite_options(step, field):
    with pytest.raises(ValueError, match="finite number"):
        step(**{field: float("inf")})


@pytest.mark.parametrize("options", [{"step": 1e308, "rate": 1e300}, {"growth": 1e300}])
def test_steps_of_daq_beyond_all_bounds(options):
    daq = steps.Daq(epochs=1, iterations=4, samples=1, **options)
    made = model()
    quant.quantize_(made, Recipe(weights=Weights(format="nf4"), steps=(daq,)), tiny.ids(1, 8))
    assert torch.isfinite(made(tiny.ids(1, 8)).logits).all()


def test_a_parameter_that_is_not_finite_is_refused_before_the_work():
    """A norm's and a bias: what is saved with the model, and not quantized."""
    for name in ("model.decoder.final_layer_norm.weight", "model.decoder.layers.1.fc2.bias"):
        model = tiny.opt()
        with torch.no_grad():
            model.get_parameter(name)[3] = float("nan")
        for recipe in ("w4a8-rtn-int4", "w4a8-gptq-int4"):
            with pytest.raises(ValueError, match=f"^'{name}' has values that are not finite$"):
                quant.quantize_(model, recipe, tiny.ids())
        assert not list(quant.quantized_layers(model))
