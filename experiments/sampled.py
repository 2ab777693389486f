"""What `macsmith scales` and `macsmith errors` share: a model on its calibration's samples."""

from dataclasses import dataclass
from typing import Any

from macsmith.experiments.inference import Result, recipe_name
from macsmith.experiments.models import locate
from macsmith.experiments.models.calibration import Calibration

__all__ = ["Sampled", "model_and_samples"]


@dataclass(frozen=True, kw_only=True)
class Sampled(Result):
    """What was found of a model on its calibration's samples; a kind of it says what ``holds``."""

    recipe: dict[str, Any]
    calibration: dict[str, Any]
    outliers: bool

    @property
    def holds(self) -> bool:
        raise NotImplementedError

    @property
    def what(self) -> str:
        """Model and recipe."""
        return f"{self.model}{' with outliers' * self.outliers}, {recipe_name(self.recipe)}"

    def as_dict(self) -> dict:
        return super().as_dict() | {"holds": self.holds}


def model_and_samples(model: str, calibration: Calibration, *, outliers: bool) -> tuple[Any, Any]:
    """The float model, in which ``outliers`` are put first, and token ids int64 [samples, length].

    ValueError as of `load_model` and `Calibration.ids`.
    """
    from macsmith.experiments.models.outliers import put_outliers
    from macsmith.quant.io import load_model, load_tokenizer

    place = locate(model)
    tokenizer, net = load_tokenizer(place), load_model(place)
    if outliers:
        put_outliers(net)
    return net, calibration.resolved(tokenizer).ids(tokenizer, net)
