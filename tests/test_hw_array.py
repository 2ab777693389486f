# amaranth: UnusedElaboratable=no
"""The systolic array in Amaranth's simulator against golden, with stalls on every side."""

import random

import pytest
from amaranth import ResetInserter, Shape, Signal
from amaranth.sim import Simulator
from streams import play

from macsmith.hw.array import SystolicArray
from macsmith.hw.array_element import ARRAYS, DECODES
from macsmith.sim import golden
from macsmith.sim.spec import MacSpec


def narrow(weights, activations, overflow, lanes=1, spare=1):
    """A spec whose accumulator a few products overflow."""
    width = MacSpec(weights, activations, 48).product_width + spare
    return MacSpec(weights, activations, width, overflow, lanes)


def codes(rng, fmt, count):
    return [rng.randrange(2**fmt.width) for _ in range(count)]


def zero_points(rng, spec, count):
    return [rng.choice(spec.weights.zero_points) for _ in range(count)]


def output_tile(rng, dut, depth):
    """(beats, rows of sums) of one tile of ``depth`` products."""
    spec = dut.spec
    a = [codes(rng, spec.activations, depth) for _ in range(dut.rows)]
    w = [codes(rng, spec.weights, depth) for _ in range(dut.cols)]
    z = zero_points(rng, spec, dut.cols)
    beats = [
        {
            "first": k == 0,
            "last": k == depth - 1,
            "a": [row[k] for row in a],
            "w": [col[k] for col in w],
            **({"z": z} if spec.weights.zero_pointed else {}),
        }
        for k in range(depth)
    ]
    sums = [[golden.dot(a_r, w[c], spec, z[c]) for c in range(dut.cols)] for a_r in a]
    return beats, sums


def check_output(dut, depths, stall, seed=0):
    rng = random.Random(seed)
    beats, expected = [], []
    for depth in depths:
        tile, sums = output_tile(rng, dut, depth)
        beats += tile
        expected += [(r == dut.rows - 1, row) for r, row in enumerate(sums)]
    taken, entered, left = play(dut, {"i": beats}, len(expected), stall=stall, seed=seed)
    assert [(bool(row.last), list(row.acc)) for row in taken] == expected
    return beats, entered["i"], left


def weight_sets(rng, dut, vectors):
    """(load beats, beats, sums): one set of weights for each number of vectors in ``vectors``."""
    spec = dut.spec
    load, beats, expected = [], [], []
    for count in vectors:
        w = [codes(rng, spec.weights, dut.cols) for _ in range(dut.rows)]
        z = zero_points(rng, spec, dut.cols)
        load += [{"w": row, **({"z": z} if spec.weights.zero_pointed else {})} for row in w]
        for t in range(count):
            a = codes(rng, spec.activations, dut.rows)
            low, high = spec.acc_range
            acc = [rng.choice([low, 0, high, rng.randint(low, high)]) for _ in range(dut.cols)]
            beats.append({"first": t == 0, "last": t == count - 1, "a": a, "acc": acc})
            sums = []
            for c, total in enumerate(acc):
                levels = spec.weights.levels_at(z[c])
                for r in range(dut.rows):
                    product = spec.activations.levels[a[r]] * levels[w[r][c]]
                    total = golden.overflow(total + product, spec)
                sums.append(total)
            expected.append((t == count - 1, sums))
    return load, beats, expected


def check_weight(dut, vectors, stall, seed=0):
    load, beats, expected = weight_sets(random.Random(seed), dut, vectors)
    streams = {"load": load, "i": beats}
    taken, entered, left = play(dut, streams, len(expected), stall=stall, seed=seed)
    assert [(bool(row.last), list(row.acc)) for row in taken] == expected
    return entered, left


SPECS = [
    narrow("int8", "int8", "wrap"),
    narrow("dint4", "int8", "saturate"),
    narrow("dint4z", "int8", "wrap"),
    narrow("int4z", "int4", "saturate"),
    narrow("nf4", "fp8_e4m3", "saturate"),
]
GROUPS = [narrow("dint4", "int8", "saturate", lanes=3), narrow("int4", "int8", "wrap", lanes=4)]


def name(spec):
    return f"{spec.weights.name}-{spec.overflow}-{spec.lanes}"


@pytest.mark.parametrize("decode", DECODES)
@pytest.mark.parametrize("spec", [*SPECS, *GROUPS], ids=name)
def test_output_stationary_matches_golden(spec, decode):
    dut = SystolicArray(spec, 3, 2, decode=decode)
    # Tiles shorter than the time their rows take to leave, and longer.
    check_output(dut, [1, 2, 9, 1, 1, 3, 12], stall=0.3)


@pytest.mark.parametrize("decode", DECODES)
@pytest.mark.parametrize("spec", [*SPECS, GROUPS[1]], ids=name)
def test_weight_stationary_matches_golden(spec, decode):
    dut = SystolicArray(spec, 3, 2, "weight", decode=decode)
    check_weight(dut, [1, 2, 9, 1, 1, 12], stall=0.3)


@pytest.mark.parametrize("dataflow", ["output", "weight"])
@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 4), (4, 1), (2, 5), (5, 2)])
@pytest.mark.parametrize("stall", [0, 0.7])
def test_every_shape(dataflow, rows, cols, stall):
    dut = SystolicArray(narrow("int4", "int4", "saturate"), rows, cols, dataflow)
    check = check_output if dataflow == "output" else check_weight
    check(dut, [1, 7, 1, 1, 2, 3, 8], stall, seed=rows)


@pytest.mark.parametrize("decode", DECODES)
@pytest.mark.parametrize("dataflow", ["output", "weight"])
def test_every_style(dataflow, decode):
    spec = narrow("int4", "int4", "saturate")
    styles = ARRAYS.names(spec)
    for style in styles:
        dut = SystolicArray(spec, 2, 2, dataflow, style, decode)
        (check_output if dataflow == "output" else check_weight)(dut, [3, 1, 8], 0.2)
    assert len(styles) > 5


def test_sums_go_on_without_first():
    spec = narrow("int4", "int4", "wrap")
    dut = SystolicArray(spec, 2, 2)
    beats, whole = output_tile(random.Random(0), dut, 20)
    beats[9]["last"] = True  # read in the middle
    taken, _, _ = play(dut, {"i": beats}, 4)
    assert [list(row.acc) for row in taken[2:]] == whole
    a, w = ([[b[x][r] for b in beats[:10]] for r in range(2)] for x in "aw")
    half = [[golden.trace(a[r], w[c], spec)[-1] for c in range(2)] for r in range(2)]
    assert [list(row.acc) for row in taken[:2]] == half


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_weight_stationary_chain_is_one_long_sum(overflow):
    """Partial sums of one block of k into the next: the contract, whatever the number of rows."""
    spec = narrow("int4", "int8", overflow, spare=0)
    rng = random.Random(1)
    rows, cols, blocks, vectors = 3, 2, 4, 6
    a = [codes(rng, spec.activations, rows * blocks) for _ in range(vectors)]
    w = [codes(rng, spec.weights, rows * blocks) for _ in range(cols)]
    acc = [[0] * cols for _ in range(vectors)]
    for b in range(blocks):
        part = slice(b * rows, (b + 1) * rows)
        load = [{"w": list(row)} for row in zip(*(col[part] for col in w), strict=True)]
        beats = [
            {"first": t == 0, "last": 0, "a": a[t][part], "acc": acc[t]} for t in range(vectors)
        ]
        dut = SystolicArray(spec, rows, cols, "weight")
        taken, _, _ = play(dut, {"load": load, "i": beats}, vectors, seed=b)
        acc = [list(row.acc) for row in taken]
    assert acc == [[golden.trace(a_t, w_c, spec)[-1] for w_c in w] for a_t in a]
    assert acc != [
        [golden.trace(a_t, w_c, MacSpec("int4", "int8"))[-1] for w_c in w] for a_t in a
    ]  # it did overflow


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (3, 2), (2, 4)])
def test_latency_and_throughput_of_output_stationary(rows, cols):
    dut = SystolicArray(MacSpec("int4", "int4"), rows, cols)
    depth = max(rows, 5)
    beats, entered, left = check_output(dut, [depth] * 4, stall=0)
    assert entered == list(range(4 * depth))  # a beat a cycle
    lasts = [cycle for cycle, beat in zip(entered, beats, strict=True) if beat["last"]]
    assert left == [cycle + dut.latency + r for cycle in lasts for r in range(rows)]
    # Tiles shorter than `rows` wait for the rows before them.
    _, entered, _ = check_output(dut, [1] * 5, stall=0)
    assert entered == [rows * k for k in range(5)]


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (3, 2), (2, 4)])
def test_latency_and_throughput_of_weight_stationary(rows, cols):
    dut = SystolicArray(MacSpec("int4", "int4"), rows, cols, "weight")
    count = 2 * rows + cols - 1
    entered, left = check_weight(dut, [count] * 4, stall=0)
    start = entered["i"][0]
    assert start == rows  # all rows are loaded
    assert entered["i"] == list(range(start, start + 4 * count))
    assert left == [cycle + dut.latency for cycle in entered["i"]]
    # The next row may enter `rows + cols - 1` cycles after a switch.
    assert entered["load"][rows] == start + rows + cols - 1
    assert check_weight(dut, [count - 1] * 4, stall=0)[0]["i"] != list(
        range(start, start + 4 * count - 4)
    )


@pytest.mark.parametrize("dataflow", ["output", "weight"])
def test_reset_in_the_middle(dataflow):
    spec = narrow("int4", "int4", "wrap")
    dut, rst = SystolicArray(spec, 2, 2, dataflow), Signal()
    top = ResetInserter(rst)(dut)
    shown = 0

    async def testbench(ctx):
        nonlocal shown
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.payload.last, 1)
        if dataflow == "weight":
            ctx.set(dut.load.valid, 1)
            await ctx.tick().repeat(2)
            ctx.set(dut.load.valid, 0)
            ctx.set(dut.i.payload.first, 1)
            assert ctx.get(dut.i.ready)
        await ctx.tick()
        ctx.set(dut.i.payload.first, 0)
        await ctx.tick().repeat(dut.latency)
        ctx.set(dut.i.valid, 0)
        ctx.set(dut.o.ready, 0)
        assert ctx.get(dut.o.valid)
        ctx.set(rst, 1)  # before the stall
        await ctx.tick()
        ctx.set(rst, 0)
        ctx.set(dut.i.payload.first, 1)
        for _ in range(20):
            assert not ctx.get(dut.o.valid)
            if dataflow == "weight":
                assert not ctx.get(dut.i.ready)  # the weights are gone
            shown += 1
            await ctx.tick()

    sim = Simulator(top)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    assert shown == 20


def test_ports():
    def width(member):
        return Shape.cast(member.signature.members["payload"].shape).width

    spec = MacSpec("dint4z", "int8", 24)
    members = SystolicArray(spec, 3, 2).signature.members
    assert {k: width(m) for k, m in members.items()} == {
        "i": 2 + 3 * 8 + 2 * 2 * 4,
        "o": 1 + 2 * 24,
    }
    members = SystolicArray(spec, 3, 2, "weight").signature.members
    assert {k: width(m) for k, m in members.items()} == {
        "i": 2 + 3 * 8 + 2 * 24,
        "load": 2 * 2 * 4,
        "o": 1 + 2 * 24,
    }


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rows": 0}, r"^rows must be 1 to 64, not 0$"),
        ({"cols": 2.0}, r"^cols must be 1 to 64, not 2\.0$"),
        ({"dataflow": "row"}, r"^dataflow must be one of output, weight, not 'row'$"),
        ({"decode": "never"}, r"^decode must be one of element, edge, not 'never'$"),
        ({"style": "plane"}, r"^unknown array style 'plane'; the nearest is 'plain'$"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        SystolicArray(MacSpec("int8", "int8"), **parameters)


def test_weight_stationary_does_not_saturate_after_groups():
    with pytest.raises(ValueError, match=r"it saturates after each, and not after groups of 2$"):
        SystolicArray(MacSpec("int8", "int8", 20, "saturate", lanes=2), dataflow="weight")
