"""A folder's config: what does not say the same as its recipe or its files is refused."""

import json
import re
import shutil

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM

import macsmith.quant as quant
from macsmith.quant import steps
from macsmith.quant.config import checked
from macsmith.quant.recipe import Recipe, Weights

UP = "model.layers.0.mlp.up_proj"
QUICK_DAQ = Recipe(weights=Weights(format="nf4"), steps=(steps.Daq(epochs=0, samples=1),))
RECIPES = {"attention": "w4a8v4-rtn-dint4z", "gwq": "w4a8-gwq-int4", "daq": QUICK_DAQ}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders by the names above, and that of a model whose weights alone are quantized."""
    folders = {}
    for name, recipe in (RECIPES | {"weights": "w4a16-rtn-nf4"}).items():
        model = tiny.llama()
        quant.quantize_(model, recipe, tiny.ids())
        folders[name] = quant.save_quantized(model, tmp_path_factory.mktemp("saved") / name)
    return folders


def refused(folder, words):
    """By both ways in, in one line."""
    for load in (quant.load_model, AutoModelForCausalLM.from_pretrained):
        with pytest.raises(ValueError, match=f": {re.escape(words)}$|^{re.escape(words)}$") as said:
            load(folder)
        assert "\n" not in str(said.value)


CASES = [
    # What the config says twice.
    ("attention", lambda q: q.update(attention=None),
     "attention.0.weights.name is None, by the recipe it is 'int8z'"),
    ("attention", lambda q: q["recipe"].update(attention=None),
     "attention.0.weights.name is 'int8z', by the recipe it is None"),
    ("attention", lambda q: q["recipe"]["activations"].update(scheme="float"),
     "spec.acc_width is 32, by the recipe it is None"),
    ("weights", lambda q: q["recipe"]["activations"].update(scheme="token-symmetric"),
     "spec.activations.name is None, by the recipe it is 'int8'"),
    ("attention", lambda q: q["recipe"]["weights"].update(format="int8"),
     "spec.weights.name is 'dint4z', by the recipe it is 'int8'"),
    ("attention", lambda q: q["spec"]["weights"]["levels"].__setitem__(3, -3),
     "spec.weights.levels.3 is -3, by the recipe it is 6"),
    ("attention", lambda q: q["spec"].update(acc_width=24),
     "spec.acc_width is 24, by the recipe it is 32"),
    # What the files say too.
    ("attention", lambda q: q["layers"].remove(UP),
     f"'{UP}.weight' is U8, wanted floating point"),
    ("gwq", lambda q: q["kept"].pop(UP),
     f"tensor '{UP}.kept_index' is there, and not in the config"),
    ("gwq", lambda q: q["kept"][UP].update(count=1),
     f"'{UP}.kept_index' has shape [10], wanted [1]"),
    ("daq", lambda q: q["offset"].remove(UP),
     f"tensor '{UP}.offset' is there, and not in the config"),
    ("attention", lambda q: q["offset"].append(UP), f"tensor '{UP}.offset' is missing"),
    ("attention", lambda q: q["biased"].append(UP), f"tensor '{UP}.bias' is missing"),
    ("attention", lambda q: q["recipe"]["weights"].update(group_size=32),
     "'model.layers.0.mlp.down_proj.scale' has shape [24, 1], wanted [24, 2]"),
    # What is nothing of the kind.
    ("attention", lambda q: q.update(version=2), "version: Input should be 1, not 2"),
    ("attention", lambda q: q.update(version=True), "version: wanted 1, not True"),
    ("attention", lambda q: q.update(colour=1), "unknown key 'colour'"),
    ("attention", lambda q: q["recipe"].update(foo=1), "unknown key 'recipe.foo'"),
    ("attention", lambda q: q["recipe"]["weights"].update(foo=1),
     "unknown key 'recipe.weights.foo'"),
    ("attention", lambda q: q.pop("recipe"), "recipe: Field required"),
    ("attention", lambda q: q.update(recipe={}), "recipe.weights: Field required"),
    ("attention", lambda q: q["recipe"]["weights"].update(group_size="a"),
     "recipe.weights.group_size: Input should be a valid integer, not 'a'"),
    ("attention", lambda q: q["recipe"]["weights"].update(group_size=-1),
     "recipe.weights.group_size: Input should be greater than or equal to 0, not -1"),
    ("attention", lambda q: q["recipe"]["weights"].update(errors="without-rounding"),
     "weights.errors 'without-rounding': such a model is computed, but not saved"),
    ("attention", lambda q: q["spec"]["weights"].pop("levels"),
     "spec.weights.levels: Field required"),
    ("attention", lambda q: q["layers"].append(UP), f"layers: '{UP}' is there twice"),
    ("attention", lambda q: q["layers"].append("model.norm"),
     "layer 'model.norm' is a LlamaRMSNorm: wanted a Linear"),
    ("attention", lambda q: q["offset"].append("model.nope"),
     "offset: 'model.nope' is none of the layers"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "words"), CASES, ids=[words for *_, words in CASES])
def test_a_config_that_contradicts_itself_or_the_files(saved, tmp_path, name, change, words):
    folder = shutil.copytree(saved[name], tmp_path / "q")
    table = json.loads((folder / "config.json").read_text())
    change(table["quantization_config"])
    (folder / "config.json").write_text(json.dumps(table))
    refused(folder, words)


def test_what_was_saved_agrees(saved):
    for folder in saved.values():
        table = json.loads((folder / "config.json").read_text())["quantization_config"]
        assert checked(table) == table
        assert torch.isfinite(quant.load_model(folder)(tiny.ids()).logits).all()


def test_users_formats_are_the_folders_on_every_side(tmp_path):
    """Their files need not be here."""
    toml = tmp_path / "mine.toml"
    toml.write_text('name = "mine"\nwidth = 3\nfrac_bits = 1\nlevels = [0,1,2,3,5,-1,-2,-5]\n')
    (tmp_path / "r.toml").write_text(
        'version = 1\n[weights]\nformat = "mine.toml"\n[activations]\nformat = "mine.toml"\n'
        'scheme = "token-symmetric"\n[attention.value]\nformat = "mine.toml"\n'
    )
    model = tiny.llama()
    quant.quantize_(model, tmp_path / "r.toml")
    folder = quant.save_quantized(model, tmp_path / "q")
    toml.unlink()
    again = quant.load_model(folder)
    assert torch.equal(again(tiny.ids()).logits, model(tiny.ids()).logits)
    quant.save_quantized(again, tmp_path / "again")
    table = json.loads((folder / "config.json").read_text())
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == table
