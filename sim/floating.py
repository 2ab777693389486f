"""IEEE 754 binary floating point, exact: codes, values, and a fused multiply-accumulate.

A `FloatFormat` is no `Format`: its values span too many binades to be levels, and it has
infinities, NaNs and a signed zero. `multiply_add` is what a floating-point MAC is checked against:
plain integers and fractions, one rounding, to nearest and ties to even.
"""

from dataclasses import dataclass
from fractions import Fraction

__all__ = ["BF16", "FLOAT32", "FLOAT_FORMATS", "FP16", "FloatFormat", "get_float", "multiply_add"]


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """Sign, ``exponent_bits`` of exponent, ``fraction_bits`` of fraction, from the top bit down.

    >>> BF16.value(0x3FC0), hex(FLOAT32.encode(Fraction(1, 3)))
    (Fraction(3, 2), '0x3eaaaaab')
    """

    name: str
    exponent_bits: int
    fraction_bits: int
    source: str = ""

    @property
    def width(self) -> int:
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def precision(self) -> int:
        """Bits of a significand, the one before the point included."""
        return self.fraction_bits + 1

    @property
    def bias(self) -> int:
        return 2 ** (self.exponent_bits - 1) - 1

    @property
    def max_exponent(self) -> int:
        """The exponent field of infinities and NaNs."""
        return 2**self.exponent_bits - 1

    @property
    def infinity(self) -> int:
        """Code of +infinity."""
        return self.max_exponent << self.fraction_bits

    @property
    def nan(self) -> int:
        """Code of the canonical quiet NaN: positive, top bit of the fraction alone."""
        return self.infinity | 1 << (self.fraction_bits - 1)

    def fields(self, code: int) -> tuple[int, int, int]:
        """(sign, exponent, fraction) as they are stored; ValueError if it is no code."""
        if not 0 <= code < 2**self.width:
            raise ValueError(f"a {self.name} code must be in 0..{2**self.width - 1}, not {code}")
        rest, fraction = divmod(code, 2**self.fraction_bits)
        sign, exponent = divmod(rest, 2**self.exponent_bits)
        return sign, exponent, fraction

    def is_nan(self, code: int) -> bool:
        _, exponent, fraction = self.fields(code)
        return exponent == self.max_exponent and fraction != 0

    def is_infinite(self, code: int) -> bool:
        _, exponent, fraction = self.fields(code)
        return exponent == self.max_exponent and fraction == 0

    def value(self, code: int) -> Fraction:
        """What a finite code stands for (of either zero: 0); ValueError for any other."""
        sign, exponent, fraction = self.fields(code)
        if exponent == self.max_exponent:
            raise ValueError(f"{self.name} code {code:#x} has no finite value")
        significand = fraction + (2**self.fraction_bits if exponent else 0)
        scale = Fraction(2) ** (max(exponent, 1) - self.bias - self.fraction_bits)
        return (-1) ** sign * significand * scale

    def encode(self, value: Fraction, negative: bool = False) -> int:
        """Code nearest to ``value``, ties to even; beyond the greatest, infinity.

        ``negative`` is the sign of a value of 0, which has none of its own.
        """
        sign = (value < 0 if value else negative) << (self.width - 1)
        exact = abs(Fraction(value))
        # The step of the binade that the value is in; subnormals have that of the least one.
        binade = exact.numerator.bit_length() - exact.denominator.bit_length()
        binade -= exact < Fraction(2) ** binade
        least = 1 - self.bias
        step = max(binade, least) - self.fraction_bits if exact else least - self.fraction_bits
        significand = round(exact / Fraction(2) ** step)
        # A subnormal has exponent 0 and its fraction, the next number exponent 1: adding carries.
        code = ((step - least + self.fraction_bits) << self.fraction_bits) + significand
        return sign | min(code, self.infinity)


IEEE = "IEEE 754-2019, 3.4 and table 3.5"
FP16 = FloatFormat("fp16", 5, 10, f"binary16, {IEEE}")
BF16 = FloatFormat("bf16", 8, 7, "bfloat16: binary32 without its low 16 bits")
FLOAT32 = FloatFormat("float32", 8, 23, f"binary32, {IEEE}")

#: Of factors, by name; sums are FLOAT32.
FLOAT_FORMATS = {fmt.name: fmt for fmt in (FP16, BF16)}


def get_float(name: str | FloatFormat) -> FloatFormat:
    """The format called ``name``, or itself; ValueError otherwise."""
    if isinstance(name, FloatFormat):
        return name
    if name not in FLOAT_FORMATS:
        raise ValueError(
            f"unknown floating-point format {name!r}; there are {', '.join(FLOAT_FORMATS)}"
        )
    return FLOAT_FORMATS[name]


def multiply_add(acc: int, w: int, a: int, fmt: FloatFormat, out: FloatFormat = FLOAT32) -> int:
    """Code of ``acc + w * a`` in ``out``, rounded once; ``w`` and ``a`` are codes of ``fmt``.

    Every NaN is the canonical one, ``out.nan``; so are 0 times infinity, and infinities of both
    signs in one sum. A sum of exactly 0 is +0, unless product and ``acc`` are both -0.
    """
    w_sign, a_sign, acc_sign = fmt.fields(w)[0], fmt.fields(a)[0], out.fields(acc)[0]
    product_sign = w_sign ^ a_sign
    if fmt.is_nan(w) or fmt.is_nan(a) or out.is_nan(acc):
        return out.nan
    if fmt.is_infinite(w) or fmt.is_infinite(a):
        other = a if fmt.is_infinite(w) else w
        if not fmt.is_infinite(other) and fmt.value(other) == 0:
            return out.nan
        if out.is_infinite(acc) and acc_sign != product_sign:
            return out.nan
        return out.infinity | product_sign << (out.width - 1)
    if out.is_infinite(acc):
        return acc
    total = out.value(acc) + fmt.value(w) * fmt.value(a)
    return out.encode(total, negative=bool(product_sign and acc_sign))
