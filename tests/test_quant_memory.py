"""What quantizing adds to a model's memory: as much for many blocks or samples as for few."""

import gc

import pytest
import tiny
import torch
from transformers import OPTConfig, OPTForCausalLM

import macsmith.quant as quant
from macsmith.quant import blocks, steps
from macsmith.quant.recipe import Attention, Recipe, Weights


@pytest.fixture(autouse=True)
def only_what_is_new():
    """What was there before is left out of `gc.get_objects`, and of every search through it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def live():
    """Bytes of all tensors that Python can reach, each storage once."""
    found = {}
    for x in gc.get_objects():
        if issubclass(type(x), torch.Tensor) and not x.is_meta:  # isinstance wakes lazy modules
            found[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
    return sum(found.values())


def added(blocks, chain, work):
    """The most that was alive after a layer, less the float model: bytes."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 128}
    config = tiny.COMMON | sizes | {"num_hidden_layers": blocks}
    model = OPTForCausalLM(OPTConfig(**config, dropout=0.0)).eval()
    # No zero points: tables of those that were met are kept, up to a fixed number of them.
    attention = Attention(key=Weights(format="int8"), value=Weights(format="int4"))
    recipe = Recipe(weights=Weights(format="int4"), attention=attention, steps=chain)
    gc.collect()
    before, seen = live(), []

    def progress(done, of):
        gc.collect()
        seen.append(live() - before)

    ids = tiny.ids(2) if recipe.calibrated else None
    quant.quantize_(model, recipe, ids, progress=progress, work=work)
    assert len(seen) == 6 * blocks
    gc.collect()
    # Codes take a byte for a float weight's four: nothing else is left.
    assert live() - before < -0.6 * blocks * sum(4 * n for n in (4 * 32 * 32, 2 * 32 * 128))
    return max(seen)


@pytest.mark.parametrize(
    "chain",
    [(steps.Rtn(),), (steps.Gptq(),), (steps.Aweq(), steps.Rtn(), steps.BiasCorrection())],
    ids=["rtn", "gptq", "aweq"],
)
def test_it_does_not_grow_with_the_blocks(chain, tmp_path):
    block = 4 * (4 * 32 * 32 + 2 * 32 * 128)
    few = added(2, chain, tmp_path / "few")
    assert added(9, chain, tmp_path / "many") <= few + block / 16  # lists of calls, masks
    assert few < 2 * block


def within(samples, chain):
    """The most that was alive whenever a block came to its last layer's input: bytes."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 256}
    model = OPTForCausalLM(OPTConfig(**tiny.COMMON | sizes, dropout=0.0)).eval()
    gc.collect()
    before, seen = live(), []
    for layer in model.model.decoder.layers:
        # No layer, which would be replaced: what runs between fc1 and fc2.
        layer.activation_fn.register_forward_hook(lambda *_: seen.append(live() - before))
    quant.quantize_(model, Recipe(weights=Weights(format="int4"), steps=chain), tiny.ids(samples))
    assert len(seen) > 4 * samples
    return max(seen)


@pytest.mark.parametrize(
    "chain",
    [
        (steps.Gptq(),),
        (steps.Gptq(inputs="layer"), steps.BiasCorrection()),
        (steps.SmoothQuant(), steps.Gptq()),
        (steps.Atq(), steps.Aweq(), steps.Rtn(), steps.BiasCorrection()),
        (steps.Awq(samples=2), steps.Rtn()),
    ],
    ids=["gptq", "corrected", "smoothquant", "ranges", "awq"],
)
def test_of_all_samples_there_are_hidden_states_once(chain, monkeypatch):
    monkeypatch.setattr(blocks, "TOKENS", 20)  # a sample to a call
    hidden = 4 * 20 * 32  # of a sample; fc2's input has eight times that
    assert within(18, chain) - within(6, chain) <= 12 * 1.5 * hidden  # masks
