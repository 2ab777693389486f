"""Traffic of a systolic array: random beats in arrays, and what they come to."""

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.payloads import packed
from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.array_outputs import OutputModel
from macsmith.experiments.verify.array_weights import WeightModel
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.corners import drawn_zero_points
from macsmith.experiments.verify.many import MOST, accumulated, levels, overflowed, products
from macsmith.experiments.verify.placed import targets
from macsmith.experiments.verify.traffic import Queue, Traffic

__all__ = [
    "Plan", "WeightBeats", "beat_fields", "beats_of", "element_products", "ends_of", "many_array",
    "output_traffic", "picked", "plan", "rows_of", "weight_beats",
]  # fmt: skip

BEATS = 64  # of a segment, at least
CUT = 64  # cycles after which a reset comes at the latest


@dataclass(frozen=True)
class Plan:
    """Streams, and what each of them plays: as many segments that a reset ends as whole ones.

    Attributes
    ----------
    streams, segments, beats : int
        Segments of all streams together, and beats of each.
    cut : int64 [segments]
        Of `Traffic`.
    """

    streams: int
    segments: int
    beats: int
    cut: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        return self.segments, self.beats


def plan(one: Instance, rng: np.random.Generator, most: int) -> Plan:
    """For ``most`` products and an eighth more; the more streams, the fewer elements there are."""
    rows, cols = one.options["rows"], one.options["cols"]
    beats = max(BEATS, 4 * rows)
    streams = 64 * max(1, min(8, most // (64 * 512 * rows * cols)))
    whole = -(-9 * most // (8 * streams * rows * cols * beats))
    cut = np.zeros((streams, 2 * whole), np.int64)
    cut[:, ::2] = rng.integers(1, CUT, (streams, whole))
    return Plan(streams, cut.size, beats, cut.ravel())


def many_array(one: Instance, most: int = MOST) -> tuple[int, Traffic]:
    """Streams to play it in, and random beats with ``most`` products or more."""
    rng = np.random.default_rng(0)
    how = plan(one, rng, most)
    flow = {"output": _outputs, "weight": _weights}[one.options["dataflow"]]
    return how.streams, flow(one, rng, how)


def picked(values: NDArray, where: NDArray[np.bool_]) -> tuple[NDArray, NDArray[np.int64]]:
    """Of ``values`` [segments, beats, ..] those of some beats, in order, and how many they are."""
    count = where.sum(axis=1)
    order = np.argsort(~where, axis=1, kind="stable")[:, : max(1, count.max())]
    return values[np.arange(len(values))[:, None], order], count


def ends_of(rng: np.random.Generator, shape: tuple[int, int], rows: int) -> NDArray[np.bool_]:
    """Beats with ``last``: every second one, as rows can leave, or seldom; and the final one."""
    often = rng.choice((0.5, 1 / rows, 1 / (4 * rows)), (shape[0], 1))
    last = rng.random(shape) < often
    last[:, -1] = True
    return last


def rows_of(sums: NDArray[np.int64], parts: int) -> tuple[NDArray, NDArray]:
    """(last, parts) of what leaves of tiles' sums [segments, tiles, rows, cols], in its order."""
    segments, tiles, rows, cols = sums.shape
    each = rows * cols // parts
    last = np.zeros((segments, tiles, each), np.int64)
    last[..., -1] = 1
    return last.reshape(segments, -1, 1), sums.reshape(segments, tiles * each, parts)


def _drawn(one: Instance, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple:
    """(w, z) of a weight for each column; z is 0 where there is none."""
    fmt = one.spec.weights
    zs = np.array(drawn_zero_points(fmt) if fmt.zero_pointed else [0])
    return rng.integers(0, 2**fmt.width, shape), rng.choice(zs, shape)


def element_products(one: Instance, a: NDArray, w: NDArray, z: NDArray) -> NDArray[np.int64]:
    """Of every element in every beat: [segments, beats, rows, cols]."""
    shape = (*a.shape, w.shape[2])
    return products(
        *(np.broadcast_to(x, shape) for x in (w[:, :, None], a[..., None], z[:, :, None])),
        one.spec,
    )


def element_sums(
    one: Instance, a: NDArray, w: NDArray, z: NDArray, first: NDArray, before: NDArray | None = None
) -> NDArray[np.int64]:
    """Of every element after every beat: [segments, beats, rows, cols].

    ``before``, [segments, elements], is what sums are to begin with; without it they are 0.
    """
    entering = element_products(one, a, w, z)
    flat = entering.reshape(*first.shape, -1, 1)
    sums = accumulated(one.spec, flat, np.ones_like(first), first, before)
    return sums.reshape(entering.shape)


def beats_of(one: Instance, rng: np.random.Generator, shape: tuple[int, int]) -> tuple:
    """(a, w, z) of output-stationary beats."""
    rows, cols = one.options["rows"], one.options["cols"]
    a = rng.integers(0, 2**one.spec.activations.width, (*shape, rows))
    return a, *_drawn(one, rng, (*shape, cols))


def beat_fields(one: Instance, first: NDArray, last: NDArray, a, w, z) -> dict[str, NDArray]:
    """Payload of output-stationary beats."""
    found = {"first": first[..., None], "last": last[..., None], "a": a, "w": w}
    return found | ({"z": z} if one.spec.weights.zero_pointed else {})


def _outputs(one: Instance, rng: np.random.Generator, how: Plan) -> Traffic:
    last = ends_of(rng, how.shape, one.options["rows"])
    after = np.roll(last, 1, axis=1)
    after[:, 0] = True
    first = rng.random(how.shape) < np.where(after, 0.75, 1 / 64)
    return output_traffic(one, how, first, last, beats_of(one, rng, how.shape))


def output_traffic(
    one: Instance,
    how: Plan,
    first: NDArray[np.bool_],
    last: NDArray[np.bool_],
    operands: tuple[NDArray, NDArray, NDArray],
    before: NDArray[np.int64] | None = None,
) -> Traffic:
    """Of an output-stationary array: beats (a, w, z), and ``before`` as `element_sums` has it."""
    a, w, z = operands
    sums = element_sums(one, a, w, z, first, before)
    out, tiles = picked(sums, last)
    shown = last.copy()  # beats whose products come out: not those of a sum that is begun anew
    for beat in range(how.beats - 2, -1, -1):
        shown[:, beat] |= shown[:, beat + 1] & ~first[:, beat + 1]
    component = get_unit(one.unit).make(one.spec, **one.options)
    ends, accs = rows_of(out, out.shape[3])
    layouts = component.i.payload.shape(), component.o.payload.shape()
    fields = beat_fields(one, first, last, a, w, z)
    rows, size = out.shape[2], out.shape[2] * out.shape[3]

    def golden(segment: int) -> dict[str, list[int]]:
        model = OutputModel(one, random.Random(0))
        for element, sum_before in zip(
            model.sums.values(), [] if before is None else before[segment].tolist(), strict=False
        ):
            element.acc = element.base = sum_before
        for beat in zip(*(x[segment].tolist() for x in (first, last, a, w, z)), strict=True):
            model.beat(*beat)
        return {**model.sources, **model.sinks}

    return Traffic(
        {"i": Queue(packed(layouts[0], fields), np.full(how.segments, how.beats))},
        {"o": Queue(packed(layouts[1], {"last": ends, "acc": accs}), tiles * rows)},
        OutputModel.ready,
        products=shown.sum(axis=1) * size,
        results=tiles * size,
        cut=how.cut,
        golden=golden,
    )


@dataclass(frozen=True)
class WeightBeats:
    """Beats of weight-stationary arrays, [segments, beats, ..], and what their rows come to.

    first, last  bool [segments, beats]
    a            int64 [segments, beats, rows]
    acc, out     int64 [segments, beats, cols]; sums that enter and that leave
    w, z         int64 [segments, switches, rows, cols]; loaded for each ``first``
    """

    first: NDArray[np.bool_]
    last: NDArray[np.bool_]
    a: NDArray[np.int64]
    acc: NDArray[np.int64]
    w: NDArray[np.int64]
    z: NDArray[np.int64]
    out: NDArray[np.int64]

    @property
    def loads(self) -> NDArray[np.int64]:
        """How many beats of ``load`` each segment has."""
        return self.first.sum(axis=1) * self.w.shape[2]

    def payloads(self, component: Any) -> dict[str, NDArray[np.uint8]]:
        """Of ``i`` and ``load``, as bits."""
        beats = {"first": self.first[..., None], "last": self.last[..., None]}
        beats |= {"a": self.a, "acc": self.acc}
        flat = len(self.w), -1, self.w.shape[3]
        loads = {"w": self.w.reshape(flat)}
        loads |= {"z": self.z.reshape(flat)} if component.spec.weights.zero_pointed else {}
        return {
            "i": packed(component.i.payload.shape(), beats),
            "load": packed(component.load.payload.shape(), loads),
        }

    def model(self, one: Instance, segment: int) -> WeightModel:
        """The bench's model, which was given the beats of a segment."""
        model, switch = WeightModel(one, random.Random(0)), -1
        for begins, *rest in zip(
            *(x[segment].tolist() for x in (self.first, self.last, self.a, self.acc)), strict=True
        ):
            if begins:
                switch += 1
                both = self.w[segment, switch].tolist(), self.z[segment, switch].tolist()
                model.load_rows(list(zip(*both, strict=True)))
            model.beat(begins, *rest)
        return model


def weight_beats(
    one: Instance, rng: np.random.Generator, shape: tuple[int, int], often: float = 0.3
) -> WeightBeats:
    """Random ones; a share ``often`` of them with ``last``."""
    spec, rows, cols = one.spec, one.options["rows"], one.options["cols"]
    first = rng.random(shape) < rng.choice((1 / 4, 1 / 16, 1 / (3 * rows)), (shape[0], 1))
    first[:, 0] = True
    last = rng.random(shape) < often
    w, z = _drawn(one, rng, (shape[0], first.sum(axis=1).max(), rows, cols))
    a = rng.integers(0, 2**spec.activations.width, (*shape, rows))
    low, high = spec.acc_range
    step = rows * max(map(abs, spec.product_range))
    accs = np.where(
        rng.random((*shape, cols)) < 0.5,
        targets(rng, spec, (*shape, cols), step),
        rng.integers(low, high, (*shape, cols), endpoint=True),
    )
    here = np.arange(shape[0])[:, None], np.cumsum(first, axis=1) - 1
    u = levels(w, z, spec.weights)[here]
    x = np.array(spec.activations.levels, np.int64)[a]
    out = accs
    for r in range(rows):
        out = overflowed(out + x[..., r, None] * u[:, :, r], spec)
    return WeightBeats(first, last, a, accs, w, z, out)


def _weights(one: Instance, rng: np.random.Generator, how: Plan) -> Traffic:
    made = weight_beats(one, rng, how.shape)
    component = get_unit(one.unit).make(one.spec, **one.options)
    bits, every = made.payloads(component), np.full(how.segments, how.beats)
    shown = {"last": made.last[..., None], "acc": made.out}
    results = packed(component.o.payload.shape(), shown)

    def golden(segment: int) -> dict[str, list[int]]:
        model = made.model(one, segment)
        return {**model.sources, **model.sinks}

    return Traffic(
        {"load": Queue(bits["load"], made.loads), "i": Queue(bits["i"], every)},
        {"o": Queue(results, every)},
        WeightModel.ready,
        products=every * component.rows * component.cols,
        results=every * component.cols,
        cut=how.cut,
        golden=golden,
    )
