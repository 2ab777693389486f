"""What transformers needs to save and restore a quantized model.

A quantized folder is a Hugging Face folder whose config.json has a `quantization_config` (see
`macsmith.quant.config`) and whose safetensors hold, per quantized layer,

    weight       uint8 [bytes]      packed codes
    scale        float32 [N, G]
    zero_point   uint8 [N, G]       zero-pointed formats only
    offset       float32 [N, G]     if it has one
    bias         as in the model    if it has one or has gained one
    kept_index   int32 or int64 [M], kept_value float16 or float32 [M]    if it keeps weights

Without `import macsmith.quant` transformers does not know the method, builds plain linear layers
and stops, because a packed weight has not their shape. It never goes on with random weights.
"""

from typing import Any

import torch
from torch import nn
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from macsmith.quant import codes
from macsmith.quant.config import METHOD, checked, recipe_of, specs_of
from macsmith.quant.kept import Kept, index_dtype
from macsmith.quant.recipe import Recipe
from macsmith.quant.stored import check_files, check_others, check_weight
from macsmith.quant.weights import QuantizedWeight
from macsmith.sim.formats import Format

__all__ = ["MacsmithConfig", "MacsmithQuantizer", "attach"]


@register_quantization_config(METHOD)
class MacsmithConfig(QuantizationConfigMixin):
    """Keys and values of `macsmith.quant.config` as attributes; ValueError as of `checked`."""

    def __init__(self, **table: Any) -> None:
        vars(self).update(checked(table))


@register_quantizer(METHOD)
class MacsmithQuantizer(HfQuantizer):
    """Restores saved codes; it does not quantize on the fly (`quantize_` does)."""

    requires_calibration = True

    def _process_model_before_weight_loading(self, model: nn.Module, **kwargs) -> nn.Module:
        config = self.quantization_config
        recipe, packed = recipe_of(vars(config)), []
        _check_errors(recipe)
        for saved in config.layers:
            name = _local(model, saved)
            linear = model.get_submodule(name)
            if type(linear) is not nn.Linear:
                kind = type(linear).__name__
                raise ValueError(f"quantized folder: layer {saved!r} is a {kind}: wanted a Linear")
            if config.biased is not None:
                bias = torch.empty(linear.out_features, dtype=linear.weight.dtype, device="meta")
                linear.bias = nn.Parameter(bias) if saved in config.biased else None
            kept, offset = config.kept.get(saved), saved in config.offset
            layer = _PackedLinear(
                linear, recipe.spec().weights, recipe.weights.group_size, kept, offset
            )
            model.set_submodule(name, layer)
            packed.append(name)
        if files := kwargs.get("checkpoint_files"):
            check_files(model, packed, files)
        return model

    def _process_model_after_weight_loading(self, model: nn.Module, **kwargs) -> nn.Module:
        config = self.quantization_config
        recipe = recipe_of(vars(config))
        for name in config.layers:
            name = _local(model, name)
            packed = model.get_submodule(name)
            weight = _weight(packed, recipe.spec().weights)
            check_weight(name, weight, packed.bias, recipe.spec().weights)
            model.set_submodule(name, _unpacked(weight, packed.bias, recipe))
        check_others(model)
        if recipe.attention:
            from macsmith.quant.attention import install

            install(model, recipe, enabled=True)
        return model

    def get_state_dict_and_metadata(self, model: nn.Module) -> tuple[dict, dict]:
        _check_errors(recipe_of(vars(self.quantization_config)))
        state = model.state_dict()
        for saved in self.quantization_config.layers:
            name = _local(model, saved)
            qweight = state.pop(f"{name}.qweight")
            fmt = model.get_submodule(name).spec.weights
            state[f"{name}.weight"] = codes.pack(qweight, fmt)
        return state, {}

    def is_serializable(self) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        return False


def attach(model: nn.Module, recipe: Recipe) -> None:
    """Tell a transformers model how it was quantized, so that `save_pretrained` writes a folder."""
    from macsmith.quant.convert import quantized_layers

    layers = dict(quantized_layers(model))
    biased = [name for name, layer in layers.items() if layer.bias is not None]
    kept = {
        name: {"count": len(value), "dtype": str(value.dtype).removeprefix("torch.")}
        for name, layer in layers.items()
        if (value := layer.kept_value) is not None
    }
    config = MacsmithConfig(
        recipe=recipe.model_dump(mode="json"),
        **specs_of(recipe),
        layers=list(layers),
        biased=biased,
        kept=kept,
        offset=[name for name, layer in layers.items() if layer.offset is not None],
    )
    model.config.quantization_config = config
    model.hf_quantizer = MacsmithQuantizer(config)
    model.is_quantized = True
    model.quantization_method = METHOD


class _PackedLinear(nn.Module):
    """Where a quantized layer's saved tensors are loaded to; it computes nothing."""

    def __init__(
        self,
        linear: nn.Linear,
        fmt: Format,
        group_size: int,
        kept: dict[str, Any] | None,
        offset: bool,
    ) -> None:
        super().__init__()
        n, k = self.shape = (linear.out_features, linear.in_features)
        size = -(-n * k * codes.packed_bits(fmt) // 8)
        scales = (n, -(-k // (group_size or k)))
        meta = {"device": "meta"}
        self.register_buffer("weight", torch.empty(size, dtype=torch.uint8, **meta))
        self.register_buffer("scale", torch.empty(scales, dtype=torch.float32, **meta))
        zero = None
        if fmt.zero_pointed:
            zero = torch.empty(scales, dtype=codes.code_dtype(fmt), **meta)
        self.register_buffer("zero_point", zero)
        wide = torch.empty(scales, dtype=torch.float32, **meta) if offset else None
        self.register_buffer("offset", wide)
        self.register_buffer("bias", linear.bias if linear.bias is None else linear.bias.detach())
        self.kept = kept is not None
        if kept:
            index, value = index_dtype((n, k)), getattr(torch, kept["dtype"])
            self.register_buffer("kept_index", torch.empty(kept["count"], dtype=index, **meta))
            self.register_buffer("kept_value", torch.empty(kept["count"], dtype=value, **meta))


def _weight(packed: _PackedLinear, fmt: Format) -> QuantizedWeight:
    return QuantizedWeight(
        codes.unpack(packed.weight, fmt, packed.shape),
        packed.scale,
        packed.zero_point,
        Kept(packed.kept_index, packed.kept_value) if packed.kept else None,
        packed.offset,
    )


def _unpacked(weight: QuantizedWeight, bias: torch.Tensor | None, recipe: Recipe) -> nn.Module:
    from macsmith.quant.linear import QuantLinear

    return QuantLinear(
        *weight[:3],
        bias,
        spec=recipe.spec(),
        group_size=recipe.weights.group_size,
        activations=recipe.activations,
        kept=weight.kept,
        offset=weight.offset,
    )


def _check_errors(recipe: Recipe) -> None:
    """ValueError where weights leave errors out: a folder has not what they compute with."""
    if (errors := recipe.weights.errors) != "all":
        raise ValueError(f"weights.errors {errors!r}: such a model is computed, but not saved")


def _local(model: nn.Module, name: str) -> str:
    """`name` as `model` calls it: a bare decoder has no prefix of its own."""
    prefix = getattr(model, "base_model_prefix", "") + "."
    for candidate in (name, name.removeprefix(prefix), prefix + name):
        try:
            model.get_submodule(candidate)
        except AttributeError:
            continue
        return candidate
    raise ValueError(f"quantized folder: the model has no layer {name!r}")
