"""Post-training quantization of torch models.

The public names are imported when first used, so that importing the package costs nothing.
Importing it also teaches transformers, now or as soon as it is loaded, to restore a quantized
folder: `AutoModelForCausalLM.from_pretrained(folder)` works after `import macsmith.quant`.
"""

if __name__ != "macsmith.quant":
    raise ImportError(f"this is macsmith.quant, not {__name__}: run `make setup`")

import importlib

from macsmith.quant.after_import import after_import

_HOME = {
    "QuantLinear": "linear",
    "Recipe": "recipe",
    "analyse": "underflow",
    "error_bound": "bounds",
    "layer_operands": "convert",
    "load_model": "io",
    "perplexity": "evaluate",
    "quantize_": "convert",
    "quantized_by": "convert",
    "quantized_layers": "convert",
    "save_quantized": "io",
    "set_execution": "convert",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]


after_import("transformers.quantizers.auto", "macsmith.quant.hf")
