# amaranth: UnusedElaboratable=no
"""A whole layer through a weight-stationary GEMM tile, whose partial sums come back to it."""

import itertools
import random

import pytest
from amaranth.sim import Simulator

from macsmith.hw.gemm import Gemm
from macsmith.sim import golden
from macsmith.sim.formats import Format
from macsmith.sim.gemm_schedule import Channel, WeightSchedule
from macsmith.sim.requantize import fixed_point, requantize
from macsmith.sim.spec import MacSpec

PATIENCE = 200  # cycles without a beat


def layer(spec, tokens, channels, depth, rows, cols, numbers, zero_points=True):
    rng = random.Random(f"{spec} {tokens} {channels} {depth}")
    low, high = spec.activations.level_range
    w_low, w_high = spec.weights.level_range
    typical = depth**0.5 * (high - low) * (w_high - w_low) / 12  # of a sum
    made = [
        Channel(
            [rng.randrange(2**spec.weights.width) for _ in range(depth)],
            *fixed_point(rng.uniform(20, 100) / typical, numbers),
            rng.randrange(-20, 20),
            rng.choice(spec.weights.zero_points) if spec.weights.zero_pointed else None,
        )
        for _ in range(channels)
    ]
    a = [[rng.randrange(2**spec.activations.width) for _ in range(depth)] for _ in range(tokens)]
    zeros = [rng.randint(low, high) for _ in range(tokens)] if zero_points else None
    return WeightSchedule(spec, a, made, rows, cols, zeros)


def expected(schedule, numbers):
    """Results [T][N] from the contract alone."""
    found = []
    for t, codes in enumerate(schedule.tokens):
        found.append([])
        for c in schedule.channels:
            acc = golden.dot(codes, c.codes, schedule.spec, c.weight_zero)
            levels = schedule.spec.weights.levels_at(c.weight_zero or 0)
            za = schedule.zero_points[t] if schedule.zero_points else 0
            correction = za * sum(levels[code] for code in c.codes)
            found[-1].append(
                requantize(acc, c.multiplier, c.shift, c.zero, numbers, correction=correction)
            )
    return found


def run(dut, schedule, stall):
    """Results [T][N], and the cycles in which beats entered at ``i`` and results left."""
    rng = random.Random(7)
    left, taken, cycles = [], [], {"i": [], "o": []}
    passes = -(-schedule.depth // dut.rows)
    queues = {"load": iter(schedule.loads()), "tile": iter(schedule.tiles())}
    queues["i"] = schedule.beats(left[k] for k in itertools.count())

    async def testbench(ctx):
        offered, sent, quiet, cycle = dict.fromkeys(queues), dict.fromkeys(queues, 0), 0, 0
        wanted = schedule.count // dut.exits
        while len(taken) < wanted:
            for name in queues:
                port = getattr(dut, name)
                # A beat on top of a sum is known only once that sum has left.
                again = name == "i" and sent["i"] // len(schedule.tokens) % passes
                there = not again or len(left) > sent_again(sent["i"])
                if offered[name] is None and there and rng.random() >= stall:
                    offered[name] = next(queues[name], None)
                    if offered[name] is not None:
                        ctx.set(port.payload, offered[name])
                ctx.set(port.valid, offered[name] is not None)
            ready = {name: rng.random() >= stall for name in ("o", "partial")}
            for name, up in ready.items():
                ctx.set(getattr(dut, name).ready, up)
            moved = False
            for name in queues:
                if offered[name] is not None and ctx.get(getattr(dut, name).ready):
                    offered[name], moved = None, True
                    sent[name] += 1
                    if name == "i":
                        cycles["i"].append(cycle)
            if ready["o"] and ctx.get(dut.o.valid):
                taken.append(ctx.get(dut.o.payload))
                cycles["o"].append(cycle)
                moved = True
            if ready["partial"] and ctx.get(dut.partial.valid):
                left.append(list(ctx.get(dut.partial.payload).acc))
                moved = True
            quiet = 0 if moved else quiet + 1
            assert quiet < PATIENCE, f"stuck in cycle {cycle}: {len(taken)} of {wanted} results"
            await ctx.tick()
            cycle += 1

    def sent_again(beats):
        """How many of so many beats were on top of sums that had left."""
        tokens = len(schedule.tokens)
        groups, rest = divmod(beats, tokens * passes)
        return groups * tokens * (passes - 1) + max(0, rest - tokens)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    groups = -(-len(schedule.channels) // dut.cols)
    assert len(left) == groups * len(schedule.tokens) * (passes - 1)
    return schedule.collect([y for o in taken for y in o.y]), cycles


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize(
    ("spec", "depth"),
    [
        (MacSpec("int8", "int8"), 11),
        (MacSpec("dint4z", "int8", 24, "exact"), 6),
        (MacSpec("dint4", "int8", 13, "saturate"), 11),
        (MacSpec("int4", "int8", 13), 2),
    ],
    ids=lambda x: getattr(getattr(x, "weights", None), "name", str(x)),
)
def test_a_layer_that_no_tile_divides(spec, depth, stall):
    dut = Gemm(spec, 3, 2, dataflow="weight", depth=depth, exits=1 + depth % 2, rounding="tflite")
    schedule = layer(spec, 10, 5, depth, 3, 2, dut.numbers)
    results, _ = run(dut, schedule, stall)
    assert results == expected(schedule, dut.numbers)
    assert len({y for row in results for y in row}) > 15  # not all of them clamped


def test_activations_without_two_complement_have_no_zero_points():
    spec = MacSpec("fp4_e2m1", "fp8_e4m3", 40)
    dut = Gemm(spec, 2, 2, dataflow="weight", depth=5, zero_points=False)
    schedule = layer(spec, 6, 3, 5, 2, 2, dut.numbers, zero_points=False)
    results, _ = run(dut, schedule, 0.2)
    assert results == expected(schedule, dut.numbers)


@pytest.mark.parametrize(("exits", "depth"), [(1, 3), (4, 3), (2, 1)])
def test_latency_and_throughput(exits, depth):
    spec, tokens = MacSpec("int4", "int8"), 20
    dut = Gemm(spec, 3, 4, dataflow="weight", depth=depth, exits=exits, pipeline=1)
    _, cycles = run(dut, layer(spec, tokens, 8, depth, 3, 4, dut.numbers), 0)
    assert cycles["o"][0] == cycles["i"][0] + dut.latency
    slow = 4 // exits
    assert cycles["o"][-1] - cycles["o"][0] == 2 * tokens * slow - 1


def test_products_that_cannot_be_filled_up_are_refused():
    odd = Format("odd", 2, levels=(-3, -1, 1, 3))
    spec = MacSpec("int4", odd, 16)
    wanted = r"^3 products do not fill rows of 2, and odd has no level 0 to fill them up with$"
    with pytest.raises(ValueError, match=wanted):
        WeightSchedule(spec, [[0] * 3], [Channel([0] * 3, 1, 0)], 2, 2)


def test_groups_that_saturate_are_refused():
    spec = MacSpec("int4", "int8", 16, "saturate", lanes=2)
    with pytest.raises(ValueError, match=r"saturates after each, and not after groups of 2$"):
        Gemm(spec, dataflow="weight")
