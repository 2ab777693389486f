"""The benches' stimulus and model, without a simulator."""

import random

import pytest

from macsmith.experiments.verify.bench import FULL, Effort, Instance, Port, top_verilog
from macsmith.experiments.verify.corners import Corners, pair_count, sweep
from macsmith.experiments.verify.stimulus import make_stream, stream_key
from macsmith.experiments.verify.sums import MacModel, can_overflow
from macsmith.sim import golden
from macsmith.sim.catalog import FORMATS
from macsmith.sim.formats import int_format, minifloat
from macsmith.sim.spec import MacSpec


def mac_unit(spec, latency=1, **more):
    ports = [("rst", 1), ("en", 1), ("clear", 1), ("w", spec.weights.width)]
    ports.append(("a", spec.activations.width))
    if spec.weights.zero_pointed:
        ports.append(("z", spec.weights.width))
    inputs = tuple(Port(*port) for port in ports)
    return Instance("top", "mac", spec, latency, inputs, (Port("acc", spec.acc_width),), **more)


def pairs(spec):
    return pair_count(spec, FULL.exhaustive, FULL.sample)


SPECS = [
    MacSpec("dint4", "int4", 9, "wrap"),
    MacSpec("dint4z", "int4", 10, "saturate", lanes=3),
    MacSpec("int4", "int4", 8, "saturate"),
    MacSpec("fp4_e2m1", "int4", 9, "exact", lanes=2),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.weights.name}-{spec.overflow}")
def test_model_is_golden_one_product_at_a_time(spec):
    rng = random.Random(0)
    model = MacModel(spec)
    for z in spec.weights.zero_points:
        w = [rng.randrange(2**spec.weights.width) for _ in range(100)]
        a = [rng.randrange(2**spec.activations.width) for _ in range(100)]
        model.start()
        assert [model.product(*x, z) for x in zip(w, a, strict=True)] == golden.trace(a, w, spec, z)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.weights.name}-{spec.overflow}")
def test_stream_covers_what_it_promises(spec):
    unit = mac_unit(spec)
    stream = make_stream(unit)
    driven = [unit.unpack(word) for word in stream.stim]
    entered = {(d["w"], d["a"], d.get("z", 0)) for d in driven if d["en"] and not d["rst"]}
    assert len(entered) == pairs(spec)  # all of them: these spaces are small
    assert sum(stream.entered) > 1000 + pairs(spec)
    assert stream.cover.missing == []
    for what in ("all pairs", "clear", "stall", "reset", "overflow", "negative overflow"):
        assert stream.cover.bins[what] > 0, what
    assert all(driven[k]["rst"] for k in range(2))
    assert make_stream(unit).stim == stream.stim


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.weights.name}-{spec.overflow}")
def test_a_short_effort_has_the_bins_of_a_long_one(spec):
    short, long = (make_stream(mac_unit(spec, effort=Effort(random=n))) for n in (20, 2000))
    assert short.cover.bins.keys() == long.cover.bins.keys()
    assert short.cover.missing == []
    assert len(short) < len(long)


def test_bins_are_what_can_happen():
    names = make_stream(mac_unit(SPECS[1])).cover.bins.keys()
    assert {"w special 1 x a max", "w=0xe z=0xf", "z=0x8", "reset within a group"} <= names
    wide = make_stream(mac_unit(MacSpec("int4", "int4", 32, "wrap"))).cover.bins.keys()
    assert {"w=0xf", "w min x a min"} <= wide
    assert not [name for name in wide if "overflow" in name or "group" in name or "z=" in name]
    assert Corners(FORMATS["dint4"]).classes == ["0", "max", "min", "+least", "special 1",
                                                 "-least", "special -1"]  # fmt: skip


def test_a_bin_that_no_operand_hits_is_missed(monkeypatch):
    monkeypatch.setattr(Corners, "codes", lambda self, z=0: [0])
    stream = make_stream(mac_unit(MacSpec("int8", "int8"), effort=Effort(random=5, exhaustive=0,
                                                                         sample=5)))  # fmt: skip
    assert "w max x a +least" in stream.cover.missing
    assert stream.cover.bins["w=0x80"]


@pytest.mark.parametrize("in_gray", [False, True])
@pytest.mark.parametrize("lanes", [1, 3, 4])
def test_every_lane_goes_through_all_pairs(lanes, in_gray):
    spec = SPECS[1]
    rng = random.Random(0)
    seen = [set() for _ in range(lanes)]
    for ws, as_, zs in sweep(spec, 2**12, 0, rng, w=lanes, a=lanes, in_gray=in_gray):
        for k in range(lanes):
            seen[k].add((ws[k], as_[k], zs[0]))
    assert [len(s) for s in seen] == [2**12] * lanes
    assert pairs(spec) == 2 ** (4 + 4 + 4)


def test_int8z_is_driven_at_corners_and_random_zero_points():
    spec = MacSpec("int8z", "int8", 32)
    assert pairs(spec) == 4 * 2**16
    zero_points = [zs[0] for *_, zs in sweep(spec, FULL.exhaustive, 0, random.Random(0))]
    assert len(zero_points) == 4 * 2**16
    assert set(zero_points[-(2**16) :]) == set(range(256))


def test_wide_formats_are_sampled():
    assert pairs(MacSpec(minifloat(5, 6), "int8", 60)) == 2**20
    assert pairs(MacSpec(int_format(14), "int8", 40)) == 2**16
    spec = MacSpec(int_format(12, zero_pointed=True), "int8", 40)
    assert pairs(spec) == 2**16
    stream = make_stream(mac_unit(spec, effort=Effort(random=10, sample=100, long=0)))
    assert stream.cover.missing == []
    assert len(stream) < 2000


def test_one_stream_for_every_style():
    one = mac_unit(SPECS[0], options={"style": "plain", "pipeline": 0})
    other = mac_unit(SPECS[0], 2, options={"style": "other", "pipeline": 1})
    assert stream_key(one) == stream_key(other)
    assert make_stream(one).stim[:-1] == make_stream(other).stim[: len(make_stream(one)) - 1]
    assert stream_key(one) != stream_key(mac_unit(SPECS[1]))


def test_a_module_has_its_turn_and_no_other_stream():
    effort = Effort(random=5, turns=3)
    three = [mac_unit(SPECS[0], effort=effort, place=k, sharing=4) for k in range(4)]
    assert [list(one.in_turn(range(5))) for one in three] == [[0, 3], [1, 4], [2], [0, 3]]
    assert len({stream_key(one) for one in three}) == 3
    alone = mac_unit(SPECS[0], effort=effort)
    assert list(alone.in_turn(range(5))) == list(range(5))


def test_only_narrow_accumulators_are_driven_to_overflow():
    assert can_overflow(MacSpec("int8", "int8", 32)) == {+1: False, -1: False}
    assert can_overflow(MacSpec("int8", "int8", 24)) == {+1: True, -1: True}
    assert can_overflow(MacSpec("int8", "int8", 26), 4) == {+1: True, -1: True}


@pytest.mark.parametrize("latency", [1, 2, 3])
def test_results_wait_for_the_latency_and_a_reset_empties_the_pipeline(latency):
    spec = SPECS[0]
    stream = make_stream(mac_unit(spec, latency))
    unit, mask = stream.instance, 2**spec.acc_width - 1
    model, shown, resets = MacModel(spec), [0] * latency, 0
    for word, want in zip(stream.stim, stream.want, strict=True):
        driven = unit.unpack(word)
        assert want == shown.pop(0) & mask
        if driven["rst"]:
            model.start()
            shown = [0] * len(shown)
            resets += 1
        elif driven["en"]:
            if driven["clear"]:
                model.start()
            model.product(driven["w"], driven["a"], 0)
        shown.append(model.acc)
    assert resets > 10


def test_message_has_the_stimulus_of_the_product_and_not_of_the_cycle_it_shows_in():
    stream = make_stream(mac_unit(SPECS[0]))
    driven = stream.instance.unpack(stream.stim[40])
    wrong = stream.want[41] ^ 3
    text = stream.describe(41, f"{wrong:016b}")
    strobes = " ".join(f"{name}={driven[name]}" for name in ("rst", "en", "clear"))
    assert text.startswith(f"top cycle 40: {strobes} w={driven['w']:#x} a={driven['a']:#x}:")
    assert text.endswith(f" acc {golden.wrap(wrong, 9)} != {golden.wrap(stream.want[41], 9)}")
    assert "acc 00000000x !=" in stream.describe(41, "000000000000000x")


def test_given_products_replace_the_cases():
    given = ((1, 2, 0, 1), (3, 4, 0, 0))
    stream = make_stream(mac_unit(SPECS[0], given=given))
    assert sum(stream.entered) == 2
    assert golden.wrap(stream.want[-1], 9) == golden.dot([2, 4], [1, 3], SPECS[0])


def test_top_has_two_buses_of_whole_bytes_and_shares_a_part():
    units = [mac_unit(SPECS[0]), mac_unit(SPECS[1])]
    text = top_verilog(units)
    assert "input [31:0] stim" in text  # 11 and 15 bits, padded
    assert "output reg [31:0] seen" in text
    assert ".rst(stim[0:0]), .en(stim[1:1])" in text
    shared = top_verilog([units[0], *units], ["a", "a", "b"])
    assert "input [31:0] stim" in shared
    assert "output reg [47:0] seen" in shared


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.weights.name}-{spec.overflow}")
def test_a_sum_is_longer_than_a_counter_and_stalls_have_every_length(spec):
    unit = mac_unit(spec)
    stream = make_stream(unit)
    longest = so_far = stalled = 0
    stalls = set()
    for word in stream.stim:
        driven = unit.unpack(word)
        if driven["rst"]:
            so_far = stalled = 0
        elif driven["en"]:
            so_far = 1 if driven["clear"] else so_far + 1
            longest = max(longest, so_far)
            stalls.add(stalled)
            stalled = 0
        else:
            stalled += 1
    assert longest > 2**12
    assert {*range(21), 100} <= stalls
    assert stream.cover.bins["a long sum"] > 0
    assert "a long sum" not in make_stream(mac_unit(spec, effort=FULL.briefly())).cover.bins
