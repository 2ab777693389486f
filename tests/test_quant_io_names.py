"""Folders of models whose tensors transformers names otherwise, and paths of odd forms."""

import pytest
import tiny
import torch
from transformers import AutoModel, AutoModelForCausalLM, MixtralConfig, MixtralForCausalLM

import macsmith.quant as quant


def mixtral():
    torch.manual_seed(0)
    config = MixtralConfig(
        **tiny.COMMON, intermediate_size=40, num_key_value_heads=2, num_local_experts=2
    )
    return MixtralForCausalLM(config).eval()


@pytest.mark.parametrize("recipe", ["w4a8-rtn-dint4z", "w4a8v4-rtn-dint4z"])
@pytest.mark.parametrize("make", [tiny.neox, mixtral])
def test_other_names_in_the_file_are_no_missing_tensors(tmp_path, make, recipe):
    model = make()
    quant.quantize_(model, recipe)
    folder = quant.save_quantized(model, tmp_path / "q")
    for load in (AutoModelForCausalLM.from_pretrained, quant.load_model):
        found = load(folder)
        assert torch.equal(found(tiny.ids()).logits, model(tiny.ids()).logits)


def test_a_bare_decoder_can_be_saved_again(tmp_path):
    model = tiny.llama()
    quant.quantize_(model, "w4a8-rtn-dint4")
    bare = AutoModel.from_pretrained(quant.save_quantized(model, tmp_path / "q"))
    quant.save_quantized(bare, tmp_path / "bare")
    again = AutoModel.from_pretrained(tmp_path / "bare")
    wanted = bare(tiny.ids()).last_hidden_state
    assert torch.equal(again(tiny.ids()).last_hidden_state, wanted)


def test_a_path_through_the_folder_itself(tmp_path):
    model = tiny.llama()
    quant.quantize_(model, "w4a8-rtn-dint4")
    folder = quant.save_quantized(model, tmp_path / "q")
    quant.save_quantized(model, folder / ".." / "q")
    assert [place.name for place in tmp_path.iterdir()] == ["q"]
    assert quant.load_model(folder)
