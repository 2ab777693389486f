"""Calibration samples: token ids, and whether they are what a model and a recipe need."""

from typing import Any

import torch
from torch import nn

from macsmith.quant.recipe import Recipe

__all__ = ["check_calibration", "check_samples"]


def check_calibration(calibration: Any, model: nn.Module, what: str) -> torch.Tensor:
    """Token ids int64 [samples, length], or ValueError in one line, saying what needs them."""
    if calibration is None:
        raise ValueError(f"{what} needs calibration: token ids [samples, length]")
    if not isinstance(calibration, torch.Tensor) or calibration.dim() != 2:
        got = getattr(calibration, "shape", type(calibration).__name__)
        got = list(got) if isinstance(got, torch.Size) else got
        raise ValueError(f"calibration: wanted token ids [samples, length], got {got}")
    if not calibration.numel():
        raise ValueError(f"calibration is empty: {list(calibration.shape)} token ids")
    kind = calibration.dtype
    if kind.is_floating_point or kind.is_complex or kind == torch.bool:
        raise ValueError(f"calibration: wanted integer token ids, got {kind}")
    ids = calibration.to(torch.int64)
    vocab = getattr(getattr(model, "config", None), "vocab_size", None)
    if vocab is not None and not 0 <= int(ids.min()) <= int(ids.max()) < vocab:
        raise ValueError(
            f"calibration: token ids are {int(ids.min())} up to {int(ids.max())}, the model's "
            f"vocabulary is {vocab}"
        )
    context = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if context is not None and ids.shape[1] > context:
        raise ValueError(
            f"calibration: samples of {ids.shape[1]} tokens, the model reads {context}"
        )
    return ids


def check_samples(recipe: Recipe, there: int) -> None:
    """ValueError if a step asks for more; its default, which a saved recipe has too, does not."""
    for step in recipe.steps:
        field = type(step).model_fields.get("samples")
        if field and there < step.samples != field.default:
            raise ValueError(
                f"method {step.method!r}: samples {step.samples}, the calibration has {there}"
            )
