"""llama2.c's format: a file made here against a model that computes as its code does."""

import math
import struct

import pytest
import torch

from macsmith.experiments.models.llama2c import convert, own_text, read
from macsmith.quant.io import load_model

WIDTH, HIDDEN, LAYERS, HEADS, SHARED, VOCABULARY, CONTEXT = 16, 24, 2, 4, 2, 11, 8
HEAD = WIDTH // HEADS


def write(path, tied=True, cut=0):
    """A file of random numbers, and the tensors by name."""
    draw = torch.Generator().manual_seed(0)
    kv = SHARED * HEAD
    shapes = {
        "emb": (VOCABULARY, WIDTH), "n1": (LAYERS, WIDTH), "q": (LAYERS, WIDTH, WIDTH),
        "k": (LAYERS, kv, WIDTH), "v": (LAYERS, kv, WIDTH), "o": (LAYERS, WIDTH, WIDTH),
        "n2": (LAYERS, WIDTH), "w1": (LAYERS, HIDDEN, WIDTH), "w2": (LAYERS, WIDTH, HIDDEN),
        "w3": (LAYERS, HIDDEN, WIDTH), "n": (WIDTH,), "rot": (2, CONTEXT, HEAD // 2),
    }  # fmt: skip
    if not tied:
        shapes["cls"] = (VOCABULARY, WIDTH)
    t = {name: torch.randn(shape, generator=draw) / 3 for name, shape in shapes.items()}
    head = (WIDTH, HIDDEN, LAYERS, HEADS, SHARED, VOCABULARY if tied else -VOCABULARY, CONTEXT)
    raw = struct.pack("<7i", *head) + b"".join(x.numpy().tobytes() for x in t.values())
    path.write_bytes(raw[: len(raw) - cut])
    return t


def by_hand(t, ids):
    """Logits of each token, position by position, as llama2.c's code goes."""

    def norm(x, w):
        return x * torch.rsqrt(x.pow(2).mean() + 1e-5) * w

    keys, values, out = [[] for _ in range(LAYERS)], [[] for _ in range(LAYERS)], []
    for pos, token in enumerate(ids):
        x = t["emb"][token].clone()
        for i in range(LAYERS):
            h = norm(x, t["n1"][i])
            q, k, v = t["q"][i] @ h, t["k"][i] @ h, t["v"][i] @ h
            for vector in (q, k):
                for j in range(0, len(vector), 2):
                    angle = pos * 10000.0 ** -((j % HEAD) / HEAD)
                    a, b = vector[j].item(), vector[j + 1].item()
                    vector[j] = a * math.cos(angle) - b * math.sin(angle)
                    vector[j + 1] = a * math.sin(angle) + b * math.cos(angle)
            keys[i].append(k)
            values[i].append(v)
            mixed = []
            for n in range(HEADS):
                at = slice(n * SHARED // HEADS * HEAD, (n * SHARED // HEADS + 1) * HEAD)
                mine = q[n * HEAD : (n + 1) * HEAD]
                scores = torch.stack([mine @ past[at] for past in keys[i]]) / math.sqrt(HEAD)
                p = scores.softmax(dim=0)
                mixed.append(sum(w * past[at] for w, past in zip(p, values[i], strict=True)))
            x = x + t["o"][i] @ torch.cat(mixed)
            h = norm(x, t["n2"][i])
            gate = t["w1"][i] @ h
            x = x + t["w2"][i] @ (gate * torch.sigmoid(gate) * (t["w3"][i] @ h))
        out.append(t.get("cls", t["emb"]) @ norm(x, t["n"]))
    return torch.stack(out)


@pytest.mark.parametrize("tied", [True, False])
def test_a_converted_folder_computes_what_the_code_does(tmp_path, tied):
    t = write(tmp_path / "m.bin", tied)
    convert(tmp_path / "m.bin", tmp_path / "hf")
    ids = [1, 5, 3, 10, 0, 7]
    with torch.no_grad():
        found = load_model(tmp_path / "hf")(input_ids=torch.tensor([ids])).logits[0]
    torch.testing.assert_close(found, by_hand(t, ids), rtol=1e-4, atol=1e-4)


def test_its_own_text_follows_the_seed(tmp_path):
    write(tmp_path / "m.bin")
    model = read(tmp_path / "m.bin")
    found = own_text(model, 3, 5, seed=1)
    assert found.shape == (3, 5)
    assert torch.equal(found, own_text(model, 3, 5, seed=1))
    assert not torch.equal(found, own_text(model, 3, 5, seed=2))


def test_other_files_are_refused_in_one_line(tmp_path):
    write(tmp_path / "m.bin", cut=4)
    with pytest.raises(ValueError, match=r"wanted \d+ numbers after its header, \d+ came"):
        read(tmp_path / "m.bin")
    (tmp_path / "m.bin").write_bytes(b"\0" * 40)
    with pytest.raises(ValueError, match=r"wanted a llama2.c model, its header says \[0, 0"):
        read(tmp_path / "m.bin")
    (tmp_path / "m.bin").write_bytes(b"abc")
    with pytest.raises(ValueError, match=r"wanted a llama2\.c model, got 3 bytes"):
        read(tmp_path / "m.bin")
