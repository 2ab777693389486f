"""Scales below 0: which side a format's longer end covers, and that nothing else notices."""

import numpy as np
import pytest
import tiny
import torch
from torch import nn

import macsmith.quant as quant
from macsmith.quant import steps
from macsmith.quant.attention import QuantAttention
from macsmith.quant.export_compressed import save_compressed
from macsmith.quant.linear import QuantLinear
from macsmith.quant.recipe import Accumulator, Attention, Recipe, Weights
from macsmith.quant.weights import quantize_weight
from macsmith.sim import golden
from macsmith.sim.catalog import FORMATS, get_format
from macsmith.sim.formats import Format

#: Ends of unlike length, and of like length for comparison.
UNEVEN = ["int8", "int4", "int3", "int2", "dint4", "dint3", "dint4_c4", "dint4_c8", "dint4_r4"]
EVEN = ["dint4_sm", "fp4_e2m1", "fp8_e4m3", "nf4"]
DIVISORS = ["both", "mean", "full", "ends"]
N, K = 40, 29


def weight(k=K):
    """Rows whose longer tail lies on either side, a constant row, and one of zeros."""
    draw = torch.Generator().manual_seed(3)
    w = torch.randn(N, k, generator=draw)
    w = torch.where(w > 0, w * torch.rand(N, 1, generator=draw) * 3, w)
    w[0], w[1] = 0, 0.3
    return w


def errors(q, w, fmt, group):
    """Sums of squared errors by row and group, from the format's levels: float64 [N, G]."""
    size = group or w.shape[1]
    unit = q.scale.numpy() * np.float32(2.0**-fmt.frac_bits)
    level = np.array(fmt.levels, np.float32)[q.codes.numpy()]
    gap = level * unit.repeat(size, axis=1)[:, : w.shape[1]] - w.numpy()
    square = gap.astype(np.float64) ** 2
    return np.stack([square[:, k : k + size].sum(1) for k in range(0, w.shape[1], size)], axis=1)


@pytest.mark.parametrize("group", [0, 8])
@pytest.mark.parametrize("divisor", DIVISORS)
@pytest.mark.parametrize("name", UNEVEN + EVEN)
def test_no_error_is_raised_and_the_better_side_is_taken(name, divisor, group):
    """Turned over, a row has the codes of its negative: both sides, quantized one by one."""
    w, fmt = weight(), FORMATS[name]
    options = Weights(format=name, divisor=divisor, group_size=group)
    plain, mirrored = (quantize_weight(x, fmt, options) for x in (w, -w))
    one, other = errors(plain, w, fmt, group), errors(mirrored, -w, fmt, group)
    q = quantize_weight(w, fmt, options.model_copy(update={"orientation": "error"}))
    assert (errors(q, w, fmt, group) <= one).all()
    turned = (q.scale < 0).numpy()
    assert np.array_equal(turned, other < one)
    assert not turned[0].any(), "a row of zeros is not better on either side"
    size = group or K
    spread = torch.from_numpy(turned).repeat_interleave(size, dim=1)[:, :K]
    assert torch.equal(q.scale, torch.where(q.scale < 0, -mirrored.scale, plain.scale))
    assert torch.equal(q.codes, torch.where(spread, mirrored.codes, plain.codes))
    if name in UNEVEN and divisor in ("full", "ends"):
        assert turned.any(), "nothing was turned over: the test is void"
        assert not turned.all()


@pytest.mark.parametrize("name", UNEVEN + EVEN)
def test_the_longer_end_lies_on_the_longer_tail(name):
    w, fmt = weight(), FORMATS[name]
    options = Weights(format=name, divisor="ends", orientation="tail", group_size=8)
    q = quantize_weight(w, fmt, options)
    ran = 0
    for n in range(N):
        for g, s in enumerate(q.scale[n].tolist()):
            part = w[n, 8 * g : 8 * g + 8]
            lo, hi = part.min().item(), part.max().item()
            ends = min(fmt.levels), max(fmt.levels)
            covered = sorted(end * s for end in ends)
            longer = (covered[1] > -covered[0]) == (hi > -lo)
            even = ends[0] == -ends[1] or hi == -lo
            assert s > 0 if even else longer
            ran += not even
    assert ran > 100 or name in EVEN


def test_dint4s_seventh_step_by_hand():
    row = torch.tensor([[-7.0, -6, 0.5, 1, 2, 5, 6], [-6, -5, 0.5, 1, 2, 5, 7]]) / 4
    fmt = get_format("dint4")
    kept = {}
    for orientation in ("positive", "error", "tail"):
        options = Weights(format="dint4", divisor="ends", orientation=orientation)
        q = quantize_weight(row, fmt, options)
        kept[orientation] = q.scale[:, 0].tolist(), (q.dequantized(fmt) - row).abs().sum(1).tolist()
    assert kept["error"] == kept["tail"] == ([-0.25, 0.25], [0, 0])
    assert kept["positive"][0] == [pytest.approx(7 / 6 / 4), 0.25]
    assert kept["positive"][1][0] > 0


def test_a_format_of_one_sign_serves_both():
    fmt = Format("steps", 2, (0, 1, 2, 3))
    row = torch.tensor([[0.0, 1, 2, 3], [0, -1, -2, -3], [-3, -3, -2, 1]])
    options = Weights(format="int4", divisor="ends", orientation="error")
    q = quantize_weight(row, fmt, options)
    assert q.scale[:, 0].tolist() == [1, -1, -1]
    assert q.dequantized(fmt).tolist() == [[0, 1, 2, 3], [0, -1, -2, -3], [-3, -3, -2, 0]]
    plain = quantize_weight(row, fmt, Weights(format="int4", divisor="ends"))
    assert plain.dequantized(fmt)[1].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("group", [0, 13])
@pytest.mark.parametrize("name", ["int8", "int4", "dint4", "dint3", "dint4_c8"])
def test_exact_execution_is_golden(name, group, overflow):
    torch.manual_seed(0)
    linear = nn.Linear(39, 12)
    linear.weight.data = weight(39)[2:14].clone()
    recipe = Recipe(
        weights=Weights(format=name, group_size=group, divisor="ends", orientation="error"),
        accumulator=Accumulator(width=17, overflow=overflow),
    )
    layer = QuantLinear.from_float(linear, recipe)
    assert (layer.scale < 0).any()
    assert (layer.scale > 0).any()
    x = torch.randn(3, 39) + 1
    layer.execution = "exact"
    y, a = layer(x), layer.quantize_input(x)
    for t in range(3):
        for n in range(12):
            wanted = golden.linear(
                a.codes[t].tolist(), a.scale[t].item(), int(a.zero[t]), layer.qweight[n].tolist(),
                layer.scale[n].tolist(), layer.spec,
            )  # fmt: skip
            assert y[t, n] == np.float32(wanted) + linear.bias[n]
    if name != "int8":  # whose sums leave 17 bits
        layer.execution = "float"
        torch.testing.assert_close(layer(x), y, rtol=1e-4, atol=1e-4)


def test_attentions_products_are_golden():
    value = Weights(format="dint4", group_size=5, divisor="ends", orientation="error")
    key = Weights(format="int4", divisor="full", orientation="tail")
    recipe = Recipe(weights=Weights(format="int8"), attention=Attention(value=value, key=key))
    made = QuantAttention(recipe.attention, recipe.attention_specs())
    made.execution = "exact"
    draw = torch.Generator().manual_seed(1)
    p = torch.randn(1, 2, 5, 9, generator=draw).softmax(dim=-1)
    v = torch.randn(1, 2, 9, 8, generator=draw)
    found = made.mix(p, v), made.score(v, v)
    for options, w, fmt in ((value, v.mT, "dint4"), (key, v, "int4")):
        scales = quantize_weight(w.reshape(-1, w.shape[-1]), FORMATS[fmt], options).scale
        assert (scales < 0).any()
        assert (scales > 0).any()
    made.execution = "float"
    for exact, other in zip(found, (made.mix(p, v), made.score(v, v)), strict=True):
        torch.testing.assert_close(exact, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "chain",
    [(steps.Rtn(),), (steps.Gptq(),), (steps.Aqas(samples=2), steps.Gptq()), (steps.Gwq(),)],
    ids=["rtn", "gptq", "aqas-gptq", "gwq"],
)
def test_a_folder_restores_every_bit_and_methods_go_on(tmp_path, chain):
    model = tiny.opt()
    wanted = model(input_ids=tiny.ids()).logits
    options = Weights(format="dint4", group_size=8, divisor="ends", orientation="error")
    quant.quantize_(model, Recipe(weights=options, steps=chain), tiny.ids())
    below = [layer.scale < 0 for _, layer in quant.quantized_layers(model)]
    assert len(below) == 12
    assert all(x.any() and not x.all() for x in below)
    back = quant.load_model(quant.save_quantized(model, tmp_path / "q"))
    for execution in ("float", "exact"):
        for m in (model, back):
            quant.set_execution(m, execution)
        logits = model(input_ids=tiny.ids()).logits
        assert torch.equal(logits, back(input_ids=tiny.ids()).logits)
        assert (logits - wanted).norm() < 0.5 * wanted.norm()


def test_what_cannot_say_it_refuses(tmp_path):
    model = tiny.llama()
    options = Weights(format="int4", divisor="full", orientation="tail")
    quant.quantize_(model, Recipe(weights=options))
    with pytest.raises(ValueError, match=r"cannot say that scales are below 0: wanted weights\."):
        save_compressed(model, tmp_path / "ct")
    zero = Weights(format="dint4z", orientation="error")
    for parts in ({"weights": zero}, {"weights": options, "attention": Attention(value=zero)}):
        with pytest.raises(ValueError, match="'error' is for formats without a zero point"):
            Recipe(**parts)
    for more in ({"orientation": "tail"}, {"divisor": "ends"}):
        with pytest.raises(
            ValueError, match=r"daq finds its scales itself, with '(both|positive)'"
        ):
            Recipe(weights=Weights(format="nf4", **more), steps=(steps.Daq(),))
