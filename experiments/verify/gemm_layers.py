"""Layers through a GEMM tile: what must come out of any, and a part of an embedded model's."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from macsmith.experiments.operands import LAYER, MODEL, layer_codes
from macsmith.experiments.verify.sums import MacModel
from macsmith.sim import engine
from macsmith.sim.codec import code_dtype
from macsmith.sim.gemm_schedule import Channel, Schedule
from macsmith.sim.requantize import RequantizeSpec, fixed_point, requantize
from macsmith.sim.spec import MacSpec

__all__ = ["layer_schedule", "real_layer", "require_engine", "results"]

#: Of the real layer: this many tiles each way, and every product. All of its outputs for 64 tokens
#: would be a million cycles of a tile of 4 by 4, some minutes under cocotb.
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


def real_layer(component: Any) -> tuple[Schedule | None, str]:
    """What of a real layer this `macsmith.hw.gemm.Gemm` is driven with, and in words how much.

    None, and the words say why, for a format that the model is not quantized to, or a tile that is
    not that deep.
    """
    spec, numbers = component.spec, component.numbers
    if not spec.activations.is_twos_complement:
        return None, "no real layer (its activations are in two's complement)"
    if spec.overflow == "exact":
        return None, "no real layer (its sums may not be exact)"
    schedule = layer_schedule(spec, component.rows, component.cols, numbers)
    if schedule.depth > component.depth:
        return None, f"no real layer (it needs a depth of {schedule.depth})"
    require_engine(schedule, numbers)
    size = f"{len(schedule.tokens)} tokens x {len(schedule.channels)} channels"
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
    found = schedule.collect([total for total, _ in results(schedule, numbers)])
    if sums.tolist() != found:
        raise AssertionError("the real layer's sums are not the engine's")
