"""Many streams at once, in arrays: what a netlist is compared with.

Sums of products are here: the same step as `sums.MacModel`, which follows `golden` one product at a
time. Other units' are beside their benches.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.corners import drawn_zero_points
from macsmith.experiments.verify.sums import MacModel
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

__all__ = [
    "MOST", "Drawn", "Many", "accumulated", "draw", "entering", "expected", "follow", "in_parts",
    "lanes_of", "levels", "many_sums", "overflowed", "products", "shape_of", "strobes",
]  # fmt: skip

STREAMS = 1024
WORD = 62  # bits of a part of a port: `gatesim` packs int64
#: Operand combinations, exhaustive up to here, else as many random ones.
MOST = 2**20


@dataclass(frozen=True)
class Drawn:
    """Operands of many streams, and their results by a model in arrays.

    Attributes
    ----------
    ports : mapping
        Codes by input port of the unit, [streams, cycles] or [streams, cycles, parts].
    due : int64 [streams, cycles, parts]
        The output once the operands of a cycle have had their effect; it may be negative.
    en, rst : bool [streams, cycles]
        Operands enter; a reset empties the unit and its pipeline.
    golden : callable
        (stream) -> a row of ``due`` as lists, by the golden model.
    in_arrays : bool
        ``due`` is not golden's own.
    exhaustive : bool
        Every combination of operands is among them.
    upset : uint8 [streams, flip-flops]
        Flip-flops of the netlist that are inverted after the reset; None is none.
    """

    ports: Mapping[str, NDArray[np.int64]]
    due: NDArray[np.int64]
    en: NDArray[np.bool_]
    rst: NDArray[np.bool_]
    golden: Callable[[int], list[list[int]]]
    in_arrays: bool = True
    exhaustive: bool = False
    upset: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Many:
    """Operands of many streams: codes [streams, cycles, lanes], strobes [streams, cycles]."""

    w: NDArray[np.int64]
    a: NDArray[np.int64]
    z: NDArray[np.int64]
    en: NDArray[np.bool_]
    clear: NDArray[np.bool_]
    rst: NDArray[np.bool_]
    exhaustive: bool

    def ports(self, one: Instance) -> dict[str, NDArray[np.int64]]:
        """By input port of the unit."""
        mine = {p.name for p in one.inputs}
        every = {name: getattr(self, name).astype(np.int64)
                 for name in ("w", "a", "z", "en", "clear", "rst")}  # fmt: skip
        return {name: codes for name, codes in every.items() if name in mine}


def in_parts(words: NDArray, width: int) -> NDArray[np.int64]:
    """Integers of any size, [streams, cycles], as [streams, cycles, parts] of at most WORD bits.

    The lowest part comes first; of negative ones, those of the two's complement.
    """
    count = next(n for n in range(1, width + 1) if width % n == 0 and width // n <= WORD)
    each = width // count
    return np.stack(
        [(words >> each * k & (2**each - 1)).astype(np.int64) for k in range(count)], axis=-1
    )


def shape_of(count: int) -> tuple[int, int]:
    """Streams, and cycles of each, in which ``count`` results or a few more are due."""
    streams = min(STREAMS, max(1, count // 64))
    return streams, -(-count // streams)


def strobes(rng: np.random.Generator, count: int, latency: int) -> tuple[NDArray[np.bool_], ...]:
    """Random (en, clear, rst), [streams, cycles], with the `shape_of` ``count`` of ``en``.

    No operands are lost to a reset on their way: there are other cycles for stalls and resets.
    """
    streams, entering = shape_of(count)
    en = np.zeros((streams, entering + entering // 3), bool)
    for row in en:  # the same number enters in each
        row[rng.choice(en.shape[1], entering, replace=False)] = True
    clear = rng.random(en.shape) < 0.08
    under_way = en.copy()
    for back in range(1, latency):
        under_way[:, back:] |= en[:, :-back]
    return en, clear, ~under_way & (rng.random(en.shape) < 0.04)


def many_sums(one: Instance, most: int = MOST) -> Drawn:
    """Sums of products."""
    drawn = draw(one, most=most)
    return Drawn(
        drawn.ports(one),
        expected(drawn, one),
        drawn.en,
        drawn.rst,
        lambda stream: follow(drawn, one, stream),
        exhaustive=drawn.exhaustive,
    )


def lanes_of(one: Instance) -> tuple[int, int, int]:
    """Weights, activations and zero points that enter in a cycle."""
    spec, widths = one.spec, one.widths
    z = widths.get("z", 0) // spec.weights.width
    return widths["w"] // spec.weights.width, widths["a"] // spec.activations.width, z


def draw(one: Instance, seed: int = 0, most: int = MOST, sampled: bool = False) -> Many:
    """Every combination of all lanes' operands, or ``most`` random ones where there are more.

    ``sampled``: random ones even so.
    """
    rng = np.random.default_rng(seed)
    spec, (lanes, a_lanes, z_lanes) = one.spec, lanes_of(one)
    zs = np.array(drawn_zero_points(spec.weights))
    codes = [2**spec.weights.width] * lanes + [2**spec.activations.width] * a_lanes
    codes += [len(zs)] * z_lanes
    every_z = len(zs) == len(spec.weights.zero_points)
    exhaustive = not sampled and every_z and math.prod(codes) <= most
    count = math.prod(codes) if exhaustive else most
    en, clear, rst = strobes(rng, count, one.latency)
    shape = en.shape
    drawn = np.stack([rng.integers(0, n, shape) for n in codes], axis=-1)
    if exhaustive:
        every = rng.permutation(int(en.sum())) % count
        drawn[en] = np.stack(np.unravel_index(every, codes), axis=-1)
    w, a, which = np.split(drawn, [lanes, lanes + a_lanes], axis=-1)
    z = zs[which] if z_lanes else np.zeros((*shape, 1), np.int64)
    return Many(w, a, z, en, clear, rst, exhaustive)


def products(w: NDArray, a: NDArray, z: NDArray, spec: MacSpec) -> NDArray[np.int64]:
    """Of codes, element by element."""
    return levels(w, z, spec.weights) * np.array(spec.activations.levels, np.int64)[a]


def levels(w: NDArray, z: NDArray, fmt: Format) -> NDArray[np.int64]:
    """Levels of weights' codes at zero points."""
    zs = np.unique(z)
    table = np.array([fmt.levels_at(int(z)) for z in zs], np.int64)
    return table[np.searchsorted(zs, z), w]


def entering(many: Many, one: Instance) -> NDArray[np.int64]:
    """Products that would enter in each cycle, [streams, cycles, sums, lanes]."""
    lanes, a_lanes, z_lanes = many.w.shape[2], many.a.shape[2], many.z.shape[2]
    places = np.arange(lanes)
    a, z = many.a[..., places % a_lanes], many.z[..., places % z_lanes]
    sums = one.widths["acc"] // one.spec.acc_width
    return products(many.w, a, z, one.spec).reshape(*many.en.shape, sums, lanes // sums)


def expected(
    many: Many, one: Instance, before: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """What the sums are after each cycle, [streams, cycles, sums].

    ``before`` is what they are to begin with, [streams, sums]; without it they are 0.
    """
    begun = many.rst | (many.en & many.clear)
    live = many.en & ~many.rst
    return accumulated(one.spec, entering(many, one), live, begun, before)


def accumulated(
    spec: MacSpec,
    entering: NDArray[np.int64],
    live: NDArray[np.bool_],
    start: NDArray[np.bool_],
    before: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Sums after each cycle, [streams, cycles, sums], of products [streams, cycles, sums, lanes].

    Where ``start`` is, a sum begins anew; where ``live`` is, products enter it after that.
    ``before``, [streams, sums], is what they are to begin with, at the first place of a group.
    """
    out = np.empty(entering.shape[:3], np.int64)
    acc, base, group = (np.zeros((len(out), out.shape[2]), np.int64) for _ in range(3))
    acc += 0 if before is None else before
    count = np.zeros(len(out), np.int64)
    for cycle in range(out.shape[1]):
        for state in (acc, base, group, count):
            state[start[:, cycle]] = 0
        on = live[:, cycle]
        for k in range(entering.shape[3]):
            first = on & (count % spec.lanes == 0)
            base[first], group[first] = acc[first], 0
            count += on
            group[on] += entering[on, cycle, :, k]
            acc[on] = overflowed(base[on] + group[on], spec)
        out[:, cycle] = acc
    return out


def overflowed(exact: NDArray[np.int64], spec: MacSpec) -> NDArray[np.int64]:
    """Sums as the accumulator keeps them; what wraps may have left int64 on the way."""
    if spec.overflow == "saturate":
        return np.clip(exact, *spec.acc_range)
    above = 64 - spec.acc_width  # bits of int64 that only repeat the sign
    return exact << above >> above


def follow(
    many: Many, one: Instance, stream: int, before: NDArray[np.int64] | None = None
) -> list[list[int]]:
    """`expected` of one stream by `MacModel`."""
    spec, (lanes, *_) = one.spec, lanes_of(one)
    sums = one.widths["acc"] // spec.acc_width
    models = [MacModel(spec) for _ in range(sums)]
    for k, model in enumerate(models):
        model.acc = 0 if before is None else int(before[stream, k])
    per_sum, found = lanes // sums, []
    w, a, z = (x[stream].tolist() for x in (many.w, many.a, many.z))
    for cycle in range(many.en.shape[1]):
        en, rst = many.en[stream, cycle], many.rst[stream, cycle]
        for k, model in enumerate(models):
            if rst or (en and many.clear[stream, cycle]):
                model.start()
            for lane in range(k * per_sum, (k + 1) * per_sum) if en and not rst else ():
                ws, as_, zs = w[cycle], a[cycle], z[cycle]
                model.product(ws[lane], as_[lane % len(as_)], zs[lane % len(zs)])
        found.append([model.acc for model in models])
    return found
