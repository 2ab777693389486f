"""Bench of the floating-point MAC: every class of operands, ties, cancellation, strobes."""

import itertools
import random

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.stimulus import Stream
from macsmith.experiments.verify.sums import STROBES
from macsmith.sim.floating import FLOAT32, FloatFormat, get_float, multiply_add

__all__ = ["classes", "drive_float_mac"]

SUMS = ("+0", "-0", "subnormal", "normal", "+inf", "-inf", "NaN")
#: Binades that a sum may lose to a product of the other sign: all but the last of its bits.
LOST = range(1, FLOAT32.fraction_bits)
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


def sum_class(code: int) -> str:
    exponent, fraction = code >> 23 & 255, code & (2**23 - 1)
    sign = "-" if code >> 31 else "+"
    if exponent == 255:
        return "NaN" if fraction else f"{sign}inf"
    if exponent == 0:
        return "subnormal" if fraction else f"{sign}0"
    return "normal"


class _Driver:
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
            *(f"{name} on a sum {before}" for name in self.classes for before in sums),
            *(f"sum {name}" for name in sums),
            *(event for event in EVENTS if event != "overflows to infinity" or can_vanish),
            *(f"{k} binades cancel" for k in LOST),
            *(
                f"{sign}{1 << k:#x}"
                for k in range(FLOAT32.fraction_bits)
                if can_vanish
                for sign in "+-"
            ),
            *(_significands(i, j) for i, j in self.subnormals()),
        ])

    def subnormals(self) -> list[tuple[int, int]]:
        """Bits of two significands, of which at least one is subnormal."""
        bits = range(1, self.fmt.fraction_bits + 2)
        pairs = itertools.product(bits, bits)
        return [pair for pair in pairs if min(pair) <= self.fmt.fraction_bits]

    def of_bits(self, bits: int) -> int:
        """A random code of a significand of so many bits, its top bit set: a subnormal number, or
        a normal one near 1."""
        fraction, low = self.fmt.fraction_bits, self.rng.getrandbits(bits - 1)
        sign = self.rng.getrandbits(1) << (self.fmt.width - 1)
        if bits <= fraction:
            return sign | 1 << (bits - 1) | low
        return sign | (self.fmt.bias + self.rng.randrange(-3, 4)) << fraction | low

    def operand(self) -> int:
        """A random code; of every third, with an exponent near that of 1, so that sums meet."""
        code = self.rng.getrandbits(self.fmt.width)
        if self.rng.random() < 0.7:
            exponent = self.fmt.bias + self.rng.randrange(-5, 5)
            code &= ~((2**self.fmt.exponent_bits - 1) << self.fmt.fraction_bits)
            code |= exponent << self.fmt.fraction_bits
        return code

    def bits(self, code: int) -> int:
        """Of a number's significand; 0 of 0, of infinity and of NaN."""
        _, exponent, fraction = self.fmt.fields(code)
        if exponent == self.fmt.max_exponent:
            return 0
        return self.fmt.fraction_bits + 1 if exponent else fraction.bit_length()

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
            before = 0 if clear else self.acc
            self.acc = multiply_add(before, w, a, self.fmt)
            hit(f"w {self.name(w)} x a {self.name(a)}")
            hit(f"{self.name(w)} on a sum {sum_class(before)}")
            hit(f"sum {sum_class(self.acc)}")
            self.stream.cover.mark([f"{'+-'[self.acc >> 31]}{self.acc & 0x7FFFFFFF:#x}"])
            self.event(before, w, a)
            bits = [self.bits(x) for x in (w, a)]
            if all(bits) and min(bits) <= self.fmt.fraction_bits:
                hit(_significands(*bits))
        else:
            hit("stall")
            if clear:
                hit("clear without en")
        one = self.stream.instance
        self.stream.add(
            one.pack_results(acc=self.acc), entered=bool(en and not rst), reset=bool(rst),
            rst=rst, en=en, clear=clear, w=w, a=a,
        )  # fmt: skip

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
        elif (lost := (before >> 23 & 255) - (self.acc >> 23 & 255)) > 0:
            hit("cancels a binade or more")
            if lost in LOST:
                hit(f"{lost} binades cancel")


def drive_float_mac(stream: Stream, rng: random.Random) -> None:
    """Reset; all classes crossed on all sums; strobes; cancellation; random sums."""
    drive = _Driver(stream, rng)
    for _ in range(2):
        drive.cycle(rst=1)
    _crossed(drive)
    for en, clear, rst in itertools.product((0, 1), repeat=3):
        for _ in range(2):
            drive.cycle(en=en, clear=clear, rst=rst)
    for _ in range(max(50, stream.instance.effort.random // 10)):
        _cancelled(drive)
    for _ in range(2):
        _normalised(drive)
    for _ in range(4 * stream.instance.effort.random):
        en, clear, rst = (int(rng.random() < p) for p in (0.8, 0.05, 0.01))
        drive.cycle(en=en, clear=clear, rst=rst)
    for _ in range(stream.instance.latency + 4):
        drive.cycle(0, 0, en=0)


def _crossed(drive: _Driver) -> None:
    """Every two classes with a new sum, and on top of a sum of every class."""
    fmt, codes = drive.fmt, drive.classes
    one, minus = fmt.bias << fmt.fraction_bits, 1 << (fmt.width - 1)
    root = max(1, fmt.bias - (FLOAT32.bias + 3) // 2) << fmt.fraction_bits  # squared: subnormal
    starts = [
        (0, 0), (1 | minus, 1), (root, root), (one, one), (fmt.infinity, one),
        (fmt.infinity | minus, one), (fmt.nan, one),
    ]  # fmt: skip
    every = [code for members in codes.values() for code in members]
    for w, a in itertools.product(every, every):
        drive.cycle(w, a, clear=1)
    for start, code in itertools.product(starts, every):
        for other in (one, one | minus, code, 0):
            drive.cycle(*start, clear=1)
            drive.cycle(code, other)


def _cancelled(drive: _Driver) -> None:
    """The same product added and taken away, with something small or nothing in between."""
    minus = 1 << (drive.fmt.width - 1)
    w, a = drive.operand(), drive.operand()
    drive.cycle(w, a, clear=1)
    if drive.rng.random() < 0.5:
        drive.cycle(drive.operand() & ~(7 << (drive.fmt.width - 4)), drive.operand())
    drive.cycle(w ^ minus, a)
    drive.cycle(w ^ minus ^ 1, a)
    big = drive.fmt.infinity - 1
    sign = drive.rng.choice((0, minus))
    drive.cycle(big | sign, big, clear=1)
    drive.cycle(big | sign, big)
    drive.cycle(1, 1)


def _normalised(drive: _Driver) -> None:
    """Products of every two lengths of significands, and sums that lose every number of bits."""
    fmt, rng = drive.fmt, drive.rng
    minus = 1 << (fmt.width - 1)
    for pair in drive.subnormals():
        w, a = map(drive.of_bits, pair)
        drive.cycle(w, a, clear=1)
        drive.cycle(w ^ minus, a ^ rng.getrandbits(2))  # nearly the same, taken away
        drive.cycle(*map(drive.of_bits, pair))
    for k in LOST:
        for rest in (0, 1, rng.getrandbits(fmt.fraction_bits)):
            # 1 + what is k binades below it, the product of two powers of two and a rest; less 1
            high, low = fmt.bias - k // 2, fmt.bias - (k - k // 2)
            one, sign = fmt.bias << fmt.fraction_bits, rng.choice((0, minus))
            drive.cycle(one ^ sign, one, clear=1)
            drive.cycle(sign ^ (high << fmt.fraction_bits | rest), low << fmt.fraction_bits)
            drive.cycle(one ^ sign ^ minus, one)
    for bit in range(FLOAT32.fraction_bits) if drive.can_vanish else ():
        # a power of two below float32's normal numbers, as a product and as what is left of a sum
        exponent = 2 * fmt.bias + 1 - FLOAT32.bias - FLOAT32.fraction_bits + bit
        high, low = ((exponent + k) // 2 << fmt.fraction_bits for k in (0, 1))
        for sign in (0, minus):
            drive.cycle(high ^ sign, low, clear=1)
            drive.cycle(high ^ sign, low | rng.getrandbits(3))
            drive.cycle(high ^ sign ^ minus, low)


def _significands(i: int, j: int) -> str:
    return f"a significand of {i} bits by one of {j}"
