"""Models that are elsewhere: on a GPU, or spread over devices by accelerate."""

from importlib.util import find_spec

import pytest
import tiny
import torch

import macsmith.quant as quant
from macsmith.quant import steps
from macsmith.quant.compare import compare
from macsmith.quant.presets import CHAINS
from macsmith.quant.recipe import Attention, Recipe, Weights

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
ACCELERATE = pytest.mark.skipif(find_spec("accelerate") is None, reason="accelerate is not here")


def recipe(chain):
    """INT8 with DAQ, which has a zero point of its own."""
    fmt = "int8" if any(isinstance(step, steps.Daq) for step in chain) else "dint4z"
    return Recipe(weights=Weights(format=fmt, group_size=10), attention=Attention(), steps=chain)


@CUDA
@pytest.mark.parametrize("chain", CHAINS)
def test_every_chain_on_a_gpu(chain, tmp_path):
    model = tiny.llama_gqa().cuda()
    quant.quantize_(model, recipe(CHAINS[chain]), tiny.ids(), work=tmp_path / "w")
    state = model.state_dict()
    assert len(state) > 40
    assert all(tensor.is_cuda for tensor in state.values())
    assert all(one.holds for one in compare(model, tiny.ids(2)))
    folder = quant.save_quantized(model, tmp_path / "q")
    again = quant.load_model(folder).state_dict()
    assert all(torch.equal(state[name].cpu(), again[name]) for name in state)
    third = tiny.llama_gqa().cuda()  # from the working folder
    quant.quantize_(third, recipe(CHAINS[chain]), tiny.ids(), work=tmp_path / "w")
    assert all(torch.equal(state[name], x) for name, x in third.state_dict().items())
    assert quant.perplexity(third, tiny.ids().flatten(), window=20).ppl > 1


@CUDA
def test_rounding_is_the_same_on_a_gpu():
    found = []
    for device in ("cpu", "cuda"):
        model = tiny.opt().to(device)
        quant.quantize_(model, recipe((steps.Rtn(),)))
        quant.set_execution(model, "exact")
        found.append({name: x.cpu() for name, x in model.state_dict().items()})
    assert all(torch.equal(found[0][name], x) for name, x in found[1].items())


@ACCELERATE
@pytest.mark.filterwarnings("default")  # accelerate's own
@pytest.mark.parametrize("chain", ["gptq", "gwq", "aweq"])
def test_a_model_with_a_device_map(chain, tmp_path):
    """Accelerate's hooks on every module, as where the map names several devices."""
    from accelerate import dispatch_model

    plain, spread = tiny.opt(), tiny.opt()
    parts = {"model.decoder.embed_tokens": "cpu", "model.decoder.embed_positions": "cpu",
             "model.decoder.layers.0": "cpu", "model.decoder.layers.1": "cpu",
             "model.decoder.final_layer_norm": "cpu", "lm_head": "cpu"}  # fmt: skip
    spread = dispatch_model(spread, parts, main_device="cpu", force_hooks=True)
    assert hasattr(spread.model.decoder.layers[1].fc1, "_hf_hook")
    wanted = quant.quantize_(plain, recipe(CHAINS[chain]), tiny.ids())
    assert quant.quantize_(spread, recipe(CHAINS[chain]), tiny.ids()) == wanted
    state = plain.state_dict()
    assert all(torch.equal(state[name], x) for name, x in spread.state_dict().items())
    folder = quant.save_quantized(spread, tmp_path / "q")
    from transformers import AutoModelForCausalLM

    again = AutoModelForCausalLM.from_pretrained(folder, device_map="cpu", dtype=torch.float32)
    with torch.no_grad():
        for execution in ("float", "exact"):
            found = []
            for model in (plain, spread, again):
                quant.set_execution(model, execution)
                found.append(model(tiny.ids()).logits)
            assert torch.equal(found[0], found[1])
            assert torch.equal(found[0], found[2])


@ACCELERATE
@pytest.mark.filterwarnings("default")
def test_an_offloaded_model_is_refused():
    from accelerate import cpu_offload

    model = cpu_offload(tiny.opt(), "cpu")
    with pytest.raises(ValueError, match=r"its weight is on no device: load without offloading$"):
        quant.quantize_(model, "w4a8-rtn-dint4")
