"""Bench of the floating-point MAC: every class of operands, ties, cancellation, strobes."""

import itertools
import random

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.many import MOST, Drawn, strobes
from macsmith.experiments.verify.stimulus import Stream
from macsmith.experiments.verify.sums import STROBES
from macsmith.sim import ndarray
from macsmith.sim.floating import FLOAT32, FloatFormat, get_float, multiply_add

__all__ = ["drive_float_mac", "many_floats"]

SUMS = ("+0", "-0", "subnormal", "normal", "+inf", "-inf", "NaN")
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
        can_vanish = 2 * self.fmt.bias > FLOAT32.bias
        sums = [name for name in SUMS if name not in ("subnormal", "-0") or can_vanish]
        pairs = itertools.product(self.classes, self.classes)
        stream.cover = Cover([
            *STROBES,
            *(f"w {w} x a {a}" for w, a in pairs),
            *(f"{name} on a sum {before}" for name in self.classes for before in sums),
            *(f"sum {name}" for name in sums),
            *(event for event in EVENTS if event != "overflows to infinity" or can_vanish),
        ])

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
            before = 0 if clear else self.acc
            self.acc = multiply_add(before, w, a, self.fmt)
            hit(f"w {self.name(w)} x a {self.name(a)}")
            hit(f"{self.name(w)} on a sum {sum_class(before)}")
            hit(f"sum {sum_class(self.acc)}")
            self.event(before, w, a)
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
        elif (before >> 23 & 255) > (self.acc >> 23 & 255):
            hit("cancels a binade or more")


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


def many_floats(one: Instance, most: int = MOST) -> Drawn:
    """Random operands, some of each class; every eighth product takes the one before away."""
    fmt = get_float(get_unit("float_mac").subject_of(one.spec, one.options))
    rng = np.random.default_rng(0)
    en, clear, rst = strobes(rng, most, one.latency)
    w, a = (_operands(fmt, rng, en.shape) for _ in "wa")
    again = rng.random(en.shape) < 1 / 8
    again[:, 0] = False
    w = np.where(again, np.roll(w, 1, axis=1) ^ 1 << (fmt.width - 1), w)
    a = np.where(again, np.roll(a, 1, axis=1), a)
    due = np.zeros((*en.shape, 1), np.int64)
    acc = np.zeros(len(en), np.int64)
    for k in range(en.shape[1]):
        total = ndarray.multiply_add(np.where(clear[:, k], 0, acc), w[:, k], a[:, k], fmt)
        acc = np.where(rst[:, k], 0, np.where(en[:, k], total, acc))
        due[:, k, 0] = acc

    def golden(stream: int) -> list[list[int]]:
        acc, found = 0, []
        columns = (x[stream].tolist() for x in (w, a, en, clear, rst))
        for w_code, a_code, enters, clears, resets in zip(*columns, strict=True):
            if resets:
                acc = 0
            elif enters:
                acc = multiply_add(0 if clears else acc, w_code, a_code, fmt)
            found.append([acc])
        return found

    ports = {"w": w, "a": a, "en": en, "clear": clear, "rst": rst}
    return Drawn(ports, due, en, rst, golden)


def _operands(
    fmt: FloatFormat, rng: np.random.Generator, shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Codes as of `_Driver.operand`; and of every sixteenth, one of its class's ends."""
    codes = rng.integers(0, 2**fmt.width, shape)
    exponents = fmt.bias + rng.integers(-5, 5, shape)
    near = codes & ~(fmt.max_exponent << fmt.fraction_bits) | exponents << fmt.fraction_bits
    codes = np.where(rng.random(shape) < 0.7, near, codes)
    ends = [code for members in classes(fmt).values() for code in members]
    return np.where(rng.random(shape) < 1 / 16, rng.choice(ends, shape), codes)
