"""Bench of the GEMM tile: whole layers in, requantized results out, a real layer among them."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from amaranth import Value

from macsmith.experiments.operands import layer_codes
from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.corners import drawn_zero_points
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.handshake import Run, StreamAgent
from macsmith.experiments.verify.paces import Pace, paces, places
from macsmith.experiments.verify.sums import SIGNS, MacModel, extreme
from macsmith.sim import engine
from macsmith.sim.codec import code_dtype
from macsmith.sim.formats import signed_width
from macsmith.sim.gemm_schedule import Channel, Schedule
from macsmith.sim.requantize import RequantizeSpec, fixed_point, requantize
from macsmith.sim.spec import MacSpec

__all__ = [
    "beats_out", "deepest", "drive_gemm", "layer_schedule", "packed_beat", "require_engine",
    "results",
]  # fmt: skip

#: No tile is taken before its first sums are there.
READY = {"i": (True, True), "tile": (False, False)}
OUTCOMES = ("clamped above", "clamped below", "in between")
SHAPES = ("one product", "fewer products than rows", "more products than rows",
          "tokens end within a tile", "channels end within a tile")  # fmt: skip
LAYER = "a real layer"
#: Of the real layer: this many tiles each way, and every product.
TILES = 2


def results(schedule: Schedule, numbers: RequantizeSpec) -> Iterator[tuple[int, int]]:
    """(corrected sum, requantized) of every result, in the order in which they leave the tile."""
    beats = schedule.beats()
    for tile in schedule.tiles():
        sums = [[MacModel(schedule.spec) for _ in range(schedule.cols)]
                for _ in range(schedule.rows)]  # fmt: skip
        for _ in range(schedule.depth):
            beat = next(beats)
            for r, c in ((r, c) for r in range(schedule.rows) for c in range(schedule.cols)):
                sums[r][c].product(beat["w"][c], beat["a"][r], beat["z"][c] if "z" in beat else 0)
        for r, c in ((r, c) for r in range(schedule.rows) for c in range(schedule.cols)):
            acc, correction = sums[r][c].acc, 0
            if "za" in tile:
                correction = tile["za"][r] * tile["weight_sum"][c]
            y = requantize(
                acc, tile["multiplier"][c], tile["shift"][c], tile["zero_point"][c], numbers,
                correction=correction,
            )  # fmt: skip
            yield acc - correction, y


def layer_schedule(spec: MacSpec, rows: int, cols: int, numbers: RequantizeSpec) -> Schedule:
    """A few tiles of the embedded model's layer, with every product, and its real scales.

    A tile's scale belongs to the channel: of the tokens' scales it takes the mean.
    """
    layer, _, found = layer_codes(spec)
    tokens, channels = TILES * rows, TILES * cols - 1
    a_scale = float(found.scale[:tokens].mean()) * 2.0**-spec.frac_bits
    spread = 127 / max(1.0, float(layer.scale.max()) * a_scale * 2 ** (numbers.acc_width - 1))
    loud = min(max(spread, 8.0), 64.0)  # results fill INT8 and some leave it
    made = []
    for n in range(channels):
        multiplier, shift = fixed_point(float(layer.scale[n, 0]) * a_scale * loud, numbers)
        zero = None if layer.zero_point is None else int(layer.zero_point[n, 0])
        made.append(Channel(layer.qweight[n].tolist(), multiplier, shift, 3, zero))
    zeros = [int(z) for z in found.zero[:tokens]] if numbers.correction_width else None
    return Schedule(spec, found.codes[:tokens].tolist(), made, rows, cols, zeros)


def deepest(instance: Instance) -> int:
    """Products of the longest sums that are driven; each of them fits where it has to be exact."""
    spec, options = instance.spec, instance.options
    depth = min(options["depth"], 2 * options["rows"] + 3)
    if spec.overflow == "exact":
        while spec.depth_width(depth) > spec.acc_width:
            depth -= 1
    return depth


def packed_beat(component: Any, port: str, fields: Mapping[str, Any]) -> int:
    """A payload's bits, as the port's own layout says."""
    value = Value.cast(getattr(component, port).payload.shape().const(fields))
    return value.value & (2 ** len(value) - 1)


def beats_out(component: Any, found: Sequence[tuple[int, int]]) -> list[int]:
    """What leaves at ``o``, of `results`."""
    exits = component.exits
    beats, per_tile = [], component.rows * component.cols // exits
    for k in range(0, len(found), exits):
        part = found[k : k + exits]
        beat = {"last": int(k // exits % per_tile == per_tile - 1), "y": [y for _, y in part]}
        if "sum" in component.o.payload.shape().members:
            beat["sum"] = [total for total, _ in part]
        beats.append(packed_beat(component, "o", beat))
    return beats


class _Bench:
    """Layers as runs, and what they cover."""

    def __init__(self, instance: Instance, rng: random.Random) -> None:
        self.rng, self.spec, options = rng, instance.spec, instance.options
        self.component = get_unit("gemm").make(instance.spec, **options)
        self.numbers = self.component.numbers
        self.rows, self.cols, self.exits = (options[name] for name in ("rows", "cols", "exits"))
        self.corrects = bool(self.numbers.correction_width)
        self.deepest = deepest(instance)
        self.events: set[str] = set()
        self.runs: list[Run] = []

    def layer(self, tokens: int, channels: int, depth: int) -> Schedule:
        """Random codes, zero points, multipliers; shifts that bring most results into range."""
        rng, spec, numbers = self.rng, self.spec, self.numbers
        low, high = spec.activations.level_range
        size = signed_width(*spec.product_range) + depth.bit_length() - numbers.out_width
        made = []
        for _ in range(channels):
            multiplier = rng.getrandbits(numbers.multiplier_width)
            shift = size + multiplier.bit_length() + rng.randrange(-4, 2)
            made.append(
                Channel(
                    [rng.getrandbits(spec.weights.width) for _ in range(depth)],
                    multiplier,
                    max(0, min(shift, numbers.max_shift)),
                    rng.randint(*numbers.out_range),
                    rng.choice(drawn_zero_points(spec.weights))
                    if spec.weights.zero_pointed else None,
                )
            )  # fmt: skip
        codes = [
            [rng.getrandbits(spec.activations.width) for _ in range(depth)] for _ in range(tokens)
        ]
        zeros = [rng.choice((low, high, 0, rng.randint(low, high))) for _ in range(tokens)]
        return Schedule(spec, codes, made, self.rows, self.cols, zeros if self.corrects else None)

    @property
    def loud(self) -> tuple[int, int, int]:
        """The ``(w, a, z)`` of the product that is furthest from 0."""
        most = max(SIGNS, key=lambda sign: sign * self._level(*extreme(self.spec, sign)))
        return extreme(self.spec, most)

    def _level(self, w: int, a: int, z: int) -> int:
        return self.spec.weights.levels_at(z)[w] * self.spec.activations.levels[a]

    def scale(self, shift: int) -> range:
        """Multipliers that bring the loudest product between a half and three quarters of the
        way to the end of the range; empty where there are none."""
        end, loud = self.numbers.out_range[1] + 1, abs(self._level(*self.loud))
        low, high = (quarters * end * 2**shift // (4 * loud) for quarters in (2, 3))
        return range(low + 1, min(high + 1, 2**self.numbers.multiplier_width))

    def shifts(self) -> Schedule:
        """A channel for each shift, with the loudest product in range where that can be, and
        other ones; with random multipliers elsewhere."""
        rng, spec, numbers = self.rng, self.spec, self.numbers
        w, a, z = self.loud
        quiet = (numbers.out_range[1] + 1) // 4 - 1  # so that no result is clamped
        made = []
        for shift in range(numbers.max_shift + 1):
            fitting = self.scale(shift)
            bits = rng.randrange(1, numbers.multiplier_width + 1)
            multiplier = rng.choice(fitting) if fitting else rng.getrandbits(bits)
            zero = z if spec.weights.zero_pointed else None
            made.append(Channel([w], multiplier, shift, rng.randrange(-quiet, quiet), zero))
        width = spec.activations.width
        tokens = [[a], *([rng.getrandbits(width)] for _ in range(max(1, self.rows - 1)))]
        zeros = [0] * len(tokens) if self.corrects else None
        return Schedule(spec, tokens, made, self.rows, self.cols, zeros)

    def run(self, schedule: Schedule, pace: Pace, reset_after: int | None = None) -> None:
        found = list(results(schedule, self.numbers))
        sources = {
            "i": [packed_beat(self.component, "i", beat) for beat in schedule.beats()],
            "tile": [packed_beat(self.component, "tile", tile) for tile in schedule.tiles()],
        }
        sinks = {"o": beats_out(self.component, found)}
        self.runs.append(Run(sources, sinks, pace, reset_after))
        if reset_after is None:
            self._cover(schedule, found)

    def _cover(self, schedule: Schedule, found: list[tuple[int, int]]) -> None:
        low, high = self.numbers.out_range
        of = {low: "clamped below", high: "clamped above"}
        self.events |= {of.get(y, "in between") for _, y in found}
        for row in schedule.collect([y for _, y in found]):
            for channel, y in zip(schedule.channels, row, strict=True):
                if low < y < high and 2 * abs(y - channel.zero) > high:
                    self.events.add(_in_range(channel.shift))
        depth, rows = schedule.depth, self.rows
        self.events |= {SHAPES[0]} if depth == 1 else set()
        self.events |= {SHAPES[1]} if depth < rows else set()
        self.events |= {SHAPES[2]} if depth > rows else set()
        self.events |= {SHAPES[3]} if len(schedule.tokens) % rows else set()
        self.events |= {SHAPES[4]} if len(schedule.channels) % self.cols else set()

    def bins(self) -> list[str]:
        """What this shape allows."""
        possible = [
            (SHAPES[0], True),
            (SHAPES[1], self.rows > 1),
            (SHAPES[2], self.deepest > self.rows),
            (SHAPES[3], self.rows > 1),
            (SHAPES[4], self.cols > 1),
        ]
        shifts = (s for s in range(self.numbers.max_shift + 1) if self.scale(s))
        return [*OUTCOMES, *(name for name, can in possible if can), *map(_in_range, shifts)]


def _in_range(shift: int) -> str:
    """A bin: a result so far from its zero point that the product's upper bits are in it."""
    return f"shift {shift} into the range"


def drive_gemm(instance: Instance) -> StreamAgent:
    """Layers of many sizes at many paces, every shift, stalls at every place, resets, and a real
    layer."""
    rng = random.Random(f"{instance.unit} {instance.spec} {instance.inputs}")
    bench = _Bench(instance, rng)
    rows, cols, deepest = bench.rows, bench.cols, bench.deepest
    ports = ("i", "tile", "o")
    depths = [1, max(1, rows - 1), min(deepest, rows + 1), deepest]
    for k, pace in enumerate(paces(rng, ports, instance.effort.runs)):
        for depth in (depths[k % 4], depths[(k + 1) % 4]):
            size = rows + 1 + k % rows, cols + 1 + k % cols
            bench.run(bench.layer(*size, depth), pace)
    for _ in range(2):
        bench.run(bench.shifts(), Pace())
    cycles = 2 * (rows + cols) + rows * cols // bench.exits
    for k in range(1, 2 * cycles):  # what is under way, wherever it is, must be dropped
        layer = bench.layer(2 * rows, cols, min(3, deepest))
        pace = Pace() if k % 2 else Pace(dict.fromkeys(ports, 0.8))
        bench.run(layer, pace, reset_after=k)
    for pace in places(ports, cycles):
        bench.run(bench.layer(2 * rows, cols, min(2, deepest)), pace)
    cover = Cover(bench.bins())
    cover.mark(bench.events)
    schedule = _real_layer(bench)
    if schedule is not None:
        bench.run(schedule, Pace(name=LAYER))
    # A tile's results take more than a cycle to leave, and only then is the next one taken.
    never = ["tile beats in a row"]
    return StreamAgent(instance, bench.runs, cover, READY, per_beat=bench.exits, never=never)


def _real_layer(bench: _Bench) -> Schedule | None:
    """None for a format that the model is not quantized to, or a tile that is not that deep."""
    depth = bench.component.depth
    if not bench.spec.activations.is_twos_complement or bench.spec.overflow == "exact":
        return None
    schedule = layer_schedule(bench.spec, bench.rows, bench.cols, bench.numbers)
    if schedule.depth > depth:
        return None
    require_engine(schedule, bench.numbers)
    return schedule


def require_engine(schedule: Schedule, numbers: RequantizeSpec) -> None:
    """AssertionError if the sums that the tile is compared with are not those of `sim.engine`, with
    whose integers the quantized model computes."""
    spec, channels = schedule.spec, schedule.channels
    zero = None
    if spec.weights.zero_pointed:
        zero = np.array([channel.weight_zero for channel in channels])
    w = np.array([channel.codes for channel in channels], code_dtype(spec.weights))
    a = np.array(schedule.tokens, code_dtype(spec.activations))
    sums = engine.matmul(a, w, spec, zero)
    if schedule.zero_points is not None:
        ones = [spec.weights.levels_at(channel.weight_zero or 0) for channel in channels]
        totals = [sum(u[code] for code in c.codes) for u, c in zip(ones, channels, strict=True)]
        sums = sums - np.outer(schedule.zero_points, totals)
    found = schedule.collect([total for total, _ in results(schedule, numbers)])
    if sums.tolist() != found:
        raise AssertionError("the real layer's sums are not the engine's")
