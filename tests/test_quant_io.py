"""Folders: what is saved comes back bit for bit, and what cannot be is said in one line."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
)

import macsmith.quant as quant
from macsmith.quant import io
from macsmith.quant.recipe import Recipe, Weights

COMMON = {
    "vocab_size": 50,
    "hidden_size": 24,  # 24 * 33 is odd times eight: packing and short groups are exercised
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 1,
}
IDS = torch.arange(40).view(2, 20)


def opt():
    torch.manual_seed(0)
    config = OPTConfig(**COMMON, ffn_dim=33, word_embed_proj_dim=24, dropout=0.0)
    return OPTForCausalLM(config).eval()


def llama():
    torch.manual_seed(0)
    config = LlamaConfig(**COMMON, intermediate_size=33, tie_word_embeddings=False)
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def folder(tmp_path):
    model = opt()
    quant.quantize_(model, "w4a8-rtn-dint4")
    return quant.save_quantized(model, tmp_path / "quantized")


@pytest.mark.parametrize("group", [0, 10])
@pytest.mark.parametrize("weights", ["int8", "int4", "dint4z", "dint3"])
@pytest.mark.parametrize("make", [opt, llama])
def test_a_folder_restores_every_bit(tmp_path, make, weights, group):
    model = make()
    quant.quantize_(model, Recipe(weights=Weights(format=weights, group_size=group)))
    quant.save_quantized(model, tmp_path / "q")
    back = AutoModelForCausalLM.from_pretrained(tmp_path / "q", dtype=torch.float32)
    state, want = back.state_dict(), model.state_dict()
    assert state.keys() == want.keys()
    for name in want:
        assert state[name].dtype == want[name].dtype
        assert torch.equal(state[name], want[name]), name
    for execution in ("float", "exact"):
        for m in (model, back):
            quant.set_execution(m, execution)
        assert torch.equal(back(input_ids=IDS).logits, model(input_ids=IDS).logits)


def test_weights_alone_come_back_with_activations_in_float(tmp_path):
    model = opt()
    quant.quantize_(model, "w4a16-rtn-nf4")
    back = io.load_model(quant.save_quantized(model, tmp_path / "q"))
    assert torch.equal(back(input_ids=IDS).logits, model(input_ids=IDS).logits)
    with pytest.raises(ValueError, match=r"^exact execution needs quantized activations"):
        quant.set_execution(back, "exact")


def test_four_bit_codes_are_stored_two_to_a_byte(folder):
    tensors = load_file(folder / "model.safetensors")
    name = "model.decoder.layers.0.fc1"
    assert tensors[f"{name}.weight"].dtype == torch.uint8
    assert tensors[f"{name}.weight"].shape == (24 * 33 // 2,)
    assert tensors[f"{name}.scale"].dtype == torch.float32
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    assert config["quant_method"] == "macsmith.quant"
    assert config["recipe"]["name"] == "w4a8-rtn-dint4"
    assert config["spec"]["weights"]["levels"][8:10] == [1, -1]
    assert name in config["layers"]
    assert "lm_head" not in config["layers"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_scales_stay_float32_whatever_is_asked(folder, dtype):
    want = io.load_model(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    for (name, layer), (_, other) in zip(
        quant.quantized_layers(model), quant.quantized_layers(want), strict=True
    ):
        assert layer.scale.dtype == torch.float32, name
        assert torch.equal(layer.scale, other.scale)
        assert layer.bias.dtype == dtype
    assert model(input_ids=IDS).logits.dtype == dtype


def test_the_decoder_alone_can_be_loaded(folder):
    model = AutoModel.from_pretrained(folder)
    assert sum(1 for _ in quant.quantized_layers(model)) == 6


def test_a_restored_model_can_be_saved_again(folder, tmp_path):
    again = io.save_quantized(io.load_model(folder), tmp_path / "again")
    first, second = (load_file(f / "model.safetensors") for f in (folder, again))
    assert all(torch.equal(first[name], second[name]) for name in first | second)


def test_a_users_format_travels_with_the_folder(tmp_path):
    toml = tmp_path / "mine.toml"
    toml.write_text('name = "mine"\nwidth = 3\nfrac_bits = 1\nlevels = [0,1,2,3,5,-1,-2,-5]\n')
    model = opt()
    quant.quantize_(model, Recipe(weights=Weights(format=str(toml))))
    quant.save_quantized(model, tmp_path / "q")
    toml.unlink()
    back = io.load_model(tmp_path / "q")
    assert torch.equal(back(input_ids=IDS).logits, model(input_ids=IDS).logits)


@pytest.mark.parametrize("first", ["macsmith.quant", "transformers.quantizers"])
def test_import_order_does_not_matter_and_the_import_is_cheap(folder, first):
    second = {"macsmith.quant": "transformers.quantizers"}.get(first, "macsmith.quant")
    code = f"""
import sys, {first}, {second}
assert "numba" not in sys.modules
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained({str(folder)!r})
print(type(model.model.decoder.layers[0].fc1).__name__)
"""
    assert _python(code).stdout.strip() == "QuantLinear"


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, macsmith.quant; print({'torch', 'transformers', 'numba'} & sys.modules.keys())"
    )
    assert _python(code).stdout.strip() == "set()"


def test_without_the_import_loading_fails(folder):
    code = f"""
from transformers import AutoModelForCausalLM
AutoModelForCausalLM.from_pretrained({str(folder)!r})
"""
    done = _python(code, check=False)
    assert done.returncode != 0
    assert "Unknown quantization type, got macsmith.quant" in done.stderr


def test_folders_that_are_no_model_are_refused_in_one_line(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(OSError, match=r"model folder .* has no config.json: empty$"):
        io.load_model(empty)
    opt().config.save_pretrained(empty)
    with pytest.raises(OSError, match=r"has no weights \(model.safetensors\): it has config.json$"):
        io.load_model(empty)
    (empty / "model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(ValueError, match=r"^model '.*empty': ") as caught:
        io.load_model(empty)
    assert "\n" not in str(caught.value)
    with pytest.raises(OSError, match="no such folder"):
        io.load_model(tmp_path / "nowhere")
    with pytest.raises(OSError, match="is a file: wanted a folder"):
        io.load_model(empty / "config.json")


def test_missing_weights_are_never_made_up(tmp_path):
    from safetensors.torch import save_file

    model = opt()
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.decoder.layers.0.fc2.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 weights are missing, the first is '.*fc2.weight'"):
        io.load_model(tmp_path)


def test_nothing_is_left_of_a_save_that_fails(tmp_path, monkeypatch):
    model = opt()
    quant.quantize_(model, "w8a8-rtn")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model.config, "save_pretrained", full, raising=False)
    with pytest.raises(OSError, match=r"^cannot write '.*q': No space left on device$"):
        io.save_quantized(model, tmp_path / "q")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_save_has_left(folder, tmp_path):
    """Of a process that is no more: the half is removed, the old folder put back; others stay."""
    model, nobody = io.load_model(folder), 2**22 + 1
    (tmp_path / f".quantized.{nobody}.tmp").mkdir()
    (tmp_path / f".quantized.{os.getpid()}.tmp.mine").mkdir()
    old = folder.rename(tmp_path / f".quantized.{nobody}.old")
    with pytest.raises(ValueError, match="stopped"), io.replace_folder(folder) as partial:  # noqa: PT012
        assert (folder / "config.json").is_file()
        assert not old.exists()
        (partial / "half").write_text("x")
        raise RuntimeError("stopped")
    assert io.load_model(folder).state_dict().keys() == model.state_dict().keys()
    left = {f".quantized.{os.getpid()}.tmp.mine", "quantized"}
    assert {file.name for file in tmp_path.iterdir()} == left


def test_only_quantized_folders_are_replaced(folder, tmp_path):
    model = io.load_model(folder)
    io.save_quantized(model, folder)
    plain = tmp_path / "plain"
    opt().save_pretrained(plain)
    before = sorted(os.listdir(plain))
    with pytest.raises(FileExistsError, match="is not empty and no quantized model"):
        io.save_quantized(model, plain)
    assert sorted(os.listdir(plain)) == before
    with pytest.raises(OSError, match="is a file: wanted a folder"):
        io.save_quantized(model, plain / "config.json")
    for place, where in ((plain / "config.json" / "below", ".*json"), ("/proc/q", "/proc")):
        with pytest.raises(OSError, match=rf"^cannot write '{place}': '{where}' is not writable$"):
            io.save_quantized(model, place)
    with pytest.raises(ValueError, match="the model is not quantized by macsmith: call quanti"):
        io.save_quantized(opt(), tmp_path / "new")


def _python(code: str, check: bool = True) -> subprocess.CompletedProcess:
    env = os.environ | {"TRANSFORMERS_VERBOSITY": "warning"}  # as a user has it
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=check, cwd="/", env=env
    )


def damaged(folder, change):
    """The folder with its tensors changed in place."""
    from safetensors.torch import save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


FC1 = "model.decoder.layers.0.fc1"


@pytest.mark.parametrize(
    "name", [f"{FC1}.{part}" for part in ("weight", "scale", "zero_point", "bias")]
)
def test_a_tensor_that_is_missing_is_never_made_up(tmp_path, name):
    """By transformers' own way in, too."""
    model = opt()
    quant.quantize_(model, "w4a8-rtn-dint4z")
    folder = quant.save_quantized(model, tmp_path / "q")
    damaged(folder, lambda tensors: tensors.pop(name))
    for load in (AutoModelForCausalLM.from_pretrained, io.load_model):
        with pytest.raises(ValueError, match=f"tensor '{name}' is missing"):
            load(folder)


@pytest.mark.parametrize(("part", "change", "words"), [
    ("zero_point", lambda x: x.fill_(16), "has zero point 16: dint4z goes to 15"),
    ("scale", lambda x: x.view(-1)[0].fill_(torch.nan), "has a scale that is not finite"),
    ("scale", lambda x: x.view(-1)[1].fill_(0), "has a scale of 0"),
])  # fmt: skip
def test_numbers_that_mean_nothing_are_refused(tmp_path, part, change, words):
    model = opt()
    quant.quantize_(model, "w4a8-rtn-dint4z")
    folder = quant.save_quantized(model, tmp_path / "q")
    damaged(folder, lambda tensors: change(tensors[f"{FC1}.{part}"]))
    with pytest.raises(ValueError, match=f"layer '{FC1}' {words}"):
        AutoModelForCausalLM.from_pretrained(folder)


def test_scales_of_another_dtype_and_kept_weights_elsewhere_are_refused(tmp_path):
    model = opt()
    quant.quantize_(model, "w4a8-gwq-int4", IDS)
    folder = quant.save_quantized(model, tmp_path / "q")
    damaged(folder, lambda tensors: tensors[f"{FC1}.kept_index"][-1:].fill_(24 * 33))
    with pytest.raises(ValueError, match=f"layer '{FC1}' has kept weights outside itself"):
        AutoModelForCausalLM.from_pretrained(folder)
    name = f"{FC1}.scale"
    damaged(folder, lambda tensors: tensors.update({name: tensors[name].bfloat16()}))
    with pytest.raises(ValueError, match=f"'{name}' is BF16, wanted F32"):
        AutoModelForCausalLM.from_pretrained(folder)
