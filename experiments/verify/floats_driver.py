"""Driver of the floating-point MAC's bench: cycles, golden's accumulator, and what they cover."""

import itertools
import math
import random
from collections.abc import Iterator

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.stimulus import Stream
from macsmith.experiments.verify.sums import STROBES
from macsmith.sim.floating import FLOAT32, FloatFormat, get_float, multiply_add

__all__ = ["LOST", "SUMS", "Driver", "classes", "sum_class"]

SUMS = ("+0", "-0", "subnormal", "normal", "+inf", "-inf", "NaN")
#: Binades that may cancel, by what has the greater exponent: of a sum, which ends at its last bit,
#: all but that one; of a product, what a sum just below it leaves.
LOST = {"sum": range(1, FLOAT32.precision), "product": range(1, FLOAT32.precision + 1)}
#: What may happen to a sum that is finite and to which a finite product is added.
EVENTS = ("cancels to 0", "cancels a binade or more", "overflows to infinity", "product vanishes")


def classes(fmt: FloatFormat) -> dict[str, list[int]]:
    """Codes by class: the ends of each, and a number like 1."""
    fraction, sign = fmt.fraction_bits, 1 << (fmt.width - 1)
    one = fmt.bias << fraction
    positive = {
        "0": [0],
        "subnormal": [1, 2**fraction - 1],
        "normal": [2**fraction, one, one + 1, fmt.infinity - 1],
        "inf": [fmt.infinity],
    }
    negative = {f"-{name}": [sign | code for code in codes] for name, codes in positive.items()}
    return positive | negative | {"NaN": [fmt.infinity + 1, fmt.nan, sign | fmt.nan]}


def _significand(fmt: FloatFormat, code: int) -> int:
    """As an integer; 0 of 0, of infinity and of NaN."""
    _, field, fraction = fmt.fields(code)
    if field == fmt.max_exponent:
        return 0
    return fraction | bool(field) << fmt.fraction_bits


def _exponent(fmt: FloatFormat, code: int) -> int:
    """Of the greatest power of two that a number is not below, whatever its sign."""
    _, field, _ = fmt.fields(code)
    return max(field, 1) - fmt.bias + _significand(fmt, code).bit_length() - fmt.precision


def sum_class(code: int) -> str:
    exponent, fraction = code >> 23 & 255, code & (2**23 - 1)
    sign = "-" if code >> 31 else "+"
    if exponent == 255:
        return "NaN" if fraction else f"{sign}inf"
    if exponent == 0:
        return "subnormal" if fraction else f"{sign}0"
    return "normal"


class Driver:
    """Appends cycles to a stream, with golden's accumulator after each."""

    def __init__(self, stream: Stream, rng: random.Random):
        self.stream, self.rng = stream, rng
        one = stream.instance
        self.fmt = get_float(get_unit("float_mac").subject_of(one.spec, one.options))
        self.classes = classes(self.fmt)
        self.acc, self.cleared = 0, False
        # Products below float32's normal numbers; only a product that rounds to -0 makes a sum -0.
        self.can_vanish = can_vanish = 2 * self.fmt.bias > FLOAT32.bias
        sums = [name for name in SUMS if name not in ("subnormal", "-0") or can_vanish]
        pairs = itertools.product(self.classes, self.classes)
        stream.cover = Cover([
            *STROBES,
            *(f"w {w} x a {a}" for w, a in pairs),
            *(
                f"{port} {name} on a sum {before}"
                for port in "wa"
                for name in self.classes
                for before in sums
            ),
            *(f"sum {name}" for name in sums),
            *(event for event in EVENTS if event != "overflows to infinity" or can_vanish),
            *(_lost(greater, k) for greater, most in LOST.items() for k in most),
            *(
                f"{sign}{1 << k:#x}"
                for k in range(FLOAT32.fraction_bits)
                if can_vanish
                for sign in "+-"
            ),
            *(_significands(i, j) for i, j in self.subnormals()),
            *map(_normalised, self.product_bits),
            *itertools.starmap(_apart, self.distances()),
            *(_cleared(sign, bit) for sign in "+-" for bit in range(FLOAT32.width)),
        ])

    @property
    def product_bits(self) -> range:
        """Bits of a product's integer, as the significands' integers give it, for which it can be
        a normal number of float32."""
        least = 1 - FLOAT32.bias
        both_subnormal = 2 * _exponent(self.fmt, 1) >= least
        return range(1 if both_subnormal else self.fmt.precision, 2 * self.fmt.precision + 1)

    def power(self, exponent: int) -> tuple[int, int]:
        """Two positive codes with the product ``2**exponent``."""
        fmt = self.fmt
        halves = exponent // 2, exponent - exponent // 2
        least = 1 - fmt.bias
        return tuple(
            (half + fmt.bias) << fmt.fraction_bits if half >= least
            else 1 << (half - least + fmt.fraction_bits)
            for half in halves
        )  # fmt: skip

    @property
    def reach(self) -> tuple[int, int, int]:
        """Exponents of the least power of two that is a product, the least that is a sum, and the
        greatest that is both."""
        low, high = 2 * _exponent(self.fmt, 1), 2 * self.fmt.bias
        return low, max(low, _exponent(FLOAT32, 1)), min(high, FLOAT32.bias)

    def distances(self) -> Iterator[tuple[str, int]]:
        """Which of two powers of two, a product and a sum, is greater, and by how many binades."""
        low, bottom, top = self.reach
        for apart in range(1, top - low + 1):
            yield "sum", apart
        for apart in range(1, top - bottom + 1):
            yield "product", apart

    def subnormals(self) -> list[tuple[int, int]]:
        """Bits of two significands, of which at least one is subnormal."""
        bits = range(1, self.fmt.fraction_bits + 2)
        pairs = itertools.product(bits, bits)
        return [pair for pair in pairs if min(pair) <= self.fmt.fraction_bits]

    def of_bits(self, bits: int, low: int | None = None, great: bool = False) -> int:
        """A code of a significand of so many bits, its top bit set and random ones, or ``low``,
        below: a subnormal number, or a normal one near 1 or, if ``great``, near the greatest."""
        fraction, mask = self.fmt.fraction_bits, 2 ** (bits - 1) - 1
        low = self.rng.getrandbits(bits - 1) if low is None else low & mask
        sign = self.rng.getrandbits(1) << (self.fmt.width - 1)
        if bits <= fraction:
            return sign | 1 << (bits - 1) | low
        middle = self.fmt.max_exponent - 4 if great else self.fmt.bias
        return sign | (middle + self.rng.randrange(-3, 4)) << fraction | low

    def operand(self) -> int:
        """A random code; of every third, with an exponent near that of 1, so that sums meet."""
        code = self.rng.getrandbits(self.fmt.width)
        if self.rng.random() < 0.7:
            exponent = self.fmt.bias + self.rng.randrange(-5, 5)
            code &= ~((2**self.fmt.exponent_bits - 1) << self.fmt.fraction_bits)
            code |= exponent << self.fmt.fraction_bits
        return code

    def name(self, code: int) -> str:
        sign, exponent, fraction = self.fmt.fields(code)
        prefix = "-" if sign else ""
        if exponent == 2**self.fmt.exponent_bits - 1:
            return "NaN" if fraction else f"{prefix}inf"
        return prefix + ("normal" if exponent else "subnormal" if fraction else "0")

    def cycle(
        self, w: int | None = None, a: int | None = None, *, en: int = 1, clear: int = 0,
        rst: int = 0,
    ) -> None:  # fmt: skip
        w = self.operand() if w is None else w
        a = self.operand() if a is None else a
        hit = self.stream.cover.hit
        if rst:
            hit("reset")
            if en:
                hit("reset with en")
            self.acc = 0
        elif en:
            if clear:
                hit("clear")
                if self.cleared:
                    hit("clear twice in a row")
            self.cleared = bool(clear)
            cleared, before = (self.acc, 0) if clear else (0, self.acc)
            self.acc = multiply_add(before, w, a, self.fmt)
            hit(f"w {self.name(w)} x a {self.name(a)}")
            for port, code in (("w", w), ("a", a)):
                hit(f"{port} {self.name(code)} on a sum {sum_class(before)}")
            hit(f"sum {sum_class(self.acc)}")
            self.stream.cover.mark([f"{'+-'[self.acc >> 31]}{self.acc & 0x7FFFFFFF:#x}"])
            self.event(before, w, a)
            self.stream.cover.mark(self.numbers(cleared, before, w, a))
        else:
            hit("stall")
            if clear:
                hit("clear without en")
        one = self.stream.instance
        self.stream.add(
            one.pack_results(acc=self.acc), entered=bool(en and not rst), reset=bool(rst),
            rst=rst, en=en, clear=clear, w=w, a=a,
        )  # fmt: skip

    def numbers(self, cleared: int, before: int, w: int, a: int) -> Iterator[str]:
        """What finite operands and the sum before them are as numbers, and the sum that `clear`
        dropped."""
        significands = [_significand(self.fmt, x) for x in (w, a)]
        sign = (w ^ a) >> (self.fmt.width - 1)
        if all(significands):
            bits = [x.bit_length() for x in significands]
            if min(bits) <= self.fmt.fraction_bits:
                yield _significands(*bits)
            product, base = math.prod(significands), _significand(FLOAT32, before)
            if not base and sum_class(self.acc) == "normal":
                yield _normalised(product.bit_length())
            exponent = sum(_exponent(self.fmt, x) for x in (w, a))
            exponent += product.bit_length() - sum(bits) + 1
            ahead = exponent - _exponent(FLOAT32, before) if base else 0
            greater = "product" if ahead > 0 else "sum"
            if base and sum_class(self.acc) == "normal":
                left = _exponent(FLOAT32, before) + max(0, ahead) - _exponent(FLOAT32, self.acc)
                yield _lost(greater, left)
            if product.bit_count() == base.bit_count() == 1 and before >> 31 != sign:
                yield _apart(greater, abs(ahead))
        elif not {"NaN", "inf"} & {self.name(x).lstrip("-") for x in (w, a)}:
            for bit in range(FLOAT32.width):
                if cleared >> bit & 1:
                    yield _cleared("+-"[sign], bit)

    def event(self, before: int, w: int, a: int) -> None:
        finite = (sum_class(before) in ("normal", "subnormal")) and not any(
            self.name(x).lstrip("-") in ("inf", "NaN", "0") for x in (w, a)
        )
        if not finite:
            return
        hit, after = self.stream.cover.hit, sum_class(self.acc)
        if after in ("+0", "-0"):
            hit("cancels to 0")
        elif after in ("+inf", "-inf"):
            hit("overflows to infinity")
        elif self.acc == before:
            hit("product vanishes")
        elif before >> 23 & 255 > self.acc >> 23 & 255:
            hit("cancels a binade or more")


def _significands(i: int, j: int) -> str:
    return f"a significand of {i} bits by one of {j}"


def _lost(greater: str, binades: int) -> str:
    return f"{binades} binades cancel, the {greater} ahead"


def _normalised(bits: int) -> str:
    return f"a product of {bits} bits, as a normal sum"


def _apart(greater: str, binades: int) -> str:
    return f"powers of two of both signs, the {greater} {binades} binades ahead"


def _cleared(sign: str, bit: int) -> str:
    return f"clear to a product of {sign}0, bit {bit} of the sum 1"
