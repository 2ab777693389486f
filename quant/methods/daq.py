"""DAQ: a range centred where the weights are dense, then adjusted by what the output says."""

import math
from collections.abc import Callable, Sequence

import torch

from macsmith.quant import scale
from macsmith.quant.methods.kinds import Method
from macsmith.quant.nearest import nearest
from macsmith.quant.recipe import Recipe
from macsmith.quant.steps import Daq
from macsmith.quant.weights import QuantizedWeight, encode_scaled
from macsmith.sim.formats import Format

__all__ = ["METHOD", "Fit", "aligned"]

MOST = 1e6  # of a step: nobody explores so far, and a scale beyond is soon none of float32
ROWS = 256  # of a triangular factor: products that are still quick, and few zeros among the rest


def aligned(w: torch.Tensor, fmt: Format, step: Daq) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales and offsets [...] of rows ``w`` [..., size] before any adjustment, float32.

    A quantile lies between the two nearest weights, in proportion. A constant row gets the least
    normal scale, and itself as offset; a range that begins around 0 reaches for it.
    """
    ordered = w.sort(dim=-1).values
    tail = (1 - step.coverage) / 2
    center = (_quantile(ordered, tail) + _quantile(ordered, 1 - tail)) / 2
    far = torch.maximum(ordered[..., -1] - center, center - ordered[..., 0])
    if step.start == "center":
        return scale.symmetric(step.reach * far, fmt), center
    far = torch.where(far > 0, far, center.abs())
    return scale.symmetric(step.reach * far, fmt), torch.zeros_like(center)


class Fit:
    """The error of rows [G, N, size] as a function of their scales and offsets [G, N], float32.

    Outputs are products in float32, as the weights are: float64 takes twice the time, and the
    points that it leads to are no better. Their squares are summed in float64.

    Parameters
    ----------
    w : Tensor
        float32 [G, N, size].
    x : Tensor
        Inputs of the groups, float32 [G, tokens, size].
    fmt : Format
    """

    def __init__(self, w: torch.Tensor, x: torch.Tensor, fmt: Format) -> None:
        self.w, self.fmt = w, fmt
        x = x.double() / math.sqrt(x.shape[1])
        self._parts = [(0, x.mT.float())]  # the first column of a part, and the part from there on
        if x.shape[1] >= x.shape[2]:
            # The triangular factor: as many rows as columns, and the same norms.
            r = torch.linalg.qr(x, mode="r").R.float()
            starts = range(0, r.shape[2], ROWS)
            self._parts = [(first, r[:, first : first + ROWS, first:].mT) for first in starts]

    def error(self, s: torch.Tensor, o: torch.Tensor) -> torch.Tensor:
        """Mean over tokens of (x Q(w) - x w)^2 by row: float64 [G, N]."""
        s, o = s[..., None], o[..., None]
        level = nearest((self.w - o).div_(s), self.fmt)
        gap = level.mul_(s * 2.0**-self.fmt.frac_bits).add_(o).sub_(self.w)
        outputs = (gap[..., first:] @ x for first, x in self._parts)
        return sum(y.square_().sum(dim=-1, dtype=torch.float64) for y in outputs)

    def adjusted(
        self,
        s: torch.Tensor,
        o: torch.Tensor,
        step: Daq,
        watch: Callable[[torch.Tensor], None] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The point that is reached from (s, o); it never becomes worse.

        ``watch(error)`` is called with the errors of the points, first and after each iteration.
        """
        watch = watch or (lambda error: None)
        error = self.error(s, o)
        watch(error)
        idle = 0
        for _ in range(step.epochs):
            idle += 1
            low, high = step.step / step.rate, min(step.step * step.rate, MOST)
            for j in range(step.iterations):
                low, high = (
                    (low * step.decay, high) if j % 2 else (low, min(high * step.growth, MOST))
                )
                e = low if j % 2 else high
                before = error
                # zp + e and zp - e: an offset is -zp s.
                s, o, error = self._better(s, o, error, (s, o - e * s), (s, o + e * s))
                sides = [(s * f, o * f) for f in (1 - e, 1 + e)]  # the zero point stays
                s, o, error = self._better(s, o, error, *sides)
                watch(error)
                idle += torch.equal(error, before)
                if idle > step.patience and torch.equal(error, before):
                    break
        return s, o

    def _better(self, s, o, error, *sides):
        """Each row's better side where it beats the row's point; where both are equal, none."""
        sides = [(a.clamp(min=scale.TINY), b) for a, b in sides]
        first, second = (self.error(*side) for side in sides)
        for mine, other, side in ((first, second, sides[0]), (second, first, sides[1])):
            taken = (mine < other) & (mine < error)
            s, o = torch.where(taken, side[0], s), torch.where(taken, side[1], o)
            error = torch.where(taken, mine, error)
        return s, o, error


def _quantile(ordered: torch.Tensor, q: float) -> torch.Tensor:
    place = q * (ordered.shape[-1] - 1)
    below = ordered[..., math.floor(place)]
    return below + (ordered[..., math.ceil(place)] - below) * (place - math.floor(place))


def _round(
    inputs: Sequence[torch.Tensor], weight: torch.Tensor, step: Daq, recipe: Recipe
) -> QuantizedWeight:
    fmt, size = recipe.spec().weights, recipe.weights.group_size
    k = weight.shape[1]
    whole = min(size or k, k)
    full = k - k % whole
    x = torch.cat(list(inputs))
    found = []
    for part, width in ((slice(0, full), whole), (slice(full, k), k - full)):  # the last is short
        if width:
            w, mine = (y[:, part].unflatten(1, (-1, width)).movedim(1, 0) for y in (weight, x))
            found.append(Fit(w, mine, fmt).adjusted(*aligned(w, fmt, step), step))
    s, o = (torch.cat(parts).T.contiguous() for parts in zip(*found, strict=True))
    q = encode_scaled(weight, s, None, fmt, size, o)
    return QuantizedWeight(q, s, None, offset=o)


METHOD = Method(round=_round)
