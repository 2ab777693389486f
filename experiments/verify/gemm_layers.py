"""Layers through a GEMM tile: what must come out of any, and a part of an embedded model's."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from macsmith.experiments.operands import LAYER, MODEL, layer_codes, layer_input
from macsmith.experiments.verify.sums import MacModel
from macsmith.sim import engine, golden
from macsmith.sim.codec import code_dtype
from macsmith.sim.gemm_schedule import Channel, Schedule, WeightSchedule
from macsmith.sim.requantize import RequantizeSpec, fixed_point, requantize
from macsmith.sim.spec import MacSpec

__all__ = [
    "SCHEDULES", "Played", "layer_schedule", "output_rows", "played", "real_layer", "requantized",
    "require_engine",
]  # fmt: skip

#: By dataflow.
SCHEDULES = {"output": Schedule, "weight": WeightSchedule}

#: Of a real layer that is not taken whole: this many tiles each way, and every product.
TILES = 2


@dataclass(frozen=True)
class Played:
    """What enters a tile and leaves it, as the fields of each payload.

    Attributes
    ----------
    sources, partial : by port, and at ``partial``
    found : list of (corrected sum, requantized)
        Of every result, in the order in which they leave.
    """

    sources: dict[str, list[dict]]
    found: list[tuple[int, int]]
    partial: list[dict] = field(default_factory=list)


def played(schedule: Schedule, numbers: RequantizeSpec) -> Played:
    """A layer through a tile, by the golden model."""
    tiles = list(schedule.tiles())
    if isinstance(schedule, WeightSchedule):
        loads = list(schedule.loads())
        beats, rows, partial = _weight_rows(schedule, iter(loads))
        sources = {"load": loads, "i": beats, "tile": tiles}
        return Played(sources, requantized(tiles, rows, 1, numbers), partial)
    beats = list(schedule.beats())
    rows = output_rows(schedule.spec, schedule.rows, schedule.cols, beats)
    found = requantized(tiles, rows, schedule.rows, numbers)
    return Played({"i": beats, "tile": tiles}, found)


def output_rows(
    spec: MacSpec, rows: int, cols: int, beats: Iterable[Mapping[str, Any]]
) -> list[list[int]]:
    """Rows of sums of output-stationary tiles, each from ``first`` to ``last``."""
    found = []
    for beat in beats:
        if beat["first"]:
            sums = [[MacModel(spec) for _ in range(cols)] for _ in range(rows)]
        for r, c in product(range(rows), range(cols)):
            sums[r][c].product(beat["w"][c], beat["a"][r], beat["z"][c] if "z" in beat else 0)
        if beat["last"]:
            found += [[model.acc for model in row] for row in sums]
    return found


def _weight_rows(
    schedule: WeightSchedule, loads: Iterator[dict]
) -> tuple[list[dict], list[list[int]], list[dict]]:
    """Beats, rows of whole sums, and those of partial ones, which enter again."""
    spec, left = schedule.spec, deque()
    beats, whole, partial = [], [], []
    for beat in schedule.beats(iter(left.popleft, None)):
        beats.append(beat)
        if beat["first"]:
            kept = [next(loads) for _ in range(schedule.rows)]
            weights = [
                [spec.weights.levels_at(z)[w] for w, z in zip(row["w"], _zeros(row), strict=True)]
                for row in kept
            ]
        row = list(beat["acc"])
        for a, levels in zip(beat["a"], weights, strict=True):
            x = spec.activations.levels[a]
            row = [golden.overflow(acc + x * u, spec) for acc, u in zip(row, levels, strict=True)]
        if beat["last"]:
            whole.append(row)
        else:
            left.append(row)
            partial.append({"acc": row})
    return beats, whole, partial


def _zeros(row: dict) -> Sequence[int]:
    return row.get("z") or [0] * len(row["w"])


def requantized(
    tiles: Sequence[dict], rows: Sequence[list[int]], height: int, numbers: RequantizeSpec
) -> list[tuple[int, int]]:
    """Of each tile's ``height`` rows of sums: corrected ones, and results."""
    found = []
    for k, row in enumerate(rows):
        tile = tiles[k // height]
        for c, acc in enumerate(row):
            correction = tile["za"][k % height] * tile["weight_sum"][c] if "za" in tile else 0
            y = requantize(
                acc, tile["multiplier"][c], tile["shift"][c], tile["zero_point"][c], numbers,
                correction=correction,
            )  # fmt: skip
            found.append((acc - correction, y))
    return found


def layer_schedule(
    spec: MacSpec,
    rows: int,
    cols: int,
    numbers: RequantizeSpec,
    dataflow: str = "output",
    *,
    whole: bool = False,
) -> Schedule:
    """The embedded model's layer with every product, and its real scales: all of its channels for
    ``rows`` tokens, or `TILES` tiles each way.

    A tile's scale belongs to the channel: of the tokens' scales it takes the mean.
    """
    layer, _, found = layer_codes(spec)
    tokens, channels = (rows, layer.out_features) if whole else (TILES * rows, TILES * cols - 1)
    a_scale = float(found.scale[:tokens].mean()) * 2.0**-spec.frac_bits
    spread = 127 / max(1.0, float(layer.scale.max()) * a_scale * 2 ** (numbers.acc_width - 1))
    loud = min(max(spread, 8.0), 64.0)  # results fill INT8 and some leave it
    made = []
    for n in range(channels):
        multiplier, shift = fixed_point(float(layer.scale[n, 0]) * a_scale * loud, numbers)
        zero = None if layer.zero_point is None else int(layer.zero_point[n, 0])
        made.append(Channel(layer.qweight[n].tolist(), multiplier, shift, 3, zero))
    zeros = [int(z) for z in found.zero[:tokens]] if numbers.correction_width else None
    codes = found.codes[:tokens].tolist()
    return SCHEDULES[dataflow](spec, codes, made, rows, cols, zeros)


def real_layer(component: Any, whole: bool = False) -> tuple[Schedule | None, str]:
    """A real layer that this `macsmith.hw.gemm.Gemm` is driven with, and in words how much of it.

    None, and the words say why, for a format that the model is not quantized to, or a tile that is
    not that deep.
    """
    spec, numbers = component.spec, component.numbers
    if not spec.activations.is_twos_complement:
        return None, "no real layer (its activations are in two's complement)"
    depth = layer_input(MODEL)[0].in_features
    if depth > component.depth:
        return None, f"no real layer (it needs a depth of {depth})"
    schedule = layer_schedule(
        spec, component.rows, component.cols, numbers, component.dataflow, whole=whole
    )
    require_engine(schedule, numbers)
    every = "all " if whole else ""
    size = f"{len(schedule.tokens)} tokens x {every}{len(schedule.channels)} channels"
    return schedule, f"{size} of {LAYER[MODEL]} in {MODEL}"


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
    found = schedule.collect([total for total, _ in played(schedule, numbers).found])
    if sums.tolist() != found:
        raise AssertionError("the real layer's sums are not the engine's")
