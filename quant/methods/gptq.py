"""GPTQ (OPTQ): each column's error is spread over the columns that are not rounded yet."""

from collections.abc import Iterator, Sequence

import torch

from macsmith.quant import codes
from macsmith.quant.methods.kinds import Method
from macsmith.quant.nearest import nearest
from macsmith.quant.recipe import Recipe
from macsmith.quant.steps import Gptq
from macsmith.quant.weights import QuantizedWeight, encode_scaled, scales_of
from macsmith.sim.formats import Format

__all__ = ["METHOD", "hessian", "inverse_factor", "update_ratio"]

#: Columns that go together: the released code's block size.
COLUMNS = 128


def hessian(inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """2 X X^T over all tokens of inputs [tokens, K]: float64 [K, K]."""
    total = None
    for x in inputs:
        x = x.double()
        k = x.shape[1]
        total = x.new_zeros(k, k) if total is None else total
        for first in range(0, k, COLUMNS):  # from the diagonal on: the rest is the same
            rows = slice(first, first + COLUMNS)
            total[rows, first:] += x[:, rows].T @ x[:, first:]
    total = total.triu()
    return 2 * (total + total.triu(1).T)


def inverse_factor(h: torch.Tensor, damping: float) -> torch.Tensor:
    """U, upper triangular, with U^T U = (H + damping mean(diag H) I)^-1: float64 [K, K].

    An input that is always 0 gets a diagonal of 1, as in the released code: its weight is free.
    ValueError where the damping is too little, or too large, for float64.
    """
    h = h.clone()
    diagonal = h.diagonal()
    diagonal[diagonal == 0] = 1
    diagonal += damping * diagonal.mean()
    try:
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(h))
        return torch.linalg.cholesky(inverse, upper=True)
    except torch.linalg.LinAlgError:
        wanted = "more of it, or more tokens" if damping < 1 else "less of it"
        raise ValueError(
            f"gptq: no inverse of the Hessian with damping {damping:g}: wanted {wanted}"
        ) from None


def update_ratio(h: torch.Tensor, damping: float) -> torch.Tensor:
    """(H^-1)_{:,q} / (H^-1)_{q,q}: how far a unit of error in column q moves each other: [K, K]."""
    u = inverse_factor(h, damping)
    inverse = u.T @ u
    return inverse / inverse.diagonal()


def _round(
    inputs: Sequence[torch.Tensor], weight: torch.Tensor, step: Gptq, recipe: Recipe
) -> QuantizedWeight:
    fmt, options = recipe.spec().weights, recipe.weights
    k = weight.shape[1]
    size = min(options.group_size or k, k)
    h = hessian(inputs)
    w = weight.double()
    w[:, h.diagonal() == 0] = 0  # before any scale is taken: what becomes 0 is in no range
    order = torch.arange(k, device=w.device)
    if step.order == "activation":
        order = h.diagonal().argsort(descending=True, stable=True)
    u = inverse_factor(h[order][:, order], step.damping)
    s, z = scales_of(w.float(), fmt, options)
    w = w.T[order]  # [K, N]: a column's weights lie together
    fixed = step.group_scales == "fixed" or step.order == "activation"
    level = torch.empty_like(w, dtype=torch.float32)
    for block in _lazy(k, k if fixed else size):
        if not fixed and block.start % size == 0:
            _refresh(s, z, block.start // size, w[block.start : block.start + size].T, recipe)
        groups = order[block] // size
        mine = None if z is None else z[:, groups].T
        level[block], error = _in_turn(w[block], u[block, block], s[:, groups].T, mine, fmt)
        w[block.stop :] -= u[block, block.stop :].T @ error
    rounded = torch.empty_like(level)
    rounded[order] = level * 2.0**-fmt.frac_bits
    unit = torch.ones_like(s)  # every level is nearest to itself
    q = encode_scaled(rounded.T, unit, z, fmt, options.group_size)
    return QuantizedWeight(q, s, None if z is None else z.to(codes.code_dtype(fmt)))


def _lazy(k: int, size: int) -> Iterator[slice]:
    """Columns whose errors reach those behind them together: none of them is in two groups."""
    for first in range(0, k, size):
        last = min(first + size, k)
        for start in range(first, last, COLUMNS):
            yield slice(start, min(start + COLUMNS, last))


def _in_turn(
    w: torch.Tensor, u: torch.Tensor, s: torch.Tensor, z: torch.Tensor | None, fmt: Format
) -> tuple[torch.Tensor, torch.Tensor]:
    """Round columns ``w`` float64 [B, N] one by one, in place, at scales and zero points [B, N].

    ``u`` [B, B] is their part of the factor. Levels float32, and errors over the factor's diagonal,
    float64: [B, N].
    """
    level = torch.empty_like(w, dtype=torch.float32)
    error = torch.empty_like(w)
    value = s.double() * 2.0**-fmt.frac_bits  # of a level of 1
    diagonal = u.diagonal().tolist()
    for i, column in enumerate(w):
        units = (column.float() / s[i])[:, None]
        level[i] = nearest(units, fmt, None if z is None else z[i])[:, 0]
        torch.div(column - level[i] * value[i], diagonal[i], out=error[i])
        w[i + 1 :].addr_(u[i, i + 1 :], error[i], alpha=-1)
    return level, error


def _refresh(
    s: torch.Tensor, z: torch.Tensor | None, g: int, part: torch.Tensor, recipe: Recipe
) -> None:
    """Scales of group ``g`` from its weights as they are by now."""
    whole = recipe.weights.model_copy(update={"group_size": 0})
    new_s, new_z = scales_of(part.float(), recipe.spec().weights, whole)
    s[:, g] = new_s[:, 0]
    if z is not None:
        z[:, g] = new_z[:, 0]


METHOD = Method(round=_round, by_row=True)
