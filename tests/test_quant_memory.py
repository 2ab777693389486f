"""What quantizing adds to a model's memory: as much for many blocks as for few."""

import gc

import pytest
import tiny
import torch
from transformers import OPTConfig, OPTForCausalLM

import macsmith.quant as quant
from macsmith.quant import steps
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
