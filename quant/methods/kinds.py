"""What a method can be asked for."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Method"]


@dataclass(frozen=True)
class Method:
    """Functions of a method; those that it has not are None.

    Attributes
    ----------
    scale : callable or None
        (block, group, step, recipe) -> float32 [K], positive: divide the group's input by it; or
        None to leave it.
    clip : callable or None
        (block, group, step, recipe): limits the weights of the group's layers, in place.
    round : callable or None
        (inputs, weight, step, recipe) -> `QuantizedWeight` of ``weight`` float32 [N, K].
    """

    scale: Callable | None = None
    clip: Callable | None = None
    round: Callable | None = None
