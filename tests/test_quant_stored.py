"""A folder's tensors: each as it was saved, or none of them is loaded."""

import re
import shutil

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import macsmith.quant as quant

UP = "model.layers.0.mlp.up_proj"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A function from recipe and model to the folder."""
    made = {}

    def folder(recipe, make=tiny.llama):
        key = recipe, make.__name__
        if key not in made:
            model = make()
            quant.quantize_(model, recipe, tiny.ids())
            place = tmp_path_factory.mktemp("saved") / "q"
            made[key] = quant.save_quantized(model, place)
        return made[key]

    return folder


def refused(folder, place, change, words):
    """By both ways in, in one line, with the tensors changed."""
    shutil.copytree(folder, place)
    tensors = load_file(place / "model.safetensors")
    change(tensors)
    save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})
    for load in (quant.load_model, AutoModelForCausalLM.from_pretrained):
        with pytest.raises(ValueError, match=f"quantized folder: {re.escape(words)}$") as said:
            load(place)
        assert "\n" not in str(said.value)


@pytest.mark.parametrize("recipe", ["w4a8-rtn-dint4", "w8a8-rtn"])
def test_a_layer_of_which_there_is_nothing(saved, tmp_path, recipe):
    def change(tensors):
        del tensors[f"{UP}.weight"], tensors[f"{UP}.scale"]

    refused(saved(recipe), tmp_path / "q", change, f"tensor '{UP}.scale' is missing")


@pytest.mark.parametrize(("make", "name"), [
    (tiny.llama, "model.norm.weight"), (tiny.llama, "lm_head.weight"),
    (tiny.opt, "model.decoder.embed_tokens.weight"),  # the head is tied to it
])  # fmt: skip
def test_a_weight_that_stayed_in_float_is_never_made_up(saved, tmp_path, make, name):
    def change(tensors):
        tied = [key for key in ("lm_head.weight", name) if key in tensors]
        for key in tied if make is tiny.opt else (name,):
            del tensors[key]

    refused(saved("w8a8-rtn", make), tmp_path / "q", change, f"tensor '{name}' is missing")


@pytest.mark.parametrize(("name", "make_of", "words"), [
    (f"{UP}.scale", lambda x: x[1:].clone(), "has shape [39, 1], wanted [40, 1]"),
    (f"{UP}.weight", lambda x: x[1:].clone(), "has shape [479], wanted [480]"),
    ("model.norm.weight", lambda x: x[1:].clone(), "has shape [23], wanted [24]"),
    ("model.norm.weight", lambda x: x.to(torch.int8), "is I8, wanted floating point"),
    ("model.norm.weight", lambda x: x * torch.inf, "is not finite"),
])  # fmt: skip
def test_shapes_and_dtypes(saved, tmp_path, name, make_of, words):
    def change(tensors):
        tensors[name] = make_of(tensors[name])

    refused(saved("w4a8-rtn-dint4z"), tmp_path / "q", change, f"'{name}' {words}")


@pytest.mark.parametrize("part", ["offset", "bias"])
def test_a_tensor_too_many(saved, tmp_path, part):
    def change(tensors):
        tensors[f"{UP}.{part}"] = torch.ones(40)

    words = f"tensor '{UP}.{part}' is there, and not in the config"
    refused(saved("w4a8-rtn-dint4z"), tmp_path / "q", change, words)


@pytest.mark.parametrize(("recipe", "part", "change", "words"), [
    ("w4a8-gwq-int4", "kept_value", lambda x: x[:1].fill_(torch.nan),
     "a kept weight that is not finite"),
    ("w4a8-gwq-int4", "kept_index", lambda x: x.copy_(x.flip(0)), "kept weights out of order"),
    ("w4a8-gwq-int4", "kept_index", lambda x: x[-1:].fill_(960), "kept weights outside itself"),
    ("w4a8-daq-nf4", "offset", lambda x: x[:1].fill_(torch.inf), "an offset that is not finite"),
    ("w4a8-aweq-int4", "bias", lambda x: x[:1].fill_(torch.nan), "a bias that is not finite"),
    ("w4a8-rtn-dint4z", "scale", lambda x: x[:1].neg_(),
     "a scale below 0: dint4z has zero points instead"),
])  # fmt: skip
def test_numbers_of_a_layer(saved, tmp_path, recipe, part, change, words):
    def damage(tensors):
        change(tensors[f"{UP}.{part}"])

    refused(saved(recipe), tmp_path / "q", damage, f"layer '{UP}' has {words}")
