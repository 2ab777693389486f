"""Every path of the engine equals the golden model, and a path is taken only where it is proven."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from macsmith.sim import engine, golden
from macsmith.sim.catalog import FORMATS
from macsmith.sim.codec import code_dtype
from macsmith.sim.formats import Format, int_format
from macsmith.sim.spec import MacSpec

ACTIVATIONS = ("int8", "fp8_e4m3", "int4", "fp4_e2m1")


def operands(spec, rows, outputs, depth, seed=0, extreme=False):
    """Random codes, or only those of the least and greatest levels."""
    rng = np.random.default_rng(seed)

    def codes(fmt, shape):
        if not extreme:
            return rng.integers(0, 2**fmt.width, shape).astype(code_dtype(fmt))
        ends = [fmt.levels.index(min(fmt.levels)), fmt.levels.index(max(fmt.levels))]
        return rng.choice(ends, shape, p=[0.9, 0.1]).astype(code_dtype(fmt))

    z = None
    if spec.weights.zero_pointed:
        z = rng.integers(0, 2**spec.weights.width, outputs)
    return codes(spec.activations, (rows, depth)), codes(spec.weights, (outputs, depth)), z


def expected(a, w, spec, z):
    return [
        [golden.dot(x, u, spec, None if z is None else int(z[n])) for n, u in enumerate(w.tolist())]
        for x in a.tolist()
    ]


def spec_for(weights, activations, overflow, lanes, depth=64):
    """As narrow as allowed, so that wrap and saturate happen; wide enough where exact."""
    width = MacSpec(weights, activations, 62, "exact").product_width
    if overflow == "exact":
        width = MacSpec(weights, activations, 62, "exact").depth_width(depth)
    return MacSpec(weights, activations, width, overflow, lanes)


@pytest.mark.parametrize("overflow", ["exact", "wrap", "saturate"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_and_every_provable_path(name, overflow):
    taken = set()
    for activations in ACTIVATIONS if FORMATS[name].width <= 4 else ("int8", "fp4_e2m1"):
        for lanes, extreme in ((1, False), (1, True), (5, False), (16, True)):
            spec = spec_for(name, activations, overflow, lanes)
            a, w, z = operands(spec, 3, 4, 64, seed=lanes, extreme=extreme)
            truth = expected(a, w, spec, z)
            prepared = engine.Weights.from_codes(w, spec, z)
            assert engine.matmul(a, w, spec, z).tolist() == truth
            for path in engine.provable(a, prepared):
                assert engine.matmul(a, prepared, spec, path=path).tolist() == truth, path
                taken.add(path)
    assert "numba" in taken


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_spec_any_shape(data):
    overflow = data.draw(st.sampled_from(["wrap", "saturate", "exact"]))
    weights = data.draw(st.sampled_from(sorted(FORMATS)))
    activations = data.draw(st.sampled_from(["int8", "int4", "int2", "fp4_e3m0"]))
    depth = data.draw(st.integers(0, 40))
    lanes = data.draw(st.integers(1, 50))
    least = spec_for(weights, activations, overflow, lanes, max(depth, lanes)).acc_width
    spec = MacSpec(weights, activations, data.draw(st.integers(least, 58)), overflow, lanes)
    shape = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5)), depth
    a, w, z = operands(spec, *shape, seed=depth, extreme=data.draw(st.booleans()))
    assert engine.matmul(a, w, spec, z).tolist() == expected(a, w, spec, z)


def test_paths_that_cannot_be_proven_are_refused():
    spec = MacSpec("int8", "int8", 16, "saturate")
    a, w, _ = operands(spec, 2, 2, 100, extreme=True)
    with pytest.raises(ValueError, match=r"^path must be one proven exact here \(numba\)"):
        engine.matmul(a, w, spec, path="int8")


def test_fast_path_is_taken_where_nothing_can_clamp():
    spec = MacSpec("dint4", "int8", 24, "saturate")
    a, w, _ = operands(spec, 2, 3, 100)
    paths = engine.provable(a, engine.Weights.from_codes(w, spec))
    assert len(paths) >= 3
    assert paths[-1] == "numba"


def test_floats_are_taken_as_long_as_they_hold_every_sum():
    """127^2 x 1,040 is below 2^24, 127^2 x 1,041 is not."""
    spec = MacSpec("int8", "int8", 32)
    for depth, paths in ((1040, ["float32", "float64", "numba"]), (1041, ["float64", "numba"])):
        a = np.full((3, depth), 127, np.uint8)
        w = a * np.array([[1], [255], [1]], np.uint8)  # 127 and -127
        w[2, ::2] = 129
        prepared = engine.Weights.from_codes(w, spec)
        assert [p for p in engine.provable(a, prepared) if p != "int8"] == paths
        for path in paths:
            found = engine.matmul(a, prepared, spec, path=path)
            assert found.tolist() == expected(a, w, spec, None)


def test_more_outputs_than_a_tile():
    for spec in (
        MacSpec("int8", "int8", 16, "saturate"),
        MacSpec("int8", "int8", 56, "saturate", 3),
    ):
        a, w, _ = operands(spec, 3, 131, 40, extreme=True)
        assert engine.matmul(a, w, spec, path="numba").tolist() == expected(a, w, spec, None)


needs_int8 = pytest.mark.skipif(not engine.int8_is_exact(), reason="int8 sums in 16 bits here")


@needs_int8
def test_int8_is_behind_the_floats_without_instructions_for_it(monkeypatch):
    spec = MacSpec("dint4", "int8")
    a, w, _ = operands(spec, 2, 3, 100)
    prepared = engine.Weights.from_codes(w, spec)
    floats = ["float32", "float64"]
    for has, paths in (
        ({"avx2": True, "avx512_vnni": False}, [*floats, "int8", "numba"]),
        ({"avx2": True, "avx512_vnni": True}, ["int8", *floats, "numba"]),
        ({"neon": True, "dot": True}, ["int8", *floats, "numba"]),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has)
        engine._fastest_first.cache_clear()
        assert engine.provable(a, prepared) == paths
    engine._fastest_first.cache_clear()


@needs_int8
def test_chunks_of_a_deep_sum():
    depth = engine.INT8_CHUNK + 3
    spec = MacSpec("int8", "int8", 40, "exact")
    a = np.full((2, depth), 128, np.uint8)
    acc = engine.matmul(a, a[:1], spec, path="int8")
    assert acc.tolist() == [[128 * 128 * depth]] * 2


def test_int8_arrays_and_tensors():
    spec = MacSpec("int4", "int8", 20)
    a, w, _ = operands(spec, 3, 4, 50)
    truth = engine.matmul(a, w, spec)
    signed = (w.astype(np.int8) ^ 8) - 8
    np.testing.assert_array_equal(engine.matmul(a.view(np.int8), signed, spec), truth)
    wide = MacSpec(int_format(12), "int8", 30)
    assert engine.matmul(a, signed, wide).tolist() == truth.tolist()
    acc = engine.matmul(torch.from_numpy(a), torch.from_numpy(w), spec)
    assert acc.dtype == torch.int64
    np.testing.assert_array_equal(acc.numpy(), truth)


@needs_int8
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 1), (2, 1, 64), (1, 16, 512), (5, 3, 1)])
def test_dimensions_of_one(shape):
    """torch._int_mm returns memory it never wrote for some of them."""
    spec = MacSpec("int8", "int8", 32)
    a, w, _ = operands(spec, *shape)
    a = np.lib.stride_tricks.as_strided(a, a.shape, (0 if shape[0] == 1 else a.strides[0], 1))
    assert engine.matmul(a, w, spec, path="int8").tolist() == expected(a, w, spec, None)


def test_threads_do_not_change_the_result():
    import numba

    spec = MacSpec("int8", "int8", 17, "saturate")
    a, w, _ = operands(spec, 20, 200, 100, extreme=True)
    threads = numba.get_num_threads()
    results = []
    for n in (1, threads):
        numba.set_num_threads(n)
        results.append(engine.matmul(a, w, spec, path="numba"))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(("weights", "groups"), [("dint4", 1), ("dint4z", 1), ("int4z", 3)])
def test_linear_equals_the_golden_model(weights, groups):
    spec = MacSpec(weights, "int8", 14, "saturate", lanes=2)
    depth = 25  # so that the last group and the last lanes are short
    a, w, _ = operands(spec, 4, 3, depth)
    rng = np.random.default_rng(1)
    size = -(-depth // groups)
    z = rng.integers(0, 14, (3, groups)) if spec.weights.zero_pointed else None
    sa, sw = rng.random(4, np.float32), rng.random((3, groups), np.float32)
    za = rng.integers(-128, 128, 4)
    parts = [
        engine.Weights.from_codes(
            w[:, g * size : (g + 1) * size], spec, None if z is None else z[:, g]
        )
        for g in range(groups)
    ]
    y = engine.linear(a, sa, za, parts, sw)
    assert y.dtype == np.float32
    for t in range(4):
        for n in range(3):
            zs = (None,) if z is None else z[n].tolist()
            truth = golden.linear(
                a[t].tolist(), float(sa[t]), int(za[t]), w[n].tolist(), sw[n].tolist(), spec,
                zero_points=zs,
            )  # fmt: skip
            assert float(y[t, n]) == truth


@pytest.mark.parametrize(
    ("a", "w", "more", "words"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((2, 4), np.uint8), {}, "^a_codes has 3 products"),
        (np.zeros((2, 3)), np.zeros((2, 3), np.uint8), {}, "^a_codes of int8 must be uint8"),
        (np.zeros(3, np.uint8), np.zeros((2, 3), np.uint8), {}, "^a_codes must have two dim"),
        (
            np.zeros((2, 3), np.uint8),
            np.full((2, 3), 16, np.uint8),
            {},
            "^w_codes of dint4 must be",
        ),
        (
            np.zeros((2, 3), np.uint8),
            np.zeros((2, 3), np.int8),
            {},
            "^w_codes of dint4 must be uint",
        ),
        (
            np.zeros((2, 3), np.uint8),
            np.zeros((2, 3), np.uint8),
            {"zero_point": 1},
            "^zero point of",
        ),
    ],
)
def test_errors(a, w, more, words):
    with pytest.raises(ValueError, match=words):
        engine.matmul(a, w, MacSpec("dint4", "int8"), **more)


def test_exact_refuses_a_depth_it_does_not_cover():
    spec = MacSpec("int8", "int8", 16, "exact")
    zeros = np.zeros((1, 2), np.uint8)
    with pytest.raises(ValueError, match=r"^accumulator of 16 bits is not exact for 2 int8 x int8"):
        engine.matmul(zeros, zeros, spec)


def test_levels_too_wide_for_the_bound_are_refused():
    """The bound itself must not wrap: 2,048 levels of 2**53 are more than an int64 holds."""
    wide = Format("wide", 2, (0, 2**53, -(2**53), 2**52))
    few = Format("few", 2, (0, 1, -2, -1))
    spec = MacSpec(wide, few, 60, "saturate")
    codes = np.ones((1, 2048), np.uint8)
    with pytest.raises(ValueError, match=r"^2048 levels of wide sum to more than 62 bits"):
        engine.matmul(codes, codes, spec)
    a, w = codes[:, :40], np.full((1, 40), 2, np.uint8)
    for overflow in ("saturate", "wrap"):
        spec = MacSpec(wide, few, 56, overflow)
        assert engine.matmul(a, w, spec).tolist() == expected(a, w, spec, None)
