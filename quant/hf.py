"""What transformers needs to save and restore a quantized model.

A quantized folder is a Hugging Face folder whose config.json has a `quantization_config` (recipe,
spec with both format tables, names of the layers, specs of attention's products) and whose
safetensors hold, per quantized layer,

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
from macsmith.quant.kept import Kept, index_dtype
from macsmith.quant.recipe import Attention, Recipe
from macsmith.quant.stored import check_files, check_weight
from macsmith.quant.weights import QuantizedWeight
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

__all__ = ["METHOD", "MacsmithConfig", "MacsmithQuantizer", "attach", "spec_from", "spec_to_dict"]

METHOD = "macsmith.quant"  # what to import: transformers prints it where it is not known


def spec_to_dict(spec: MacSpec) -> dict[str, Any]:
    """The spec with both tables, so that a folder needs no catalogue and no user's file."""
    return {
        "weights": _format_to_dict(spec.weights),
        "activations": _format_to_dict(spec.activations),
        "acc_width": spec.acc_width,
        "overflow": spec.overflow,
        "lanes": spec.lanes,
    }


def spec_from(table: dict[str, Any]) -> MacSpec:
    """The inverse of `spec_to_dict`."""
    formats = {
        side: Format(**(table[side] | {"affine": frozenset(table[side]["affine"])}))
        for side in ("weights", "activations")
    }
    return MacSpec(**(table | formats))


def _format_to_dict(fmt: Format) -> dict[str, Any]:
    return {
        "name": fmt.name,
        "width": fmt.width,
        "levels": list(fmt.levels),
        "frac_bits": fmt.frac_bits,
        "affine": sorted(fmt.affine),
        "source": fmt.source,
    }


@register_quantization_config(METHOD)
class MacsmithConfig(QuantizationConfigMixin):
    """`quantization_config` of config.json. ValueError on a version this code does not know."""

    def __init__(
        self,
        recipe: dict[str, Any],
        spec: dict[str, Any],
        layers: list[str],
        attention: list[dict[str, Any]] | None = None,
        biased: list[str] | None = None,  # the layers with a bias; None: as the model has it
        kept: dict[str, dict[str, Any]] | None = None,  # count and dtype of the weights in float
        offset: list[str] | None = None,  # the layers that have one
        version: int = 1,
        quant_method: str = METHOD,
    ) -> None:
        if version != 1:
            raise ValueError(f"quantized folder: wanted version 1, got {version!r}")
        self.quant_method = quant_method
        self.version = version
        self.recipe = recipe
        self.spec = spec
        self.layers = layers
        self.attention = attention
        self.biased = biased
        self.kept = kept or {}
        self.offset = offset or []


@register_quantizer(METHOD)
class MacsmithQuantizer(HfQuantizer):
    """Restores saved codes; it does not quantize on the fly (`quantize_` does)."""

    requires_calibration = True

    def _process_model_before_weight_loading(self, model: nn.Module, **kwargs) -> nn.Module:
        config = self.quantization_config
        spec, group = spec_from(config.spec), config.recipe["weights"]["group_size"]
        names = {saved: _local(model, saved) for saved in config.layers}
        for saved, name in names.items():
            linear = model.get_submodule(name)
            if linear.bias is None and saved in (config.biased or ()):
                bias = torch.empty(linear.out_features, dtype=linear.weight.dtype, device="meta")
                linear.bias = nn.Parameter(bias)
            kept, offset = config.kept.get(saved), saved in config.offset
            packed = _PackedLinear(linear, spec, group, kept, offset)
            model.set_submodule(name, packed)
        check_files(model, list(names.values()), kwargs.get("checkpoint_files") or ())
        return model

    def _process_model_after_weight_loading(self, model: nn.Module, **kwargs) -> nn.Module:
        config = self.quantization_config
        spec, recipe = spec_from(config.spec), config.recipe
        for name in config.layers:
            name = _local(model, name)
            packed = model.get_submodule(name)
            weight = _weight(packed, spec.weights)
            check_weight(name, weight, spec.weights)
            model.set_submodule(name, _unpacked(weight, packed.bias, spec, recipe))
        if config.attention:
            from macsmith.quant.attention import install

            options = Attention.model_validate(recipe["attention"])
            specs = tuple(spec_from(spec) for spec in config.attention)
            names = [_local(model, name) for name in config.layers]
            install(model, options, specs, names, enabled=True)
        return model

    def get_state_dict_and_metadata(self, model: nn.Module) -> tuple[dict, dict]:
        if (errors := self.quantization_config.recipe["weights"].get("errors", "all")) != "all":
            raise ValueError(f"weights.errors {errors!r}: such a model is computed, but not saved")
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
    spec = next(iter(layers.values())).spec
    biased = [name for name, layer in layers.items() if layer.bias is not None]
    kept = {
        name: {"count": len(value), "dtype": str(value.dtype).removeprefix("torch.")}
        for name, layer in layers.items()
        if (value := layer.kept_value) is not None
    }
    attention = recipe.attention and [spec_to_dict(spec) for spec in recipe.attention_specs()]
    config = MacsmithConfig(
        recipe.model_dump(mode="json"),
        spec_to_dict(spec),
        list(layers),
        attention,
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
        spec: MacSpec,
        group_size: int,
        kept: dict[str, Any] | None,
        offset: bool,
    ) -> None:
        super().__init__()
        n, k = self.shape = (linear.out_features, linear.in_features)
        size = -(-n * k * codes.packed_bits(spec.weights) // 8)
        scales = (n, -(-k // (group_size or k)))
        meta = {"device": "meta"}
        self.register_buffer("weight", torch.empty(size, dtype=torch.uint8, **meta))
        self.register_buffer("scale", torch.empty(scales, dtype=torch.float32, **meta))
        zero = None
        if spec.weights.zero_pointed:
            zero = torch.empty(scales, dtype=codes.code_dtype(spec.weights), **meta)
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


def _unpacked(
    weight: QuantizedWeight, bias: torch.Tensor | None, spec: MacSpec, recipe: dict[str, Any]
) -> nn.Module:
    from macsmith.quant.linear import QuantLinear
    from macsmith.quant.recipe import Activations

    return QuantLinear(
        *weight[:3],
        bias,
        spec=spec,
        group_size=recipe["weights"]["group_size"],
        activations=Activations(**recipe["activations"]),
        kept=weight.kept,
        offset=weight.offset,
    )


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
