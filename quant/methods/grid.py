"""Candidate scales: powers of how large a channel's activations and weights are."""

from itertools import product

import torch

__all__ = ["STEPS", "candidates"]

STEPS = tuple(k / 20 for k in range(20))
_LEAST = 1e-4


def candidates(x: torch.Tensor, w: torch.Tensor | None, grid: str) -> list[torch.Tensor]:
    """Scales [K] of representatives ``x`` of activations and ``w`` of weights, both [K].

    "2d": x^a w^-b; "1d": x^a w^-(1 - a), or x^a where ``w`` is None. Divided by
    sqrt(max min), as AWQ's released code does, so that no candidate shifts all channels together.
    A dead channel counts as 1e-4 before the power; in that code its scale is 1e-4 behind it.
    """
    if w is None:
        pairs = [(a, 0.0) for a in STEPS]
    elif grid == "1d":
        pairs = [(a, 1 - a) for a in STEPS]
    else:
        pairs = list(product(STEPS, STEPS))
    x = x.clamp(min=_LEAST)
    w = torch.ones_like(x) if w is None else w.clamp(min=_LEAST)
    found = []
    for a, b in pairs:
        s = (x**a * w**-b).clamp(min=_LEAST)
        found.append((s / (s.max() * s.min()).sqrt()).clamp(min=_LEAST))
    return found
