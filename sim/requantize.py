"""Requantization: from an accumulator back to a short integer, by one fixed-point scale.

    y = clamp(round((acc - correction) * multiplier * 2**-shift) + zero_point)

Every operand is an integer; a `RequantizeSpec` fixes their widths and what `round` does with a tie.
The four roundings differ only there, except "tflite", which rounds twice:

    "half-up"    to the greater integer: floor(x + 1/2). TFLite built with single rounding, and ruy.
    "half-even"  to the even integer, as IEEE 754 does.
    "half-away"  to the integer of greater magnitude, as C's round() does.
    "tflite"     TFLite's MultiplyByQuantizedMultiplier as it is built by default, on gemmlowp's
                 fixed-point functions, for 31-bit multipliers; the proof is in `requantize`.

TFLite counts its exponent from a multiplier in 1/2..1 and to the left: its ``shift`` is 31 minus
the one here, so its -31..30 are 62..1 here.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from numbers import Rational

__all__ = ["MAX_WIDTH", "ROUNDINGS", "RequantizeSpec", "fixed_point", "requantize"]

MAX_WIDTH = 64  # of an accumulator and of a correction
ROUNDINGS = ("half-up", "half-even", "half-away", "tflite")


@dataclass(frozen=True, slots=True)
class RequantizeSpec:
    """Everything that decides the numbers of a requantization.

    Parameters
    ----------
    acc_width : int
        Bits of the two's-complement accumulator.
    correction_width : int
        Bits of the signed correction (zero points, and a bias if it is subtracted from them); 0 is
        none.
    multiplier_width : int
        Bits of the unsigned multiplier; 31 is what TFLite's non-negative int32 holds.
    shift_width : int
        Bits of the unsigned shift; 6 reach 63, so that a 31-bit multiplier with its top bit set
        stands for every scale from 2**-33 up to 2**31.
    out_width : int
        Bits of the signed result, and of the signed zero point that is added to it.
    rounding : str
        One of ROUNDINGS.

    Raises
    ------
    ValueError
        If a width or the rounding is none of these.

    >>> RequantizeSpec(acc_width=32, correction_width=32).product_width
    64
    """

    acc_width: int = 32
    correction_width: int = 0
    multiplier_width: int = 31
    shift_width: int = 6
    out_width: int = 8
    rounding: str = "half-up"

    def __post_init__(self) -> None:
        # A shift of 2**7 bits would reach past every product that the other limits allow.
        limits = {
            "acc_width": (1, MAX_WIDTH),
            "correction_width": (0, MAX_WIDTH),
            "multiplier_width": (1, 32),
            "shift_width": (1, 7),
            "out_width": (2, 32),
        }
        for what, (low, high) in limits.items():
            number = getattr(self, what)
            if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
                raise ValueError(f"{what} must be an integer in {low}..{high}, not {number!r}")
        if self.rounding not in ROUNDINGS:
            raise ValueError(
                f"rounding must be one of {', '.join(ROUNDINGS)}, not {self.rounding!r}"
            )

    @property
    def difference_width(self) -> int:
        """Bits of ``acc - correction``: one more than the wider of the two, if there are two."""
        if not self.correction_width:
            return self.acc_width
        return max(self.acc_width, self.correction_width) + 1

    @property
    def product_width(self) -> int:
        """Bits of the difference times the multiplier.

        -2**(d - 1) times at most 2**m - 1 is more than -2**(d + m - 1): d + m bits hold it.
        """
        return self.difference_width + self.multiplier_width

    @property
    def max_shift(self) -> int:
        return 2**self.shift_width - 1

    @property
    def out_range(self) -> tuple[int, int]:
        """Least and greatest result, and zero point."""
        return -(2 ** (self.out_width - 1)), 2 ** (self.out_width - 1) - 1


def requantize(
    acc: int,
    multiplier: int,
    shift: int,
    zero_point: int,
    spec: RequantizeSpec,
    *,
    correction: int = 0,
) -> int:
    """The formula of this module, in unbounded integers; ValueError if an operand does not fit.

    "tflite" is, with x the difference, M the multiplier and t = 31 - shift (TFLite's exponent):

        RoundingDivideByPOT(SaturatingRoundingDoublingHighMul(x * 2**max(t, 0), M), max(-t, 0))

    The inner function is ``(x * M * 2**max(t, 0) + nudge) / 2**31``, whose division truncates, with
    the nudge 2**30, or 1 - 2**30 for a negative product: either way floor(... / 2**31 + 1/2), half
    up. It saturates only for two operands of -2**31, and M is not negative. The outer function
    rounds half away from zero. So

        shift <= 31:  one rounding of x * M * 2**-shift, half up
        shift  > 31:  half up at 2**-31, then half away from zero at 2**(31 - shift)

    This is equal for every int32 x, as long as x * 2**t is an int32 too; where it is not, C++
    leaves TFLite's result undefined, and here the product is exact and the result clamped.
    """
    _require("acc", acc, spec.acc_width, signed=True)
    _require("correction", correction, spec.correction_width, signed=True)
    _require("multiplier", multiplier, spec.multiplier_width)
    _require("shift", shift, spec.shift_width)
    _require("zero_point", zero_point, spec.out_width, signed=True)

    scaled = Fraction((acc - correction) * multiplier, 2**shift)
    if spec.rounding == "half-even":
        rounded = round(scaled)
    elif spec.rounding == "half-away":
        rounded = _half_away(scaled)
    elif spec.rounding == "half-up" or shift <= spec.multiplier_width:
        rounded = _half_up(scaled)
    else:
        second = shift - spec.multiplier_width
        rounded = _half_away(Fraction(_half_up(scaled * 2**second), 2**second))
    low, high = spec.out_range
    return max(low, min(rounded + zero_point, high))


def fixed_point(scale: Rational | float, spec: RequantizeSpec) -> tuple[int, int]:
    """(multiplier, shift) with ``multiplier * 2**-shift`` nearest to ``scale``, ties upwards.

    The multiplier has its top bit set, and is what TFLite's QuantizeMultiplier gives (with shift 31
    minus its own). Only a scale below what `max_shift` reaches has a shorter multiplier, where
    TFLite has 0; 0 is (0, 0). ValueError if the scale is negative, not finite or too great.

    >>> fixed_point(0.75, RequantizeSpec())
    (1610612736, 31)
    """
    if not math.isfinite(scale) or scale < 0:
        raise ValueError(f"a scale must be finite and not negative, not {scale!r}")
    exact = Fraction(scale)
    if exact == 0:
        return 0, 0
    # 2**exponent <= scale < 2**(exponent + 1)
    exponent = exact.numerator.bit_length() - exact.denominator.bit_length()
    exponent -= exact < Fraction(2) ** exponent
    shift = min(spec.multiplier_width - 1 - exponent, spec.max_shift)
    multiplier = _half_up(exact * Fraction(2) ** shift)
    if multiplier == 2**spec.multiplier_width:
        multiplier, shift = multiplier // 2, shift - 1
    if shift < 0:
        raise ValueError(f"scale {scale!r} is not below 2**{spec.multiplier_width}")
    return multiplier, shift


def _half_up(x: Fraction) -> int:
    return math.floor(x + Fraction(1, 2))


def _half_away(x: Fraction) -> int:
    return _half_up(x) if x >= 0 else -_half_up(-x)


def _require(what: str, number: int, width: int, *, signed: bool = False) -> None:
    low, high = (-(2**width) // 2, 2**width // 2 - 1) if signed else (0, 2**width - 1)
    if not width:
        low = high = 0
    if not low <= number <= high:
        raise ValueError(f"{what} must be in {low}..{high}, not {number}")
