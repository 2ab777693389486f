"""What a method can be asked for."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Method"]


@dataclass(frozen=True)
class Method:
    """Functions of a method; those that it has not are None.

    Attributes
    ----------
    survey : callable or None
        (model, layers, ids, step) -> dict of str to Tensor: a look at the whole model before
        anything is done to it, for the layers in its blocks. ``round`` then gets, last, what was
        found for its layer.
    scale : callable or None
        (block, group, step, recipe) -> float32 [K], positive: divide the group's input by it; or
        None to leave it.
    clip : callable or None
        (block, group, step, recipe): limits the weights of the group's layers, in place.
    round : callable or None
        (inputs, weight, step, recipe) -> `QuantizedWeight` of ``weight`` float32 [N, K]. ``inputs``
        are float32 [tokens, K] by call of the block, of the step's samples, made as they are gone
        through (`blocks.Inputs`); empty for a method that needs none.
    by_row : bool
        Whether it rounds every row by itself: layers with one input are then rounded as one, and
        what is made of the input is made once.
    correct : callable or None
        (inputs, layer, quantized, step) -> bias [N] of ``quantized``, made of the float ``layer``.
    backwards : bool
        Whether it scales a block's groups from the last to the first.
    """

    survey: Callable | None = None
    scale: Callable | None = None
    clip: Callable | None = None
    round: Callable | None = None
    by_row: bool = False
    correct: Callable | None = None
    backwards: bool = False
