"""Blocks replayed several samples at a time, against each sample run through the model alone."""

import pytest
import tiny
import torch
from torch import nn

import macsmith.quant as quant
from macsmith.quant import blocks
from macsmith.quant.blocks import blocks_of
from macsmith.quant.convert import linear_layers
from macsmith.quant.recipe import Attention, Recipe, Weights
from macsmith.quant.steps import Gptq

RECIPE = Recipe(weights=Weights(format="int8"))


def replayed(model, ids, stops=()):
    return blocks_of(model, linear_layers(model, RECIPE), ids, stops)


@torch.no_grad()
def alone(model, ids, names):
    """What the named modules get, sample by sample."""
    seen = {name: [] for name in names}
    hooks = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, args, name=name: seen[name].append(args[0].flatten(0, -2))
        )
        for name in names
    ]
    for row in ids:
        model(input_ids=row[None])
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(x) for name, x in seen.items()}


@pytest.mark.parametrize("tokens", [1, 60, 2**20])
@pytest.mark.parametrize("make", tiny.FAMILIES)
def test_every_layer_gets_what_it_gets_in_the_model(monkeypatch, make, tokens):
    monkeypatch.setattr(blocks, "TOKENS", tokens)
    model, ids = make(), tiny.ids()
    wanted = alone(model, ids, [n for n in linear_layers(model, RECIPE) if n[-4:] != "head"])
    ran = 0
    with torch.no_grad():
        for block in replayed(model, ids):
            sizes = [len(x) for x in block.hidden]
            assert sizes == {1: [1] * 6, 60: [3, 3], 2**20: [6]}[tokens]
            for name, layer in block.layers.items():
                x = torch.cat(list(block.inputs(layer)))
                assert x.dtype == torch.float32
                assert torch.allclose(x, wanted[name], rtol=1e-3, atol=1e-4), name
                ran += 1
    assert ran >= 8


def test_calls_end_where_they_are_told_to(monkeypatch):
    model, ids = tiny.opt(), tiny.ids(9)
    for stops, most, sizes in (
        ((), 4, [4, 4, 1]),
        ((2,), 4, [2, 4, 3]),
        ((3, 8, 8), 4, [3, 4, 1, 1]),
        ((9, 40), 9, [9]),
    ):
        monkeypatch.setattr(blocks, "TOKENS", most * ids.shape[1])
        for block in replayed(model, ids, stops):
            assert [len(x) for x in block.hidden] == sizes
            for stop in (n for n in stops if n < 9):
                assert sum(sizes[: block.until(stop)]) == stop
                assert len(block.run(stop)) == block.until(stop)
                first = next(iter(block.layers.values()))
                assert sum(map(len, block.inputs(first, stop))) == stop * ids.shape[1]
            assert block.until(None) == block.until(99) == len(sizes)


def test_attention_masks_hold_for_every_sample_of_a_call():
    """A token of one sample changes nothing before it, and in no other sample."""
    found = []
    for other in (5, 6):
        ids = tiny.ids(4)
        ids[2, 10] = other
        model = tiny.llama_gqa()
        with torch.no_grad():
            found.append([torch.cat(block.run()) for block in replayed(model, ids)])
    for a, b in zip(*found, strict=True):
        changed = (a != b).any(dim=2)
        assert changed[2, 10:].all()
        assert not changed[2, :10].any()
        assert not changed[[0, 1, 3]].any()


class Twice(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.inner = layer

    def forward(self, x):
        return self.inner(self.inner(x))


def test_a_layer_that_runs_twice_is_refused():
    model = tiny.opt()
    attention = model.model.decoder.layers[1].self_attn
    attention.out_proj = Twice(attention.out_proj)
    recipe = Recipe(weights=Weights(format="int8"), steps=(Gptq(),))
    message = r"^layer '\S*1.self_attn.out_proj.inner' runs 2 times in 1 calls of .* once in each$"
    with pytest.raises(ValueError, match=message):
        quant.quantize_(model, recipe, tiny.ids())


class Handing(nn.Module):
    """A block that puts out, besides, what it got, or takes what the one before put out."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, hidden, state=None, **kwargs):
        out = self.inner(hidden, **kwargs)
        out = out[0] if isinstance(out, tuple) else out
        return out, out.mean(dim=1) if state is None else state


def test_blocks_that_hand_on_more_than_hidden_states_are_refused():
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            model = tiny.llama()
            self.config, self.model = model.config, model.model
            self.blocks = nn.ModuleList(map(Handing, model.model.layers))
            model.model.layers = nn.ModuleList()

        def forward(self, input_ids, use_cache=False):
            x, state = self.model.embed_tokens(input_ids), None
            where = torch.arange(x.shape[1])[None]
            turned = self.model.rotary_emb(x, where)
            for block in self.blocks:
                x, state = block(x, state, position_embeddings=turned)
            return x

    model = Decoder()
    recipe = Recipe(weights=Weights(format="int8"), steps=(Gptq(),))
    with pytest.raises(ValueError, match="hand on hidden states alone: layer 1 of the model"):
        quant.quantize_(model, recipe, tiny.ids())


def test_what_runs_behind_a_module_is_left_out():
    model = tiny.opt()
    for block in replayed(model, tiny.ids()):
        ran = []
        hook = block.module.fc2.register_forward_pre_hook(lambda *_, ran=ran: ran.append(1))
        list(block.inputs(block.module.fc1))
        hook.remove()
        assert not ran
        with pytest.raises(ValueError, match="does not run one of its modules"):
            block.calls_of(nn.Linear(1, 1))


def test_quantized_attention_is_replayed_too():
    recipe = RECIPE.model_copy(update={"steps": (Gptq(),), "attention": Attention(
        key=Weights(format="int8"), value=Weights(format="int8"))})  # fmt: skip
    model = tiny.llama_gqa()
    wanted = model(input_ids=tiny.ids()).logits
    quant.quantize_(model, recipe, tiny.ids())
    assert (model(input_ids=tiny.ids()).logits - wanted).norm() < 0.05 * wanted.norm()
