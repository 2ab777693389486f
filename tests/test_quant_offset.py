"""Offsets: in the stated float32 order, bit for bit, and right by float64 in both executions."""

import numpy as np
import pytest
import torch

from macsmith.quant import QuantLinear
from macsmith.quant.kept import Kept
from macsmith.quant.recipe import Activations
from macsmith.sim import golden
from macsmith.sim.catalog import get_format
from macsmith.sim.spec import MacSpec

N, K, T = 6, 31, 4


def layer(weights="nf4", group=0, activations="int8", kept=False):
    """A layer of random codes, scales of both signs, and offsets of the size of its weights."""
    draw = torch.Generator().manual_seed(0)
    spec = MacSpec(get_format(weights), get_format(activations))
    groups = -(-K // (group or K))
    fmt = spec.weights
    top = fmt.levels.index(max(fmt.levels))
    signs = torch.where(torch.arange(N * groups).view(N, groups) % 3 == 1, -1.0, 1.0)
    scheme = "token-asymmetric" if activations == "int8" else "token-symmetric"
    return QuantLinear(
        torch.randint(2**fmt.width, (N, K), generator=draw, dtype=torch.uint8),
        signs * torch.rand(N, groups, generator=draw) / fmt.value(top),
        None,
        torch.randn(N, generator=draw),
        spec=spec,
        group_size=group,
        activations=Activations(format=activations, scheme=scheme),
        kept=Kept(torch.tensor([3, 40], dtype=torch.int32), torch.tensor([0.5, -3]))
        if kept
        else None,
        offset=torch.randn(N, groups, generator=draw),
    )


def inputs():
    return torch.randn(T, K, generator=torch.Generator().manual_seed(1)) + 0.7


def in_plain_python(m: QuantLinear, x: torch.Tensor) -> torch.Tensor:
    """Every output one operation after the other, each rounded to float32."""
    a = m.quantize_input(x)
    fa, fw = m.spec.activations, m.spec.weights
    out = np.empty((len(x), N), np.float32)
    for t, row in enumerate(a.codes.tolist()):
        za, unit = int(a.zero[t]), golden.float32(a.scale[t].item() * 2.0**-fa.frac_bits)
        for n, codes in enumerate(m.qweight.tolist()):
            y = golden.linear(
                row, a.scale[t].item(), za, codes, m.scale[n].tolist(), m.spec
            ) if m.scale.shape[1] * m.group_size == K else _by_group(m, a, t, n)  # fmt: skip
            for g, part in enumerate(m.groups()):
                total = sum(fa.levels[code] - za for code in row[part])
                seen = golden.float32(golden.float32(total) * unit)
                y = golden.float32(y + golden.float32(seen * m.offset[n, g].item()))
            out[t, n] = golden.float32(y + m.bias[n].item())
    assert fw.width == 4
    return torch.from_numpy(out)


def _by_group(m: QuantLinear, a, t: int, n: int) -> float:
    """`golden.linear` knows groups of equal size only: each alone, then added in order."""
    y = None
    for g, part in enumerate(m.groups()):
        mine = golden.linear(
            a.codes[t, part].tolist(), a.scale[t].item(), int(a.zero[t]),
            m.qweight[n, part].tolist(), [m.scale[n, g].item()], m.spec,
        )  # fmt: skip
        y = mine if y is None else golden.float32(y + mine)
    return y


@pytest.mark.parametrize("group", [0, 8])
@pytest.mark.parametrize("activations", ["int8", "fp8_e4m3"])
@pytest.mark.parametrize("weights", ["nf4", "fp4_bnb", "fp4_daq", "int4"])
def test_exact_is_the_stated_order(weights, activations, group):
    m, x = layer(weights, group, activations), inputs()
    m.execution = "exact"
    y = m(x)
    assert torch.equal(y, in_plain_python(m, x))
    assert torch.equal(torch.cat([m(row[None]) for row in x]), y)
    m.offset.zero_()
    assert not torch.allclose(m(x), y, atol=0.5), "offsets did nothing: the test is void"


@pytest.mark.parametrize("group", [0, 8])
@pytest.mark.parametrize("weights", ["nf4", "fp4_bnb", "fp4_daq", "dint4"])
@pytest.mark.parametrize("execution", ["exact", "float"])
def test_both_executions_against_float64(execution, weights, group):
    m, x = layer(weights, group, kept=True), inputs()
    m.execution = execution
    a = m.quantize_input(x)
    seen = (a.codes.view(torch.int8).double() - a.zero[:, None]) * a.scale.double()[:, None]
    size, fmt = group or K, m.spec.weights
    wanted, magnitude = m.bias.double().expand(T, N).clone(), m.bias.abs().double()
    for n in range(N):
        for k in range(K):
            value = fmt.value(int(m.qweight[n, k])) * m.scale[n, k // size].item()
            offset = m.offset[n, k // size].item()
            more = {(0, 3): 0.5, (1, 9): -3}.get((n, k), 0)  # what is kept
            wanted[:, n] += seen[:, k] * (value + offset + more)
    weight = m.dequantized_weight().double().abs() + 2 * m.offset.abs().amax()
    magnitude = magnitude + seen.abs() @ weight.T
    assert ((m(x).double() - wanted).abs() <= (K + 20) * 2.0**-24 * magnitude).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_offsets_stay_float32_when_the_module_is_cast(dtype):
    m = layer()
    before = m.offset.clone()
    m.to(dtype)
    assert m.offset.dtype == torch.float32
    assert torch.equal(m.offset, before)
    assert "nf4 x int8, 32-bit wrap, offset" in repr(m)


def test_offsets_of_another_shape_are_refused():
    m = layer(group=8)
    with pytest.raises(ValueError, match=r"^offset: wanted shape \(6, 4\), got \(6, 1\)$"):
        QuantLinear(
            m.qweight, m.scale, None, None, spec=m.spec, group_size=8, offset=m.offset[:, :1]
        )
