"""Quantized models as compressed-tensors folders, which transformers and vLLM read.

Per quantized layer with weights of b bits, levels q - z for codes and zero points of that layout:

    format            int-quantized (activations quantized)   pack-quantized (weights only)
    weight            int8 [N, K], one code to a byte
    weight_packed                                             int32 [N, ceil(K b / 32)]
    weight_shape                                              int64 [2]: N, K
    weight_scale      float32 [N, G]                          float32 [N, G]
    weight_zero_point int8 [N, G], if there is one            int32 [ceil(N b / 32), G], packed

Packed numbers lie in a row without gaps, the first in the lowest bits, 2**(b - 1) added to each;
zero points are packed along N. Loaded in float32, the weights are the same to the last bit.

compressed-tensors 0.20 reads packed zero points only where it may dequantize at once: otherwise it
expects them unpacked, and stops. So the config of such a folder asks for that.

What the layout has no words for is refused, or is not said: the accumulator is not said, nor that
a symmetric token's scale is absmax / 127 here and absmax / 127.5 there. Asymmetric tokens are
quantized there as here, to the last bit, where a layer gets a batch of sequences [B, T, K]. Of an
input [T, K], which OPT's fc1 and fc2 get, compressed-tensors 0.20 gives every number a scale of its
own, so that OPT's logits there are not those here.
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from macsmith.quant.attention import quantized_attentions
from macsmith.quant.config import METHOD
from macsmith.quant.convert import quantized_layers
from macsmith.quant.io import quiet, replace_folder
from macsmith.quant.linear import QuantLinear
from macsmith.sim.catalog import FORMATS
from macsmith.sim.formats import Format

__all__ = ["LAYOUT", "pack", "save_compressed"]

LAYOUT = "compressed-tensors"


def save_compressed(model: Any, folder: str | Path, tokenizer: Any = None) -> Path:
    """Write a quantized transformers model (and its tokenizer) as a folder, all of it or nothing.

    ``model`` is as it was afterwards. ValueError, before anything is written, if it is not
    quantized or the layout cannot say what it is.
    """
    if getattr(model, "quantization_method", None) != METHOD:
        raise ValueError("the model is not quantized by macsmith: call quantize_ first")
    layers = dict(quantized_layers(model))
    _check_model(model, layers)
    state = model.state_dict()
    for name, layer in layers.items():
        for part in ("qweight", "scale", "zero_point"):
            state.pop(f"{name}.{part}", None)
        state |= {f"{name}.{part}": tensor for part, tensor in _tensors(layer).items()}
    ours = model.config.quantization_config, model.hf_quantizer
    try:
        model.config.quantization_config, model.hf_quantizer = _config(model, layers), None
        with replace_folder(folder) as partial, quiet():
            model.save_pretrained(partial, state_dict=state)
            if tokenizer is not None:
                tokenizer.save_pretrained(partial)
    finally:
        model.config.quantization_config, model.hf_quantizer = ours
    return Path(folder)


def pack(unsigned: np.ndarray, width: int) -> torch.Tensor:
    """Rows of numbers below 2**width, uint8 [R, C], as int32 [R, ceil(C width / 32)]."""
    bits = (unsigned[..., None] >> np.arange(width, dtype=np.uint8)) & 1  # (R, C, width)
    rows = np.packbits(bits.reshape(len(unsigned), -1), axis=1, bitorder="little")
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    return torch.from_numpy(rows.view("<i4").astype(np.int32))


def _tensors(layer: QuantLinear) -> dict[str, torch.Tensor]:
    fmt = layer.spec.weights
    half = 2 ** (fmt.width - 1)
    found = {"weight_scale": layer.scale}
    if fmt.zero_pointed:
        unsigned, zero = layer.qweight, layer.zero_point
    else:  # two's complement: the sign bit turned over is the number plus half
        unsigned, zero = layer.qweight ^ half, None
    if layer.activations.quantized:
        found["weight"] = _signed(unsigned, half)
        if zero is not None:
            found["weight_zero_point"] = _signed(zero, half)
        return found
    found["weight_packed"] = pack(unsigned.cpu().numpy(), fmt.width)
    found["weight_shape"] = torch.tensor(layer.qweight.shape)
    if zero is not None:
        found["weight_zero_point"] = pack(zero.T.cpu().numpy(), fmt.width).T.contiguous()
    return found


def _signed(unsigned: torch.Tensor, half: int) -> torch.Tensor:
    return (unsigned.to(torch.int16) - half).to(torch.int8)


def _config(model: nn.Module, layers: dict[str, QuantLinear]) -> dict[str, Any]:
    layer = next(iter(layers.values()))
    group = model.config.quantization_config.recipe["weights"]["group_size"]
    weights = {
        "num_bits": layer.spec.weights.width,
        "type": "int",
        "symmetric": not layer.spec.weights.zero_pointed,
        "strategy": "group" if group else "channel",
        "group_size": group or None,
        "dynamic": False,
    }
    inputs = None
    if layer.activations.quantized:
        inputs = {
            "num_bits": layer.spec.activations.width,
            "type": "int",
            "symmetric": layer.activations.scheme == "token-symmetric",
            "strategy": "token",
            "dynamic": True,
        }
    form = "int-quantized" if inputs else "pack-quantized"
    scheme = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    left = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return {
        "quant_method": LAYOUT,
        "format": form,
        "quantization_status": "compressed",
        "config_groups": {"group_0": scheme | {"output_activations": None, "format": form}},
        "ignore": left,
        **({"dequantize": True} if not inputs and not weights["symmetric"] else {}),
    }


def _check_model(model: nn.Module, layers: dict[str, QuantLinear]) -> None:
    if quantized_attentions(model):
        raise ValueError(f"{LAYOUT} cannot say that attention's products are quantized")
    config = deepcopy(model.config)
    del config.quantization_config
    with torch.device("meta"):
        plain = type(model)(config)
    group = model.config.quantization_config.recipe["weights"]["group_size"]
    for name, layer in layers.items():
        if what := _unsaid(layer, plain.get_submodule(name), group):
            raise ValueError(f"layer {name!r}: {LAYOUT} cannot say {what}")


def _unsaid(layer: QuantLinear, plain: nn.Linear, group: int) -> str | None:
    """What the layout has no words for, if anything."""
    weights, activations = layer.spec.weights, layer.spec.activations
    size = layer.group_size
    if not _is_integer(weights):
        known = [name for name, fmt in FORMATS.items() if _is_integer(fmt)]
        return f"weights in {weights.name}: wanted {', '.join(known)}"
    if layer.activations.quantized and not activations.is_twos_complement:
        return f"activations in {activations.name}: wanted int8"
    if layer.kept is not None:
        return "that weights are kept in float"
    if layer.offset is not None:
        return "an offset beside the codes"
    if layer.errors != "all":
        return f"weights {layer.errors}"
    if (layer.scale < 0).any():
        return "that scales are below 0: wanted weights.orientation 'positive'"
    if size < group:
        return f"a group of {group} in a layer of {layer.in_features} channels"
    if layer.in_features % size:
        return f"groups of {size} of {layer.in_features} channels, the last of which is short"
    if (layer.bias is None) != (plain.bias is None):
        return "that the layer has gained a bias"
    return None


def _is_integer(fmt: Format) -> bool:
    """Whether the format is two's complement, or the same uniform levels at any zero point."""
    plain = (fmt.affine, fmt.frac_bits) == (frozenset(range(2**fmt.width)), 0)
    uniform = plain and fmt.levels == tuple(range(2**fmt.width))
    return fmt.width <= 8 and (fmt.is_twos_complement or uniform)
