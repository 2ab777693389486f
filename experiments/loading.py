"""Where models are loaded to, and in which dtype: the same for every command."""

from dataclasses import dataclass
from typing import Any

__all__ = ["DTYPES", "USUAL", "Loading"]

DTYPES = ("float32", "float16", "bfloat16", "auto")


@dataclass(frozen=True)
class Loading:
    """How a command has its model.

    Attributes
    ----------
    dtype : str
        Of what is not quantized, and of what calibration computes in; "auto" is the file's. The
        same recipe and samples give other codes in another one, so all commands have one default.
    device : str
        As torch names it.
    """

    dtype: str = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}")

    def load(self, place: str) -> Any:
        """The model in the folder or of the id ``place``; ValueError if there is no such device."""
        import torch

        from macsmith.quant.io import load_model

        if self.device == "meta":
            raise ValueError("device 'meta' computes nothing")
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:  # torch's two ways of having no CUDA
            line = next(iter(str(error).splitlines()), "")
            raise ValueError(f"device {self.device!r} is not here: {line}") from None
        dtype = self.dtype if self.dtype == "auto" else getattr(torch, self.dtype)
        return load_model(place, dtype=dtype, device=self.device)


USUAL = Loading()
