"""The width of an accumulator as a command line says it: in bits, or by what it must hold."""

from macsmith.sim.formats import Format
from macsmith.sim.spec import MAX_SUM_BITS, MacSpec

__all__ = ["Depth", "bits_of", "width_of"]


class Depth(int):
    """So many products, which an accumulator must hold: its width until their formats are known."""


def width_of(text: int | str) -> int:
    """Bits, or of ``depth:N`` a `Depth`; ValueError on anything else."""
    kind, colon, number = str(text).partition(":")
    depth = bool(colon) and kind == "depth" and number.isdecimal() and int(number) > 0
    if not depth and not str(text).isdecimal():
        raise ValueError(f"wanted a number of bits, or depth:N for N products, got {text!r}")
    return Depth(number) if depth else int(text)


def bits_of(acc_width: int, weights: Format | str, activations: Format | str) -> int:
    """Bits of an accumulator of that width; of a `Depth`, as many as its products need."""
    if not isinstance(acc_width, Depth):
        return acc_width
    return MacSpec(weights, activations, MAX_SUM_BITS, "exact").depth_width(acc_width)
