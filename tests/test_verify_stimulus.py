"""The benches' stimulus and model, without a simulator."""

import random

import pytest

from macsmith.experiments.verify.bench import Port, Unit, top_verilog
from macsmith.experiments.verify.stimulus import MacModel, can_overflow, make_stream, pair_count
from macsmith.sim import golden
from macsmith.sim.formats import int_format, minifloat
from macsmith.sim.spec import MacSpec


def mac_unit(spec, latency=1, **more):
    ports = [("rst", 1), ("en", 1), ("clear", 1), ("w", spec.weights.width)]
    ports.append(("a", spec.activations.width))
    if spec.weights.zero_pointed:
        ports.append(("z", spec.weights.width))
    inputs = tuple(Port(*port) for port in ports)
    return Unit("top", "mac", spec, latency, inputs, Port("acc", spec.acc_width), **more)


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
    assert len(entered) == pair_count(spec)  # all of them: these spaces are small
    assert sum(stream.entered) > 1000 + pair_count(spec)
    for what in ("clear", "clear without en", "stall", "reset", "overflow", "negative overflow"):
        assert stream.cover[what] > 0, what
    assert all(driven[k]["rst"] for k in range(2))
    assert make_stream(unit).stim == stream.stim


def test_shares_make_up_all_pairs():
    spec = SPECS[1]
    seen = set()
    for i in range(3):
        unit = mac_unit(spec, share=(i, 3))
        seen |= {unit.unpack(word).get("z", 0) for word in make_stream(unit).stim}
    assert seen == set(spec.weights.zero_points)
    covered = sum(make_stream(mac_unit(spec, share=(i, 3))).cover["pairs"] for i in range(3))
    assert covered == pair_count(spec) == 2 ** (4 + 4 + 4)


def test_int8z_is_driven_at_corners_and_random_zero_points():
    spec = MacSpec("int8z", "int8", 32)
    assert pair_count(spec) == 4 * 2**16
    unit = mac_unit(spec, share=(3, 4))  # the last quarter: random zero points
    seen = {unit.unpack(word)["z"] for word in make_stream(unit).stim}
    assert seen == set(range(256))


def test_wide_formats_are_sampled():
    assert pair_count(MacSpec(minifloat(5, 6), "int8", 60)) == 2**20
    assert pair_count(MacSpec(int_format(14), "int8", 40)) == 2**16
    spec = MacSpec(int_format(12, zero_pointed=True), "int8", 40)
    stream = make_stream(mac_unit(spec, share=(0, 16)))
    assert stream.cover["pairs"] == 2**16 / 16 * (pair_count(spec) / 2**16)


def test_only_narrow_accumulators_are_driven_to_overflow():
    assert can_overflow(MacSpec("int8", "int8", 32)) == {+1: False, -1: False}
    assert can_overflow(MacSpec("int8", "int8", 24)) == {+1: True, -1: True}


def test_results_wait_for_the_latency():
    spec = SPECS[0]
    early, late = make_stream(mac_unit(spec)), make_stream(mac_unit(spec, latency=3))
    # A reset empties the pipeline too, so compare what comes before the first random one.
    assert late.stim[:250] == early.stim[:250]
    assert late.want[2:250] == early.want[:248]


def test_message_has_the_stimulus_of_the_product_and_not_of_the_cycle_it_shows_in():
    stream = make_stream(mac_unit(SPECS[0]))
    driven = stream.unit.unpack(stream.stim[40])
    text = stream.describe(41, 5)
    assert text.startswith(
        f"top cycle 40: rst=0 en=1 clear=0 w={driven['w']:#x} a={driven['a']:#x}:"
    )
    assert text.endswith(f" acc 5 != {stream.want[41]}")
    assert "acc 0000000x !=" in stream.describe(41, "0000000x")


def test_given_products_replace_the_cases():
    given = ((1, 2, 0, 1), (3, 4, 0, 0))
    stream = make_stream(mac_unit(SPECS[0], given=given))
    assert sum(stream.entered) == 2
    assert stream.want[-1] == golden.dot([2, 4], [1, 3], SPECS[0])


def test_top_has_two_buses_of_whole_bytes():
    text = top_verilog([mac_unit(SPECS[0]), mac_unit(SPECS[1])])
    assert "input [31:0] stim" in text  # 11 and 15 bits, padded
    assert "output reg [31:0] seen" in text
    assert ".rst(stim[0:0]), .en(stim[1:1])" in text
