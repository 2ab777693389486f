# amaranth: UnusedElaboratable=no
"""A whole layer through the GEMM tile in Amaranth's simulator, with stalls on every side."""

import itertools
import random

import numpy as np
import pytest
from amaranth import Shape
from streams import play

from macsmith.experiments.operands import layer_codes
from macsmith.hw.gemm import Gemm
from macsmith.sim import engine, golden
from macsmith.sim.codec import decode
from macsmith.sim.gemm_schedule import Channel, Schedule
from macsmith.sim.requantize import ROUNDINGS, fixed_point, requantize
from macsmith.sim.spec import MacSpec


def layer(spec, tokens, channels, depth, numbers, seed=0):
    """Random codes [T][K], channels, and zero points of the tokens."""
    rng = random.Random(seed)
    low, high = spec.activations.level_range
    a = [[rng.randrange(2**spec.activations.width) for _ in range(depth)] for _ in range(tokens)]
    made = []
    for _ in range(channels):
        w_low, w_high = spec.weights.level_range
        typical = depth**0.5 * (high - low) * (w_high - w_low) / 12  # of a sum
        multiplier, shift = fixed_point(rng.uniform(20, 100) / typical, numbers)
        made.append(
            Channel(
                codes=[rng.randrange(2**spec.weights.width) for _ in range(depth)],
                multiplier=multiplier,
                shift=shift,
                zero=rng.randrange(-20, 20),
                weight_zero=rng.choice(spec.weights.zero_points)
                if spec.weights.zero_pointed
                else None,
            )
        )
    return a, made, [rng.randint(low, high) for _ in range(tokens)]


def expected(spec, a, channels, za, numbers):
    """(corrected sums, results), [T][N], from the contract alone."""
    sums, results = [], []
    for codes, zero in zip(a, za, strict=True):
        sums.append([])
        results.append([])
        for c in channels:
            levels = spec.weights.levels_at(c.weight_zero or 0)
            acc = golden.dot(codes, c.codes, spec, c.weight_zero)
            correction = zero * sum(levels[code] for code in c.codes)
            sums[-1].append(acc - correction)
            results[-1].append(
                requantize(acc, c.multiplier, c.shift, c.zero, numbers, correction=correction)
            )
    return sums, results


def run(dut, a, channels, za, stall, seed=0):
    """(corrected sums, results), [T][N], and the cycles of the last beat in and of each result."""
    schedule = Schedule(dut.spec, a, channels, dut.rows, dut.cols, za)
    beats = {"i": list(schedule.beats()), "tile": list(schedule.tiles())}
    taken, entered, left = play(dut, beats, schedule.count // dut.exits, stall=stall, seed=seed)
    per_tile = dut.rows * dut.cols // dut.exits
    assert [bool(o.last) for o in taken] == [
        k % per_tile == per_tile - 1 for k in range(len(taken))
    ]
    sums = schedule.collect([s for o in taken for s in o.sum])
    return sums, schedule.collect([y for o in taken for y in o.y]), entered, left


def narrow(weights, overflow, lanes=1):
    """A spec that a dozen products overflow."""
    width = MacSpec(weights, "int8", 48).product_width + 1
    return MacSpec(weights, "int8", width, overflow, lanes)


@pytest.mark.parametrize(
    ("spec", "rounding"),
    [
        (MacSpec("int8", "int8"), "tflite"),
        (MacSpec("dint4", "int8", 24, "exact"), "half-up"),
        (MacSpec("dint4z", "int8", 24), "half-even"),
        (narrow("int4", "wrap"), "half-away"),
        (narrow("dint4", "saturate", lanes=3), "tflite"),
    ],
    ids=lambda x: x if isinstance(x, str) else f"{x.weights.name}-{x.overflow}",
)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_a_layer_that_no_tile_divides(spec, rounding, stall):
    dut = Gemm(spec, 2, 3, depth=11, rounding=rounding, sums=True)
    a, channels, za = layer(spec, 5, 7, 11, dut.numbers)
    sums, results, _, _ = run(dut, a, channels, za, stall)
    assert (sums, results) == expected(spec, a, channels, za, dut.numbers)
    assert len({y for row in results for y in row}) > 15  # not all of them clamped


@pytest.mark.parametrize("pipeline", [0, 3])
@pytest.mark.parametrize(("rows", "cols", "exits"), [(1, 1, 1), (3, 4, 2), (2, 2, 2), (4, 1, 1)])
def test_shapes_of_tile_and_exit(rows, cols, exits, pipeline):
    spec = MacSpec("int4", "int8")
    dut = Gemm(spec, rows, cols, depth=6, exits=exits, sums=True, pipeline=pipeline)
    a, channels, za = layer(spec, 4, 5, 6, dut.numbers, seed=exits)
    sums, results, _, _ = run(dut, a, channels, za, 0.3)
    assert (sums, results) == expected(spec, a, channels, za, dut.numbers)


@pytest.mark.parametrize(("exits", "depth"), [(1, 12), (2, 12), (4, 12), (4, 1)])
def test_latency_and_throughput(exits, depth):
    spec = MacSpec("int4", "int8")
    dut = Gemm(spec, 3, 4, depth=depth, exits=exits, sums=True, pipeline=1)
    a, channels, za = layer(spec, 9, 8, depth, dut.numbers)
    _, _, entered, left = run(dut, a, channels, za, 0)
    assert left[0] == entered["i"][depth - 1] + dut.latency
    period = max(depth, dut.rows) + dut.rows * (dut.cols // exits - 1)
    starts = left[:: dut.rows * dut.cols // exits]
    assert [b - a for a, b in itertools.pairwise(starts)] == [period] * 5


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_without_zero_points(rounding):
    spec = MacSpec("fp4_e2m1", "fp8_e4m3", 40)
    dut = Gemm(spec, 2, 2, depth=5, rounding=rounding, zero_points=False, sums=True)
    a, channels, _ = layer(spec, 2, 3, 5, dut.numbers)
    schedule = Schedule(spec, a, channels, 2, 2)
    beats = {"i": list(schedule.beats()), "tile": list(schedule.tiles())}
    taken, _, _ = play(dut, beats, schedule.count)
    sums, results = expected(spec, a, channels, [0, 0], dut.numbers)
    assert schedule.collect([o.y[0] for o in taken]) == results
    assert schedule.collect([o.sum[0] for o in taken]) == sums


def test_decoding_at_the_edge_and_another_style():
    spec = MacSpec("dint4", "int8")
    dut = Gemm(
        spec, 2, 2, depth=8, sums=True, style="fused-booth4", decode="edge", requantizer="booth4"
    )
    a, channels, za = layer(spec, 3, 3, 8, dut.numbers)
    sums, results, _, _ = run(dut, a, channels, za, 0.2)
    assert (sums, results) == expected(spec, a, channels, za, dut.numbers)


def test_widths_have_a_reason():
    dut = Gemm(MacSpec("int8", "int8"), 3, 2, depth=1024)
    # Sums of 1024 weights of -128..127 in 18 bits; times a zero point of 8 bits: 2**24 needs 26.
    assert (dut.numbers.correction_width, dut.numbers.difference_width) == (26, 33)
    members = dut.signature.members
    widths = {
        name: Shape.cast(member.signature.members["payload"].shape).width
        for name, member in members.items()
    }
    assert widths == {
        "i": 2 + 3 * 8 + 2 * 8,
        "tile": 3 * 8 + 2 * (18 + 31 + 6 + 8),
        "o": 1 + 8,
    }
    with_sums = Gemm(MacSpec("int8", "int8"), 3, 2, depth=1024, sums=True).signature.members["o"]
    assert Shape.cast(with_sums.signature.members["payload"].shape).width == 1 + 8 + 33


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"exits": 3}, r"^exits must divide 4 columns, not 3$"),
        ({"exits": 0}, r"^exits must divide 4 columns, not 0$"),
        ({"depth": 0}, r"^depth must be a positive integer, not 0$"),
        ({"depth": 10**23}, r"^a depth of 10{23} needs corrections of 92 bits, more than 64$"),
        ({"rounding": "up"}, r"^rounding must be one of "),
        ({"pipeline": 4}, r"^pipeline must be 0 to 3 stages, not 4$"),
        ({"requantizer": "plane"}, r"^unknown requantizer style 'plane'; the nearest is 'plain'$"),
        ({"spec": MacSpec("int8", "fp8_e4m3", 40)}, r"^zero points need activations in two's "),
        ({"spec": MacSpec("int8", "int8", 20, "exact")}, r"is not exact for 4096 int8 x int8 "),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        Gemm(**{"spec": MacSpec("int8", "int8")} | parameters)


def test_schedule_refuses_what_is_no_layer():
    spec, channel = MacSpec("int4", "int8"), Channel([1, 2], 1, 0)
    for tokens, channels, zero_points, message in [
        ([], [channel], None, r"^a layer needs a token, a channel and a product$"),
        ([[1, 2], [1]], [channel], None, r"^token 1 has 1 codes, not 2$"),
        ([[1, 2]], [channel, Channel([1], 1, 0)], None, r"^channel 1 has 1 codes, not 2$"),
        ([[1, 2]], [channel], [0, 0], r"^1 tokens need as many zero points, not 2$"),
    ]:
        with pytest.raises(ValueError, match=message):
            Schedule(spec, tokens, channels, 2, 2, zero_points)
    with pytest.raises(ValueError, match=r"^4 results are wanted, not 3$"):
        Schedule(spec, [[1, 2]], [channel], 2, 2).collect([1, 2, 3])


@pytest.mark.parametrize("weights", ["dint4", "int8"])
def test_part_of_an_embedded_models_layer(weights):
    """Against the engine, whose integers the quantized model computes with."""
    spec = MacSpec(weights, "int8")
    layer, _, found = layer_codes(spec)
    tokens, channels = 5, 6
    a, w = found.codes[:tokens].numpy(), layer.qweight[:channels].numpy()
    za = [int(z) for z in found.zero[:tokens]]
    dut = Gemm(spec, 4, 4, depth=a.shape[1], exits=2, rounding="tflite", sums=True)
    acc = engine.matmul(a, w, spec)
    scales = [fixed_point(127 / int(abs(acc[:, n]).max()), dut.numbers) for n in range(channels)]
    made = [Channel(w[n].tolist(), *scales[n]) for n in range(channels)]
    sums, results, _, _ = run(dut, a.tolist(), made, za, 0.1)

    weight_sums = decode(w, spec.weights).sum(axis=1)
    correction = np.outer(za, weight_sums)
    assert any(za)
    assert sums == (acc - correction).tolist()
    assert results == [
        [
            requantize(int(acc[t, n]), *scales[n], 0, dut.numbers, correction=int(correction[t, n]))
            for n in range(channels)
        ]
        for t in range(tokens)
    ]
