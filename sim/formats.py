"""Number formats: the single definition that RTL, simulator and quantized model derive from.

Three integers describe every number; keep the words apart in names and docs:

    code    unsigned bit pattern, 0 <= code < 2**width       (what is stored and wired)
    level   signed integer                                   (what is multiplied)
    value   level * 2**-frac_bits, a real number             (what it means)

A zero-pointed format has one table per zero point z: z is an operand of the hardware, as wide as a
code, and constant per output channel.
"""

import itertools
import re
from dataclasses import dataclass, field

__all__ = ["Format", "dint_format", "int_format", "minifloat", "signed_width"]

MAX_WIDTH = 16  # codes are kept in uint16 at most
MAX_LEVEL_BITS = 62  # a level must be an int64 with room to be added


@dataclass(frozen=True, slots=True)
class Format:
    """A finite table from code to level.

    Parameters
    ----------
    name : str
        Identifier; also used in file and Verilog module names.
    width : int
        Bits per code, 1..16.
    levels : tuple of int
        ``levels[code]``, exactly ``2**width`` entries; at z = 0 if the format is zero-pointed.
    frac_bits : int
        The least level is worth ``2**-frac_bits``; not negative.
    affine : frozenset of int
        Codes whose level moves with the zero point: ``levels[code] - (z << frac_bits)``. Empty
        for a format without a zero point. The other codes keep their level at every z.
    source : str
        Where the table is defined; not part of the format's identity.

    Raises
    ------
    ValueError
        If the table does not have one integer level per code, or is out of these ranges.

    >>> Format("half_steps", width=2, levels=(0, 1, 2, 3), frac_bits=1).value(0b11)
    1.5
    """

    name: str
    width: int
    levels: tuple[int, ...] = field(repr=False)
    frac_bits: int = 0
    affine: frozenset[int] = field(default=frozenset(), repr=False)
    source: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and re.fullmatch(r"[A-Za-z_]\w*", self.name, re.ASCII)):
            raise ValueError(f"format name {self.name!r} is not a word of letters, digits and _")
        for what, low, high in (("width", 1, MAX_WIDTH), ("frac_bits", 0, MAX_LEVEL_BITS)):
            number = getattr(self, what)
            if not _is_int(number) or not low <= number <= high:
                raise ValueError(
                    f"format {self.name!r}: {what} must be an integer in {low}..{high}, "
                    f"not {number!r}"
                )
        object.__setattr__(self, "levels", tuple(self.levels))
        if len(self.levels) != 2**self.width:
            raise ValueError(
                f"format {self.name!r} has {len(self.levels)} levels, "
                f"but {self.width} bits need {2**self.width}"
            )
        for code, level in enumerate(self.levels):
            if not _is_int(level) or level.bit_length() > MAX_LEVEL_BITS:
                raise ValueError(
                    f"format {self.name!r}: level of code {code} must be an integer of at most "
                    f"{MAX_LEVEL_BITS} bits, not {level!r}"
                )
        if not any(self.levels):
            raise ValueError(f"format {self.name!r} has no level but 0")
        if not all(_is_int(code) and 0 <= code < 2**self.width for code in self.affine):
            raise ValueError(
                f"format {self.name!r}: affine codes must be in 0..{2**self.width - 1}"
            )

    @property
    def zero_pointed(self) -> bool:
        """Whether the unit has a zero point among its operands."""
        return bool(self.affine)

    @property
    def zero_points(self) -> range:
        """Every zero point that can be wired: all codes, or only 0 where there is none."""
        return range(2**self.width if self.zero_pointed else 1)

    def levels_at(self, z: int) -> tuple[int, ...]:
        """``levels`` at zero point ``z``; ValueError if the format does not have that one."""
        if z not in self.zero_points:
            wanted = f"0..{self.zero_points[-1]}" if self.zero_pointed else "0 (it has none)"
            raise ValueError(f"zero point of {self.name} must be in {wanted}, not {z!r}")
        shift = z << self.frac_bits
        return tuple(
            level - shift if code in self.affine else level
            for code, level in enumerate(self.levels)
        )

    @property
    def level_range(self) -> tuple[int, int]:
        """Least and greatest level over every code and every zero point."""
        ends = (self.levels_at(0), self.levels_at(self.zero_points[-1]))
        return min(map(min, ends)), max(map(max, ends))

    @property
    def level_width(self) -> int:
        """Bits of the narrowest two's-complement integer that holds every level."""
        return signed_width(*self.level_range)

    @property
    def is_twos_complement(self) -> bool:
        """Whether a code already *is* its level, so that no decoder is needed."""
        return not self.zero_pointed and self.levels == _twos_complement(self.width)

    @property
    def step(self) -> int | None:
        """Distance of the uniform levels, or None where the table is not uniform.

        Uniform: the distinct levels, without at most one pair +-c nearest to zero (dINT's
        specials), are consecutive multiples of one step greater than c.

        >>> int_format(4).step, dint_format(4).step, minifloat(2, 1).step
        (1, 2, None)
        """
        distinct = sorted(set(self.levels))
        special = min((abs(level) for level in distinct if level), default=0)
        without = [level for level in distinct if abs(level) != special]
        for candidates in (distinct, without):
            steps = {b - a for a, b in itertools.pairwise(candidates)}
            if len(steps) == 1 and candidates[0] % (step := steps.pop()) == 0:
                return step
        return None

    @property
    def symmetric_level(self) -> int:
        """Largest level that both signs have: int8 127, int4 7, dINT4 12 (6 steps of 2).

        Where no level has both signs, the largest magnitude.
        """
        both = set(self.levels) & {-level for level in self.levels}
        return max(both - {0}, default=max(map(abs, self.levels)))

    def value(self, code: int, z: int = 0) -> float:
        """Real number that ``code`` stands for at zero point ``z``."""
        return self.levels_at(z)[code] / 2**self.frac_bits


def _is_int(x: object) -> bool:
    return isinstance(x, int) and not isinstance(x, bool)


def signed_width(lo: int, hi: int) -> int:
    """Bits of the narrowest two's-complement integer that holds ``lo`` and ``hi``.

    >>> signed_width(-128, 127), signed_width(0, 128), signed_width(0, 0)
    (8, 9, 1)
    """
    return 1 + max((~x if x < 0 else x).bit_length() for x in (lo, hi))


def _twos_complement(width: int) -> tuple[int, ...]:
    half = 2 ** (width - 1)
    return tuple(range(half)) + tuple(range(-half, 0))


def int_format(width: int, *, zero_pointed: bool = False, name: str = "", **more) -> Format:
    """INT: two's complement, or zero-pointed (code q means q - z).

    >>> int_format(3).levels, int_format(2, zero_pointed=True).levels_at(1)
    ((0, 1, 2, 3, -4, -3, -2, -1), (-1, 0, 1, 2))
    """
    _require_width("INT", width, 1)
    if zero_pointed:
        codes = range(2**width)
        return Format(name or f"int{width}z", width, tuple(codes), 0, frozenset(codes), **more)
    return Format(name or f"int{width}", width, _twos_complement(width), **more)


def dint_format(
    width: int,
    *,
    special: float = 0.5,
    zero_pointed: bool = False,
    sign_magnitude: bool = False,
    sign_rank: bool = False,
    radix4: bool = False,
    name: str = "",
    **more,
) -> Format:
    """dINT: integers, and two codes for +-``special`` of a step (arXiv 2311.05161, section 4.2).

    symmetric         two's complement without its two most negative integers; the lower of these
                      two codes is +special, the other -special
    zero_pointed      codes 0..p, p = 2**width - 3, are q - z; then +special, then -special (Eq. 5)
    sign_magnitude    the largest magnitude means special; minus zero is a second zero
    sign_rank         sign_magnitude's levels, whose magnitudes go up with the code: the lower bits
                      are the rank of a magnitude, and half of the codes say whether it is large
    radix4            symmetric's levels, 4 bits: the lower two bits are -2..1, the upper two 0, 1,
                      2, -1 times 4, so that no carry goes from digit to digit; the sums 8 and 9,
                      which are no levels, mean +special and -special

    ``special`` is 1/2, 1/4 or 1/8 (c/s of the paper's Table 9). The paper has only the zero-pointed
    form and leaves its bit patterns open; the other forms and all patterns are ours.

    >>> dint_format(3).levels
    (0, 2, 4, 6, 1, -1, -4, -2)
    >>> dint_format(3, zero_pointed=True).levels_at(2)
    (-4, -2, 0, 2, 4, 6, 1, -1)
    """
    _require_width("dINT", width, 3)
    shifts = {0.5: 1, 0.25: 2, 0.125: 3}
    if special not in shifts:
        raise ValueError(f"dINT's special value must be 1/2, 1/4 or 1/8 of a step, not {special!r}")
    if zero_pointed + sign_magnitude + sign_rank + radix4 > 1:
        raise ValueError(
            "dINT is zero-pointed, sign and magnitude, sign and rank, or of radix 4: one"
        )
    if radix4 and width != 4:
        raise ValueError(f"dINT of radix 4 has 4 bits, not {width}")
    frac = shifts[special]
    top = 2 ** (width - 1) - 1
    suffixes = {"z": zero_pointed, "_sm": sign_magnitude, "_sr": sign_rank, "_r4": radix4}
    suffix = next((suffix for suffix, chosen in suffixes.items() if chosen), "")
    name = name or f"dint{width}{suffix}" + (f"_c{2**frac}" if frac > 1 else "")
    affine = frozenset()
    if zero_pointed:
        integers = range(2**width - 2)
        levels = (*(k << frac for k in integers), +1, -1)
        affine = frozenset(integers)
    elif sign_magnitude or sign_rank:
        magnitudes = [*(k << frac for k in range(top)), 1]
        if sign_rank:
            magnitudes.sort()
        levels = (*magnitudes, *(-level for level in magnitudes))
    elif radix4:
        sums = [4 * high + low for high in (0, 1, 2, -1) for low in _twos_complement(2)]
        levels = tuple({8: +1, 9: -1}.get(total, total << frac) for total in sums)
    else:
        integers = tuple(k << frac for k in _twos_complement(width))
        levels = (*integers[: top + 1], +1, -1, *integers[top + 3 :])
    return Format(name, width, levels, frac, affine, **more)


def minifloat(
    exponent: int, mantissa: int, *, non_finite: str = "none", name: str = "", **more
) -> Format:
    """FP(1-e-m): sign, exponent with bias ``2**(e-1) - 1``, mantissa, with subnormals.

    ``non_finite`` tells which codes are not numbers: "none" (OCP FP4), "nan" (all ones only: OCP
    E4M3) or "ieee" (the whole last exponent: OCP E5M2). Those decode to the largest finite level
    of their sign, and minus zero decodes to zero, so that every code has a level; a quantizer
    produces neither.

    >>> [minifloat(2, 1).value(code) for code in range(8)]
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    """
    if exponent < 1 or mantissa < 0 or 1 + exponent + mantissa > MAX_WIDTH:
        raise ValueError(
            f"a minifloat needs e >= 1, m >= 0 and 1 + e + m <= {MAX_WIDTH}, "
            f"not e={exponent}, m={mantissa}"
        )
    top = 2 ** (exponent + mantissa)
    finite = {"none": top, "nan": top - 1, "ieee": top - 2**mantissa}
    if non_finite not in finite:
        raise ValueError(f"non_finite must be 'none', 'nan' or 'ieee', not {non_finite!r}")
    bias = 2 ** (exponent - 1) - 1
    magnitudes = []
    for code in range(top):
        exp, man = divmod(min(code, finite[non_finite] - 1), 2**mantissa)
        # In units of the least subnormal, 2**(1 - bias - mantissa):
        magnitudes.append(man if exp == 0 else (2**mantissa + man) << (exp - 1))
    width = 1 + exponent + mantissa
    frac = bias + mantissa - 1
    if frac < 0:  # the least subnormal is worth more than 1
        magnitudes, frac = [level << -frac for level in magnitudes], 0
    levels = (*magnitudes, *(-level for level in magnitudes))
    return Format(name or f"fp{width}_e{exponent}m{mantissa}", width, levels, frac, **more)


def _require_width(family: str, width: int, least: int) -> None:
    if not _is_int(width) or not least <= width <= MAX_WIDTH:
        raise ValueError(f"{family} needs a width in {least}..{MAX_WIDTH}, not {width!r}")
