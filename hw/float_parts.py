"""Parts of a floating-point datapath: unpacking, shifting with a sticky bit, leading zeros.

Each is a submodule with the name that it is given.
"""

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal, Value, unsigned

from macsmith.sim.floating import FloatFormat

__all__ = ["Unpacked", "leading_zeros", "shift_right_sticky", "unpack"]


@dataclass(frozen=True)
class Unpacked:
    """A code taken apart.

    A finite one is ``significand * 2**(exponent - bias - fraction_bits)``, with the sign. The
    exponent of zeros and subnormals is 1 here, and their significand begins with a 0.
    """

    sign: Value
    exponent: Value
    significand: Value
    zero: Value
    infinite: Value
    nan: Value


def unpack(m: Module, code: Value, fmt: FloatFormat, name: str) -> Unpacked:
    """Zeros, subnormals and normal numbers in one form; infinities and NaNs as flags."""
    fraction = code[: fmt.fraction_bits]
    field = code[fmt.fraction_bits : -1]
    exponent = Signal(unsigned(fmt.exponent_bits), name=f"{name}_exponent")
    significand = Signal(unsigned(fmt.precision), name=f"{name}_significand")
    normal, whole, special = field.any(), ~fraction.any(), field.all()
    m.submodules[name] = part = Module()
    part.d.comb += [
        exponent.eq(Cat(field[0] | ~normal, field[1:])),
        significand.eq(Cat(fraction, normal)),
    ]
    return Unpacked(
        code[-1], exponent, significand, whole & ~normal, special & whole, special & ~whole
    )


def shift_right_sticky(
    m: Module, x: Value, amount: Value, most: int, name: str
) -> tuple[Value, Value]:
    """(``x >> amount``, whether a 1 was shifted out); by ``most`` or more nothing is left.

    ``x`` and ``amount`` are unsigned. ``most`` is a power of two, at least as great as ``x`` is
    wide.
    """
    m.submodules[name] = part = Module()
    stages = most.bit_length() - 1
    far = amount[stages:].any()
    lost = far & x.any()
    for k in range(stages):
        by = 2**k
        shifted = Signal(unsigned(len(x)), name=f"{name}_by_{by}")
        part.d.comb += shifted.eq(Mux(amount[k], x >> by, x))
        lost = lost | (amount[k] & x[:by].any())
        x = shifted
    result, sticky = Signal(unsigned(len(x)), name=name), Signal(name=f"{name}_sticky")
    part.d.comb += [
        result.eq(x & ~far.replicate(len(x))),
        sticky.eq(lost),
    ]
    return result, sticky


def leading_zeros(m: Module, x: Value, name: str) -> Value:
    """How many zeros are above the first 1 of ``x``; the width of ``x``, rounded up to a power of
    two and less one, if there is none.

    Pairs of bits, then pairs of pairs: of two neighbours the upper one counts unless it is all 0.
    """
    m.submodules[name] = part = Module()
    width = 1 << (len(x) - 1).bit_length()
    # (all zero, leading zeros) of each block, from the top; below the least bit everything is 1.
    padded = Cat(Const(2 ** (width - len(x)) - 1, width - len(x)), x)
    blocks = [(~bit, Const(0, 0)) for bit in reversed(padded)]
    level = 0
    while len(blocks) > 1:
        level += 1
        merged = []
        for k in range(0, len(blocks), 2):
            (upper_empty, upper), (lower_empty, lower) = blocks[k : k + 2]
            count = Signal(unsigned(level), name=f"{name}_{level}_{k // 2}")
            part.d.comb += count.eq(Cat(Mux(upper_empty, lower, upper), upper_empty))
            merged.append((upper_empty & lower_empty, count))
        blocks = merged
    return blocks[0][1]
