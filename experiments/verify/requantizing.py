"""Bench of the requantizer: every operand's corners, ties of the rounding, random values."""

import itertools
import random
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.many import MOST, Drawn, in_parts, shape_of
from macsmith.experiments.verify.requantizing_bits import Lone, beyond, lone_bits, sticky
from macsmith.experiments.verify.stimulus import Stream
from macsmith.sim import ndarray
from macsmith.sim.requantize import RequantizeSpec, requantize

__all__ = ["any_size", "drive_requantizer", "many_requantized", "scales_of"]

OUTCOMES = ("clamped above", "clamped below", "greatest", "least", "0", "in between")
RESETS = 61  # operands from one reset to the next
REMAINDERS = ("exact", "tie of a positive number", "tie of a negative number", "below", "above")
#: Odd multiples of 2**(shift - 1), nearest to 0 for what each is a tie of: its sign, and whether
#: the integer below it is even, which is all that a rounding asks of a tie.
TIES = {1: "positive, above even", 3: "positive, above odd",
        -1: "negative, above odd", -3: "negative, above even"}  # fmt: skip


def drive_requantizer(stream: Stream, rng: random.Random) -> None:
    """Corners of all operands crossed, ties at every shift, then random values of every size;
    resets in between, where there are registers."""
    one = stream.instance
    numbers = get_unit("requantizer").subject_of(one.spec, one.options)
    shifts = range(numbers.max_shift + 1)
    lone = one.in_turn([*sticky(numbers), *beyond(numbers)])
    stream.cover = Cover([
        *OUTCOMES,
        *(f"remainder {name}" for name in REMAINDERS),
        *(f"shift {shift}" for shift in shifts),
        *(_tie_at(shift, odd) for shift in shifts for odd in TIES if _factors(numbers, shift, odd)),
        *(name for name, *_ in lone if name),
        *(f"{name} {end}" for name in _ends(numbers) for end in ("least", "greatest")),
        *(["reset"] if one.latency else []),
    ])
    for k, values in enumerate(_cases(numbers, lone, rng, one.effort.random)):
        if one.latency and k % RESETS == 0:
            _drive(stream, numbers, rst=1, **values)
        _drive(stream, numbers, **values)
    for _ in range(one.latency + 4):  # until the last value shows, with any pipeline
        _drive(stream, numbers, **dict.fromkeys(_ends(numbers), 0))


def _ends(numbers: RequantizeSpec) -> dict[str, tuple[int, int]]:
    """Least and greatest of every operand."""
    signed = {"acc": numbers.acc_width, "correction": numbers.correction_width}
    signed["zero_point"] = numbers.out_width
    unsigned = {"multiplier": numbers.multiplier_width, "shift": numbers.shift_width}
    ends = {name: (-(2 ** (w - 1)), 2 ** (w - 1) - 1) for name, w in signed.items() if w}
    return ends | {name: (0, 2**w - 1) for name, w in unsigned.items()}


def _tie_at(shift: int, odd: int) -> str:
    """A bin: a product of ``odd`` halves, exactly."""
    return f"tie at shift {shift}, {TIES[(odd % 4) if odd > 0 else -(-odd % 4)]}"


def _factors(numbers: RequantizeSpec, shift: int, odd: int) -> list[tuple[int, int]]:
    """Every (difference, multiplier) whose product is ``odd * 2**(shift - 1)``, with all of the odd
    factor in one of them; none where the widths do not allow it, and at shift 0, which has no tie.

    The powers of two may be spread over both: so ties reach beyond a multiplier's width.
    """
    ends = _ends(numbers)
    (low, high), (least, most) = ends["acc"], ends.get("correction", (0, 0))
    sign = 1 if odd > 0 else -1
    return [
        (difference << k, multiplier << shift - 1 - k)
        for difference, multiplier in {(odd, 1), (sign, abs(odd))}
        for k in range(shift)
        if low - most <= difference << k <= high - least
        and multiplier << shift - 1 - k <= ends["multiplier"][1]
    ]


def _cases(numbers: RequantizeSpec, lone: Iterable[Lone], rng: random.Random, count: int):
    ends = _ends(numbers)
    some = {
        name: sorted({low, *(x for x in (-1, 0, 1, high // 2 + 1) if low <= x <= high), high})
        for name, (low, high) in ends.items()
    }
    some["shift"] = [0, 1, numbers.multiplier_width, numbers.multiplier_width + 1,
                     numbers.max_shift]  # fmt: skip
    for values in itertools.product(*some.values()):
        yield dict(zip(some, values, strict=True))
    for shift in range(numbers.max_shift + 1):
        yield _random(numbers, rng) | {"shift": shift}
        half = numbers.out_range[1] + 1
        for odd in (*TIES, *(2 * rng.randrange(-half, half) + 1 for _ in range(8))):
            yield from _ties(numbers, rng, shift, odd)
    for _, shift, difference, multiplier in lone:
        yield _operands(numbers, rng, difference, multiplier, shift)
    for bit in range(numbers.acc_width + numbers.multiplier_width - 1):
        yield from _single_bit(numbers, rng, bit)
    for _ in range(4 * count):
        yield _random(numbers, rng)


def _single_bit(numbers: RequantizeSpec, rng: random.Random, bit: int):
    """Results 2**bit of either sign, that bit alone, a tie above it and below: each that may ask
    for a clamp. Where a multiplier is too short for it, the product alone has that bit."""
    ends = _ends(numbers)
    near = min(2, numbers.out_range[1])
    for sign, off, _ in itertools.product((1, -1), (-1, 0, 1), range(2)):
        least = max(0, bit + 1 - (numbers.multiplier_width - 1))
        i = rng.randint(min(least, numbers.acc_width - 1), numbers.acc_width - 1)
        power = min(bit + 1, numbers.multiplier_width - 1)
        acc = max(ends["acc"][0], min(sign << i, ends["acc"][1]))
        yield {
            "acc": acc,
            "correction": 0,
            "multiplier": max(0, min((1 << power) + off, ends["multiplier"][1])),
            "shift": min(i + 1, numbers.max_shift) if power == bit + 1 else 0,
            "zero_point": rng.randint(-near, near),
        }


def _ties(numbers: RequantizeSpec, rng: random.Random, shift: int, odd: int):
    """A tie that no clamp hides, if there is one, and the differences beside it."""
    found = _factors(numbers, shift, odd)
    if not found:
        return
    difference, multiplier = rng.choice(found)
    for off in (-1, 0, 1):
        yield _operands(numbers, rng, difference + off, multiplier, shift)


def _operands(
    numbers: RequantizeSpec, rng: random.Random, difference: int, multiplier: int, shift: int
) -> dict[str, int]:
    """Such a difference, or the nearest that there is; the zero point brings the product into range
    where one does, with both of the integers beside it."""
    ends, (low, high) = _ends(numbers), numbers.out_range
    below = difference * multiplier >> shift
    (least, most), (lower, upper) = ends["acc"], ends.get("correction", (0, 0))
    difference = max(least - upper, min(difference, most - lower))
    correction = rng.randint(max(lower, least - difference), min(upper, most - difference))
    fitting = max(low, low - below), min(high, high - below - 1)
    near = min(2, high)
    return {
        "acc": difference + correction,
        "correction": correction,
        "multiplier": multiplier,
        "shift": shift,
        "zero_point": rng.randint(*(fitting if fitting[0] <= fitting[1] else (-near, near))),
    }


def _random(numbers: RequantizeSpec, rng: random.Random) -> dict[str, int]:
    """Operands of any number of bits; most results fit, and half the multipliers are normal."""
    values = {}
    for name, (low, high) in _ends(numbers).items():
        bits = rng.randrange(1, (high - low).bit_length() + 1)
        number = rng.getrandbits(bits) - (2 ** (bits - 1) if low else 0)
        values[name] = max(low, min(number, high))
    if rng.random() < 0.5:
        values["multiplier"] |= 2 ** (numbers.multiplier_width - 1)
    if rng.random() < 0.75:
        difference = abs(values["acc"] - values.get("correction", 0))
        size = (difference * values["multiplier"]).bit_length() - numbers.out_width
        values["shift"] = max(0, min(size + rng.randrange(-1, 9), numbers.max_shift))
    return values


def many_requantized(one: Instance, most: int = MOST) -> Drawn:
    """Random operands of any number of bits; a product that int64 may not hold is golden's."""
    numbers = get_unit("requantizer").subject_of(one.spec, one.options)
    shape = shape_of(most)
    drawn = _randoms(numbers, np.random.default_rng(0), shape)

    def golden(stream: int) -> list[list[int]]:
        columns = zip(*(x[stream].tolist() for x in drawn.values()), strict=True)
        rows = (dict(zip(drawn, column, strict=True)) for column in columns)
        return [[requantize(**row, spec=numbers)] for row in rows]

    in_arrays = numbers.product_width <= ndarray.WIDEST
    if in_arrays:
        due = ndarray.requantize(**drawn, spec=numbers)[..., None]
    else:
        due = np.array([golden(k) for k in range(shape[0])])
    always = np.ones(shape, bool)
    ports = {name: in_parts(x, one.widths[name]) for name, x in drawn.items()}
    return Drawn(ports, due, always, ~always, golden, in_arrays)


def _randoms(
    numbers: RequantizeSpec, rng: np.random.Generator, shape: tuple[int, int]
) -> dict[str, NDArray[np.int64]]:
    """`_random` in arrays; and of every eighth, a multiplier that makes ties."""
    ends = _ends(numbers)
    values = {name: any_size(rng, *ends[name], shape) for name in ends}
    difference = values["acc"] - values.get("correction", 0)
    values["multiplier"], values["shift"] = scales_of(numbers, rng, difference)
    return values


def any_size(
    rng: np.random.Generator, low: int, high: int, shape: tuple[int, ...]
) -> NDArray[np.int64]:
    """Numbers of any number of bits, of two's complement or, with ``low`` 0, unsigned."""
    bits = rng.integers(1, (high - low).bit_length() + 1, shape, dtype=np.uint64)
    number = rng.integers(0, 2**64, shape, dtype=np.uint64)
    unused = np.uint64(64) - bits
    if low:
        return number.view(np.int64) >> unused.view(np.int64)
    return (number >> unused).view(np.int64)


def scales_of(
    numbers: RequantizeSpec, rng: np.random.Generator, difference: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(multiplier, shift) that bring most of the differences into range; with some, a tie."""
    shape, width, ends = difference.shape, numbers.multiplier_width, _ends(numbers)
    multiplier, shift = (any_size(rng, *ends[name], shape) for name in ("multiplier", "shift"))
    kind = rng.integers(0, 8, shape)
    multiplier[kind < 4] |= 2 ** (width - 1)
    power = rng.integers(0, width, shape)
    multiplier = np.where(kind == 4, 1 << power, multiplier)
    product = np.abs(difference.astype(float)) * multiplier
    size = np.frexp(product)[1] - numbers.out_width
    fitting = np.where(rng.random(shape) < 0.75, size + rng.integers(-1, 9, shape), shift)
    lowest = np.frexp((difference & -difference).astype(float))[1]  # from 1, of a bit that is set
    shift = np.where(kind == 4, power + lowest, fitting)
    return multiplier, np.clip(shift, 0, numbers.max_shift)


def _drive(stream: Stream, numbers: RequantizeSpec, *, rst: int = 0, **v: int) -> None:
    """A cycle; a reset empties the pipeline, which then shows 0."""
    y = 0 if rst else requantize(
        v["acc"], v["multiplier"], v["shift"], v["zero_point"], numbers,
        correction=v.get("correction", 0),
    )  # fmt: skip
    masked = {name: value & (2 ** stream.instance.widths[name] - 1) for name, value in v.items()
              if name in stream.instance.widths}  # fmt: skip
    entered, reset = not rst, bool(rst)
    stream.add(stream.instance.pack_results(y=y), entered=entered, reset=reset, rst=rst, **masked)
    if rst:
        stream.cover.hit("reset")
        return
    _cover(stream.cover, numbers, v, y)


def _cover(cover: Cover, numbers: RequantizeSpec, v: dict[str, int], y: int) -> None:
    product = (v["acc"] - v.get("correction", 0)) * v["multiplier"]
    below, half = product % 2 ** v["shift"], 2 ** v["shift"] // 2
    low, high = numbers.out_range
    rounded = product / 2 ** v["shift"] + v["zero_point"]
    if rounded > high + 1:
        cover.hit("clamped above")
    elif rounded < low - 1:
        cover.hit("clamped below")
    else:
        cover.hit({low: "least", high: "greatest", 0: "0"}.get(y, "in between"))
    if not below:
        cover.hit("remainder exact")
    elif below == half:
        sign = "negative" if product < 0 else "positive"
        odd = product >> v["shift"] - 1
        cover.mark([f"remainder tie of a {sign} number", _tie_at(v["shift"], odd)])
    else:
        cover.hit(f"remainder {'below' if below < half else 'above'}")
    cover.mark([f"shift {v['shift']}"])
    cover.mark(lone_bits(numbers, product, v["shift"]))
    for name, (least, greatest) in _ends(numbers).items():
        cover.mark([f"{name} least"] if v.get(name) == least else [])
        cover.mark([f"{name} greatest"] if v.get(name) == greatest else [])
