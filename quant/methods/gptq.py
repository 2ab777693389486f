"""GPTQ (OPTQ): each column's error is spread over the columns that are not rounded yet."""

from collections.abc import Sequence

import torch

from macsmith.quant import codes
from macsmith.quant.methods.kinds import Method
from macsmith.quant.recipe import Recipe
from macsmith.quant.steps import Gptq
from macsmith.quant.weights import QuantizedWeight, scales_of

__all__ = ["METHOD", "hessian", "inverse_factor", "update_ratio"]


def hessian(inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """2 X X^T over all tokens of inputs [tokens, K]: float64 [K, K]."""
    total = sum(x.double().T @ x.double() for x in inputs)
    return 2 * total


def inverse_factor(h: torch.Tensor, damping: float) -> torch.Tensor:
    """U, upper triangular, with U^T U = (H + damping mean(diag H) I)^-1: float64 [K, K].

    An input that is always 0 gets a diagonal of 1, as in the released code: its weight is free.
    """
    h = h.clone()
    diagonal = h.diagonal()
    diagonal[diagonal == 0] = 1
    diagonal += damping * diagonal.mean()
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)


def update_ratio(h: torch.Tensor, damping: float) -> torch.Tensor:
    """(H^-1)_{:,q} / (H^-1)_{q,q}: how far a unit of error in column q moves each other: [K, K]."""
    u = inverse_factor(h, damping)
    inverse = u.T @ u
    return inverse / inverse.diagonal()


def _round(
    inputs: Sequence[torch.Tensor], weight: torch.Tensor, step: Gptq, recipe: Recipe
) -> QuantizedWeight:
    fmt, options = recipe.spec().weights, recipe.weights
    n, k = weight.shape
    size = min(options.group_size or k, k)
    h = hessian(inputs)
    w = weight.double()
    w[:, h.diagonal() == 0] = 0
    order = torch.arange(k, device=w.device)
    if step.order == "activation":
        order = h.diagonal().argsort(descending=True, stable=True)
    u = inverse_factor(h[order][:, order], step.damping)
    w = w[:, order]
    fixed = step.group_scales == "fixed" or step.order == "activation"
    s, z = scales_of(weight.float(), fmt, options)
    q = torch.empty(n, k, dtype=codes.code_dtype(fmt), device=w.device)
    for i in range(k):
        channel = int(order[i])
        g = channel // size
        if not fixed and channel % size == 0:
            _refresh(s, z, g, w[:, i : i + size], recipe)
        mine = None if z is None else z[:, g]
        code = codes.encode_rows((w[:, i].float() / s[:, g])[:, None], fmt, mine)
        level = codes.levels(code, fmt, mine)[:, 0].double()
        q[:, channel] = code[:, 0]
        error = (w[:, i] - level * s[:, g].double() * 2.0**-fmt.frac_bits) / u[i, i]
        w[:, i + 1 :] -= error[:, None] * u[i, i + 1 :]
    return QuantizedWeight(q, s, None if z is None else z.to(codes.code_dtype(fmt)))


def _refresh(
    s: torch.Tensor, z: torch.Tensor | None, g: int, part: torch.Tensor, recipe: Recipe
) -> None:
    """Scales of group ``g`` from its weights as they are by now."""
    whole = recipe.weights.model_copy(update={"group_size": 0})
    new_s, new_z = scales_of(part.float(), recipe.spec().weights, whole)
    s[:, g] = new_s[:, 0]
    if z is not None:
        z[:, g] = new_z[:, 0]


METHOD = Method(round=_round)
