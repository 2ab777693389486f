"""Bench of the floating-point MAC: every class of operands, ties, cancellation, strobes."""

import itertools
import random

from macsmith.experiments.verify.floats_driver import LOST, Driver
from macsmith.experiments.verify.stimulus import Stream
from macsmith.sim.floating import FLOAT32

__all__ = ["drive_float_mac"]

CLEARED = 16  # sums of each sign that zeros of each sign take the place of


def drive_float_mac(stream: Stream, rng: random.Random) -> None:
    """Reset; all classes crossed on all sums; strobes; cancellation; random sums."""
    drive = Driver(stream, rng)
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
    _apart(drive)
    _cleared(drive)
    for _ in range(4 * stream.instance.effort.random):
        en, clear, rst = (int(rng.random() < p) for p in (0.8, 0.05, 0.01))
        drive.cycle(en=en, clear=clear, rst=rst)
    for _ in range(stream.instance.latency + 4):
        drive.cycle(0, 0, en=0)


def _crossed(drive: Driver) -> None:
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
            for pair in ((code, other), (other, code)):
                drive.cycle(*start, clear=1)
                drive.cycle(*pair)


def _cancelled(drive: Driver) -> None:
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


def _normalised(drive: Driver) -> None:
    """Products of every two lengths of significands, and sums that lose every number of bits."""
    fmt, rng = drive.fmt, drive.rng
    minus = 1 << (fmt.width - 1)
    for pair in drive.subnormals():
        for low in (None, 0, -1):  # the last two: the shortest product and the longest
            drive.cycle(*(drive.of_bits(bits, low, great=True) for bits in pair), clear=1)
        w, a = map(drive.of_bits, pair)
        drive.cycle(w, a, clear=1)
        drive.cycle(w ^ minus, a ^ rng.getrandbits(2))  # nearly the same, taken away
        drive.cycle(*map(drive.of_bits, pair))
    for k in LOST["sum"]:
        for rest in (0, 1, rng.getrandbits(fmt.fraction_bits)):
            # 1 + what is k binades below it, the product of two powers of two and a rest; less 1
            high, low = fmt.bias - k // 2, fmt.bias - (k - k // 2)
            one, sign = fmt.bias << fmt.fraction_bits, rng.choice((0, minus))
            drive.cycle(one ^ sign, one, clear=1)
            drive.cycle(sign ^ (high << fmt.fraction_bits | rest), low << fmt.fraction_bits)
            drive.cycle(one ^ sign ^ minus, one)
    for k, sign in itertools.product(LOST["product"], (0, minus)):
        # what is k binades below 1, less 1; and 1
        one, (w, a) = fmt.bias << fmt.fraction_bits, drive.power(-k)
        drive.cycle(w ^ sign, a, clear=1)
        drive.cycle(one ^ sign ^ minus, one)
        drive.cycle(one ^ sign, one)
    for bit in range(FLOAT32.fraction_bits) if drive.can_vanish else ():
        # a power of two below float32's normal numbers, as a product and as what is left of a sum
        exponent = 2 * fmt.bias + 1 - FLOAT32.bias - FLOAT32.fraction_bits + bit
        high, low = ((exponent + k) // 2 << fmt.fraction_bits for k in (0, 1))
        for sign in (0, minus):
            drive.cycle(high ^ sign, low, clear=1)
            drive.cycle(high ^ sign, low | rng.getrandbits(3))
            drive.cycle(high ^ sign ^ minus, low)


def _apart(drive: Driver) -> None:
    """A power of two, less one so many binades below or above it."""
    minus, (low, bottom, top) = 1 << (drive.fmt.width - 1), drive.reach
    for (greater, binades), sign in itertools.product(drive.distances(), (0, minus)):
        if greater == "sum":
            before = drive.rng.randint(max(bottom, low + binades), top)
            after = before - binades
        else:
            after = drive.rng.randint(bottom + binades, top)
            before = after - binades
        for exponent, clear in ((before, 1), (after, 0)):
            w, a = drive.power(exponent)
            drive.cycle(w ^ sign ^ (0 if clear else minus), a, clear=clear)


def _cleared(drive: Driver) -> None:
    """Zeros of both signs in place of sums of both signs."""
    minus = 1 << (drive.fmt.width - 1)
    for sign, zero in itertools.product((0, minus), repeat=2):
        for _ in range(CLEARED):
            w, a = (drive.operand() & ~minus for _ in range(2))
            drive.cycle(w ^ sign, a, clear=1)
            for _ in range(2):
                drive.cycle()
            drive.cycle(zero, drive.operand() & ~minus, clear=1)
