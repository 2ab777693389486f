"""DAQ: alignment by hand, the quantizer by trying all, the adjustment against a plain loop."""

import math
from itertools import pairwise

import numpy as np
import pytest
import tiny
import torch

import macsmith.quant as quant
from macsmith.quant.methods import METHODS, daq
from macsmith.quant.methods.daq import Fit, aligned
from macsmith.quant.nearest import nearest
from macsmith.quant.recipe import Recipe, Weights
from macsmith.quant.steps import Awq, Daq
from macsmith.sim.catalog import get_format

FORMATS = ["nf4", "fp4_bnb", "fp4_daq", "int4", "dint4"]
QUICK = Daq(epochs=2, iterations=30)


def recipe(step=QUICK, weights="nf4", group_size=0):
    return Recipe(weights=Weights(format=weights, group_size=group_size), steps=(step,))


def rows(n=5, k=20, shift=0.3, seed=0):
    """Weights whose dense part is not around 0, inputs of unlike channels: [N, K] and [T, K]."""
    draw = torch.Generator().manual_seed(seed)
    w = torch.randn(n, k, generator=draw) ** 3 / 4 + shift
    x = torch.randn(50, k, generator=draw) * torch.randn(k, generator=draw).exp() + 0.2
    return w, x


def values(fmt):
    return sorted({level / 2**fmt.frac_bits for level in fmt.levels})


def error_of(w, x, s, o, fmt):
    """Of one row in Python's floats, by trying every level for every weight."""
    gaps = []
    for v in w.tolist():
        q = min((abs((v - o) / s - level), abs(level), level) for level in values(fmt))[2]
        gaps.append(q * s + o - v)
    outputs = [math.fsum(g * v for g, v in zip(gaps, token, strict=True)) for token in x.tolist()]
    return math.fsum(y * y for y in outputs) / len(outputs)


def test_the_range_is_aligned_with_the_dense_weights():
    """41 weights: 2.5 % and 97.5 % are the second and the last but one, 0.0 and 1.0."""
    w = torch.tensor([[-0.7, 0.0, *[0.4] * 37, 1.0, 2.5]])[:, torch.randperm(41)]
    for name, top in (("nf4", 1), ("fp4_bnb", 12), ("fp4_daq", 6), ("int4", 7), ("dint4", 6)):
        s, o = aligned(w, get_format(name), Daq())
        assert o.item() == 0.5
        assert s.item() == pytest.approx(0.9 * 2 / top, rel=1e-6)
        s, o = aligned(w, get_format(name), Daq(start="zero", reach=1))
        assert o.item() == 0
        assert s.item() == pytest.approx(2 / top, rel=1e-6)
    s, o = aligned(w, get_format("nf4"), Daq(coverage=1, reach=1))
    assert (s.item(), o.item()) == (pytest.approx(1.6), pytest.approx(0.9))
    s, o = aligned(w[:, :6].sort().values, get_format("nf4"), Daq(coverage=0.5))
    lo, hi = np.quantile(w[0, :6].numpy(), [0.25, 0.75])
    assert o.item() == pytest.approx((lo + hi) / 2, rel=1e-6)


@pytest.mark.parametrize("group", [0, 8])
@pytest.mark.parametrize("weights", FORMATS)
def test_every_weight_gets_the_nearest_level(weights, group):
    w, x = rows()
    found = METHODS[Daq].round([x], w, QUICK, recipe(weights=weights, group_size=group))
    fmt, size = get_format(weights), group or 20
    assert found.zero_point is None
    assert found.scale.shape == found.offset.shape == (5, -(-20 // size))
    assert found.scale.dtype == found.offset.dtype == torch.float32
    left = found.dequantized(fmt, group)
    for n in range(5):
        for k in range(20):
            s, o = found.scale[n, k // size].item(), found.offset[n, k // size].item()
            best = min(abs(v * s + o - w[n, k].item()) for v in values(fmt))
            mine = fmt.value(int(found.codes[n, k])) * s + o
            assert abs(mine - w[n, k].item()) <= best + 1e-6
            assert left[n, k].item() == pytest.approx(mine, abs=1e-6)


@pytest.mark.parametrize("tokens", [50, 20, 7])
@pytest.mark.parametrize("weights", FORMATS)
def test_the_error_is_that_of_the_output(monkeypatch, weights, tokens):
    """More tokens than channels, as many, and fewer; rows of the factor in three parts."""
    monkeypatch.setattr(daq, "ROWS", 8)
    w, x = rows()
    x, fmt = x[:tokens], get_format(weights)
    s, o = aligned(w, fmt, Daq())
    found = Fit(w[None], x[None], fmt).error(s[None], o[None])[0]
    for n in range(5):
        wanted = error_of(w[n], x, s[n].item(), o[n].item(), fmt)
        assert found[n].item() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("weights", FORMATS)
def test_the_point_never_becomes_worse(weights):
    w, x = rows(12)
    fmt, step, trace = get_format(weights), Daq(epochs=3, iterations=60), []
    fit, start = Fit(w[None], x[None], fmt), aligned(w[None], fmt, Daq())
    s, o = fit.adjusted(*start, step, trace.append)
    assert torch.equal(trace[0], fit.error(*start))
    assert len(trace) > 40
    for before, after in pairwise(trace):
        assert (after <= before).all()
    assert torch.equal(trace[-1], fit.error(s, o))
    assert (trace[-1] < 0.9 * trace[0]).any()


class Exact(Fit):
    """The error in float64 throughout, over the tokens themselves."""

    def __init__(self, w, x, fmt):
        super().__init__(w, x, fmt)
        self.x = x.double()

    def error(self, s, o):
        s, o = s[..., None], o[..., None]
        level = nearest((self.w - o) / s, self.fmt).double()
        gap = level * 2.0**-self.fmt.frac_bits * s.double() + o.double() - self.w.double()
        return (gap @ self.x.mT).square().mean(dim=2)


@pytest.mark.parametrize("weights", FORMATS)
def test_float32_leads_to_points_as_good_as_float64(weights):
    """Near a minimum a last bit decides which way a row goes on, so that rows differ."""
    w, x = rows(64, 128)
    fmt, step, start = get_format(weights), Daq(), aligned(w[None], get_format(weights), Daq())
    exact = Exact(w[None], x[None], fmt)
    found, wanted = (fit.adjusted(*start, step) for fit in (Fit(w[None], x[None], fmt), exact))
    assert (found[0] == wanted[0]).sum() >= 16
    mine, its = exact.error(*found), exact.error(*wanted)
    assert mine.sum() < 1.001 * its.sum() < 0.9 * exact.error(*start).sum()
    assert (mine < 1.02 * its).all()


def test_the_first_steps_by_a_plain_loop():
    """In the paper's own terms, scale and zero point, in Python's floats."""
    w, x = rows(3)
    fmt = get_format("fp4_daq")
    step = Daq(epochs=2, iterations=4)
    s, o = aligned(w[None], fmt, step)
    found = Fit(w[None], x[None], fmt).adjusted(s, o, step)
    moved = 0
    for n in range(3):
        scale, zp = s[0, n].item(), -o[0, n].item() / s[0, n].item()

        def loss(scale, zp, n=n):
            return error_of(w[n], x, scale, -zp * scale, fmt)

        for _ in range(2):
            low, high = 1e-3 / 5, 1e-3 * 5
            for j in range(4):
                if j % 2:
                    e = low = low * 0.9
                else:
                    e = high = high * 1.1
                up, down, here = loss(scale, zp + e), loss(scale, zp - e), loss(scale, zp)
                if min(up, down) < here:
                    zp += e if up < down else -e
                    moved += 1
                less, more, here = (loss(scale * f, zp) for f in (1 - e, 1 + e, 1))
                if min(less, more) < here:
                    scale *= 1 - e if less < more else 1 + e
                    moved += 1
        assert found[0][0, n].item() == pytest.approx(scale, rel=1e-5)
        assert found[1][0, n].item() == pytest.approx(-zp * scale, rel=1e-5)
    assert moved > 10


def test_an_epoch_ends_where_nothing_moves():
    """Weights that are levels already: no step helps."""
    fmt = get_format("fp4_daq")
    w = torch.tensor([values(fmt)])[None]
    s, o = torch.tensor([[1.0]]), torch.tensor([[0.0]])
    for patience in (0, 5):
        trace = []
        step = Daq(epochs=3, patience=patience)
        back = Fit(w, torch.eye(15)[None], fmt).adjusted(s, o, step, trace.append)
        assert back == (s, o)
        # Each epoch counts for one; the first ends past the patience, the others at once.
        assert len(trace) == 1 + max(1, patience) + 2


@pytest.mark.parametrize("weights", FORMATS)
def test_groups_do_not_know_of_each_other(weights):
    """Groups of 8 in rows of 20: two, and a short one."""
    w, x = rows()
    step = Daq(epochs=2, iterations=30, patience=100)  # which looks at all rows together
    r = recipe(step, weights, 8)
    found = METHODS[Daq].round([x[:30], x[30:]], w, step, r)
    for g, part in enumerate((slice(0, 8), slice(8, 16), slice(16, 20))):
        alone = METHODS[Daq].round([x[:, part]], w[:, part], step, recipe(step, weights))
        assert torch.allclose(found.scale[:, g], alone.scale[:, 0], rtol=1e-4)
        assert torch.allclose(found.offset[:, g], alone.offset[:, 0], rtol=1e-3, atol=1e-5)


def test_only_its_samples_are_looked_at():
    step, codes = Daq(epochs=1, samples=2), []
    for ids in (tiny.ids(), tiny.ids()[:2], tiny.ids()[:3]):
        model = tiny.llama()
        reads = step if len(ids) != 3 else step.model_copy(update={"samples": 3})
        quant.quantize_(model, recipe(reads), ids)
        codes.append(torch.cat([m.qweight.flatten() for _, m in quant.quantized_layers(model)]))
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])


@pytest.mark.parametrize("start", ["center", "zero"])
@pytest.mark.parametrize("weights", FORMATS)
def test_dead_and_constant_rows_and_channels(weights, start):
    w, x = rows()
    w[0], w[1], w[2, 1:] = 0, 4.5, 0
    x[:, 3] = 0
    step = Daq(epochs=1, start=start)
    found = METHODS[Daq].round([x], w, step, recipe(step, weights))
    left = found.dequantized(get_format(weights))
    assert torch.isfinite(left).all()
    assert (left[0] == 0).all()
    if start == "center":
        assert (left[1] == 4.5).all()
    else:
        assert (left[1] - 4.5).abs().max() < 0.15 * 4.5
    dead = METHODS[Daq].round([torch.zeros(5, 20)], w, step, recipe(step, weights))
    assert torch.isfinite(dead.dequantized(get_format(weights))).all()


@pytest.mark.parametrize("weights", ["nf4", "fp4_bnb", "fp4_daq"])
@pytest.mark.parametrize("group", [0, 10])
def test_a_model_comes_back_bit_for_bit(tmp_path, weights, group):
    model = tiny.llama()
    made = Recipe(
        weights=Weights(format=weights, group_size=group),
        steps=(Awq(samples=2, clip=False), QUICK),
        ignore=("*.0.mlp.down_proj",),
    )
    quant.quantize_(model, made, tiny.ids())
    back = quant.load_model(quant.save_quantized(model, tmp_path / "q"), dtype=torch.float16)
    layers = list(zip(quant.quantized_layers(model), quant.quantized_layers(back), strict=True))
    assert [name for (name, layer), _ in layers if layer.offset is None] == ["lm_head"]
    assert len(layers) == 13 + 1
    for (_, layer), (_, other) in layers:
        if layer.offset is not None:
            assert other.offset.dtype == torch.float32
            assert torch.equal(other.offset, layer.offset)
        assert torch.equal(other.scale, layer.scale)
    back = quant.load_model(tmp_path / "q")
    for execution in ("float", "exact"):
        for m in (model, back):
            quant.set_execution(m, execution)
        wanted = model(input_ids=tiny.ids()).logits
        assert torch.equal(back(input_ids=tiny.ids()).logits, wanted)


@pytest.mark.parametrize("group", [0, 8])
def test_layers_are_better_than_rounded_to_nearest(group):
    """By what it looks at: the output, on the calibration."""
    ran = 0

    def watch(name, layer, quantized, inputs):
        nonlocal ran
        x = torch.cat(inputs)
        near = quant.QuantLinear.from_float(layer, made)
        wanted = x @ layer.weight.T
        errors = [(x @ m.dequantized_weight().T - wanted).norm() for m in (quantized, near)]
        if not group:  # groups are fitted one by one, their sum may be worse
            assert errors[0] < errors[1], name
        ran += bool(errors[0] < errors[1])

    made = recipe(Daq(epochs=2, iterations=50), "fp4_daq", group)
    quant.quantize_(tiny.llama(), made, tiny.ids(), watch=watch)
    assert ran >= 12


def test_presets_and_what_is_refused():
    made = Recipe.get("w4a16-awq-daq-nf4")
    assert [step.method for step in made.steps] == ["awq", "daq"]
    assert not made.steps[0].clip
    assert not made.activations.quantized
    assert Recipe.get("w4a8-daq-fp4_bnb").activations.quantized
    with pytest.raises(ValueError, match="unknown recipe 'w4a16-daq-int4z'"):
        Recipe.get("w4a16-daq-int4z")
    with pytest.raises(ValueError, match="daq has a zero point of its own, int4z another"):
        recipe(weights="int4z")
