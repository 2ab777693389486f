"""What a layer is for, found by trying, against what its name says."""

import pytest
import tiny
import torch
from torch import nn

from macsmith.quant.blocks import Block, Call
from macsmith.quant.groups import groups_of
from macsmith.quant.roles import enters_softmax, holder, makes_scores, reaches_others


class Routed(nn.Module):
    """Of two layers with the same input, one gets all tokens but the first."""

    def __init__(self):
        super().__init__()
        self.all, self.some = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        y = x + self.all(x)
        y[:, 1:] += self.some(x[:, 1:])
        return y


@torch.no_grad()
def test_experts_that_the_first_token_does_not_go_to_are_clipped():
    module = Routed()
    block = Block("b", module, {"b.all": module.all, "b.some": module.some})
    block.hidden, block.calls = [torch.randn(2, 5, 4)], [Call((), {})]
    assert not enters_softmax(block, module.some)
    assert not enters_softmax(block, module.all)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", [*tiny.FAMILIES, tiny.phi3, tiny.bloom])
def test_what_a_layer_is_for(make, dtype):
    ran, fused = set(), ("query_key_value", "qkv_proj")
    for block, groups in tiny.scaled_blocks(make().to(dtype)):
        for group in groups:
            for name, layer in zip(group.names, group.layers, strict=True):
                last = name.rpartition(".")[2]
                assert enters_softmax(block, layer) == (last in ("q_proj", "k_proj")), name
                assert makes_scores(block, name, layer) == (last in ("q_proj", "k_proj", *fused))
                wanted = last in ("k_proj", "v_proj", *fused)
                assert reaches_others(block, name, layer) == wanted, name
                if last in fused:  # judged where queries, keys and values that are apart are
                    attention = block.module.get_submodule(name.split(".")[-2])
                    assert group.parent is attention
                ran.add(last)
    assert len(ran) >= 4


class Heads(nn.Module):
    """Attention with a layer for each head, in lists, which do not run."""

    def __init__(self):
        super().__init__()
        self.keys = nn.ModuleList(nn.Linear(4, 2) for _ in range(2))
        self.values = nn.ModuleList(nn.Linear(4, 2) for _ in range(2))

    def forward(self, x):
        seen = [
            torch.softmax(x[..., :2] @ k(x).mT + torch.full((5, 5), -torch.inf).triu(1), -1) @ v(x)
            for k, v in zip(self.keys, self.values, strict=True)
        ]
        return torch.cat(seen, dim=-1)


class Around(nn.Module):
    def __init__(self):
        super().__init__()
        self.attend, self.last = Heads(), nn.Linear(4, 4)

    def forward(self, x):
        return x + self.last(self.attend(x))


@torch.no_grad()
def test_a_list_of_modules_is_no_holder():
    torch.manual_seed(0)
    module = Around()
    layers = {f"b.{n}": m for n, m in module.named_modules() if isinstance(m, nn.Linear)}
    block = Block("b", module, layers)
    block.hidden, block.calls = [torch.randn(2, 5, 4)], [Call((), {})]
    names = [n for n in layers if "attend" in n]
    assert holder(block, names) is holder(block, names[:1]) is module.attend
    assert holder(block, ["b.last"]) is holder(block, list(layers)) is None
    (group,) = (g for g in groups_of(block) if "b.last" not in g.names)
    assert (group.names, group.parent) == (
        ("b.attend.keys.0", "b.attend.values.0", "b.attend.keys.1", "b.attend.values.1"),
        module.attend,
    )
    found = {name: makes_scores(block, name, layer) for name, layer in layers.items()}
    assert found == {name: "keys" in name for name in layers}
