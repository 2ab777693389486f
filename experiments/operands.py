"""Operand streams for a unit: the codes that a real layer's products are made of, or uniform ones.

One stream is what one MAC sees: the products of one output after the other, each sum started with
`clear`. Real operands come from a quantized layer of an embedded model while it reads the held-out
documentation, so energy and equality are measured on what the unit is for.
"""

import itertools
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.models import locate
from macsmith.sim import golden
from macsmith.sim.codec import code_dtype
from macsmith.sim.spec import MacSpec

__all__ = [
    "KINDS", "LAYER", "MODEL", "Operands", "from_layer", "get", "layer_codes", "layer_input",
    "require_known", "uniform",
]  # fmt: skip

KINDS = ("layer", "uniform")
MODEL = "opt-mini"
#: The up projection in the middle of the model: the largest kind of matrix, and its input has been
#: through a norm, as most inputs have.
LAYER = {"opt-mini": "model.decoder.layers.3.fc1", "llama-mini": "model.layers.3.mlp.up_proj"}
STREAMS = 64  # one word of the bit-parallel simulation
PRODUCTS = 2048  # per stream, at least: 131,072 in all
TOKENS = 256


@dataclass(frozen=True)
class Operands:
    """Codes for S streams of C cycles; every cycle is one product.

    w, a    unsigned [S, C]
    z       unsigned [S, C], or None where the weights have no zero point
    clear   bool [S, C]: this product starts a new sum
    source  where the codes are from
    za      integer [S, C], or None for 0: zero point of a sum's activations
    """

    w: NDArray[np.unsignedinteger]
    a: NDArray[np.unsignedinteger]
    z: NDArray[np.unsignedinteger] | None
    clear: NDArray[np.bool_]
    source: str
    za: NDArray[np.integer] | None = None

    @property
    def products(self) -> int:
        return self.w.size

    def expected(self, spec: MacSpec) -> NDArray[np.int64]:
        """The accumulator after every product, int64 [S, C], by the golden model."""
        out = np.empty(self.w.shape, np.int64)
        for s in range(len(self.w)):
            starts = [*np.flatnonzero(self.clear[s]).tolist(), self.w.shape[1]]
            for first, last in itertools.pairwise(starts):
                z = None if self.z is None else int(self.z[s, first])
                part = slice(first, last)
                out[s, part] = golden.trace(
                    self.a[s, part].tolist(), self.w[s, part].tolist(), spec, z
                )
        return out


def require_known(kind: str) -> None:
    """ValueError unless operands are a name of KINDS or could be a file's."""
    if kind not in KINDS and not Path(kind).suffix:
        raise ValueError(
            f"operands must be one of {', '.join(KINDS)}, or a .npz or .csv file, not {kind!r}"
        )


def get(kind: str, spec: MacSpec, seed: int = 0) -> Operands:
    """Operands by name, one of KINDS, or from a file (`operands_file`); ValueError otherwise."""
    require_known(kind)
    if kind not in KINDS:
        from macsmith.experiments.operands_file import from_file

        return from_file(kind, spec)
    return from_layer(spec, seed) if kind == "layer" else uniform(spec, seed)


def uniform(spec: MacSpec, seed: int = 0, depth: int = 256) -> Operands:
    """Every code of both operands equally likely, in sums of ``depth`` products."""
    rng = np.random.default_rng(seed)
    shape = STREAMS, -(-PRODUCTS // depth) * depth

    def codes(fmt):
        return rng.integers(0, 2**fmt.width, shape, code_dtype(fmt))

    z = None
    if spec.weights.zero_pointed:
        sums = rng.integers(0, 2**spec.weights.width, (STREAMS, shape[1] // depth))
        z = np.repeat(sums, depth, axis=1).astype(code_dtype(spec.weights))
    clear = np.broadcast_to(np.arange(shape[1]) % depth == 0, shape)
    w, a = codes(spec.weights), codes(spec.activations)
    levels = spec.activations.level_range
    za = np.repeat(rng.integers(*levels, (STREAMS, shape[1] // depth), endpoint=True), depth, 1)
    return Operands(w, a, z, clear, "uniform codes", za)


def from_layer(spec: MacSpec, seed: int = 0, model: str = MODEL) -> Operands:
    """Products of randomly drawn outputs (token, channel) of one layer, in order of k."""
    layer, _, found = layer_codes(spec, model)
    tokens, depth = found.codes.shape
    rng = np.random.default_rng(seed)
    sums = STREAMS, -(-PRODUCTS // depth)
    t, n = rng.integers(0, tokens, sums), rng.integers(0, layer.out_features, sums)

    def streams(rows):
        return np.ascontiguousarray(rows.reshape(STREAMS, -1))

    z = None
    if layer.zero_point is not None:
        z = streams(np.repeat(layer.zero_point.numpy()[n, 0][..., None], depth, axis=-1))
    w, a = layer.qweight.numpy()[n], found.codes.numpy()[t]  # (streams, sums, depth)
    clear = np.broadcast_to(np.arange(depth) == 0, w.shape)
    source = f"{model}, {LAYER[model]}, {tokens} tokens of the held-out documentation"
    za = streams(np.repeat(found.zero.numpy()[t].astype(np.int64)[..., None], depth, axis=-1))
    return Operands(streams(w), streams(a), z, streams(clear), source, za)


@lru_cache(maxsize=32)
def layer_codes(spec: MacSpec, model: str = MODEL) -> Any:
    """The layer, quantized by round-to-nearest, and its operands: (`QuantLinear`, `Operands`)."""
    from macsmith.quant.linear import QuantLinear
    from macsmith.quant.recipe import Activations, Weights
    from macsmith.quant.weights import quantize_weight

    linear, x = layer_input(model)
    affine = spec.activations.is_twos_complement
    layer = QuantLinear(
        *quantize_weight(linear.weight, spec.weights, Weights(format=spec.weights.name))[:3],
        linear.bias,
        spec=spec,
        activations=Activations(scheme="token-asymmetric" if affine else "token-symmetric"),
    )
    return layer, x, layer.quantize_input(x)


@lru_cache(maxsize=2)
def layer_input(model: str) -> Any:
    """The float layer and its input, float32 [tokens, K]."""
    import torch

    from macsmith.experiments.models.text import evaluation_text
    from macsmith.quant.io import load_model, load_tokenizer

    net = load_model(locate(model))
    linear = net.get_submodule(LAYER[model])
    seen = []
    hook = linear.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        net(input_ids=evaluation_text(load_tokenizer(locate(model))).ids[None, :TOKENS])
    hook.remove()
    return linear, seen[0].reshape(-1, linear.in_features)
