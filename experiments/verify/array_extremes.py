"""Extremes for a systolic array: a direction for each row and column, and what they must do to the
sum of each element."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement, product

from macsmith.experiments.verify.corners import levels_at
from macsmith.experiments.verify.sums import SIGNS, MacModel
from macsmith.sim.spec import MacSpec

__all__ = [
    "RESET_BIN", "Directions", "ElementSum", "at_limit_bins", "group_of", "left_bin", "signs_of",
    "ways_back",
]  # fmt: skip

#: A weight's code, an activation's, and a zero point.
Product = tuple[int, int, int]
MOST_SUMS = 2**12  # that a search for a way back goes through


def signs_of(spec: MacSpec) -> list[int]:
    """Signs that a product may have."""
    return [sign for sign in SIGNS if any(sign * x > 0 for x in spec.product_range)]


def group_of(spec: MacSpec) -> int:
    """Products after which overflow applies for good: 1 where groups make no difference."""
    return spec.lanes if spec.overflow == "saturate" else 1


@dataclass(frozen=True)
class _End:
    """An operand, and its zero point, at an end of its format's levels."""

    level: int
    code: int
    z: int = 0


class Directions:
    """Operands at the ends of their levels: those of neighbours in a row or a column differ.

    An element's product has the sign of its row's direction times its column's. Where a format
    has levels of one sign only, all of its operands are at the end that is further from 0.

    Parameters
    ----------
    spec : MacSpec
    rows, cols : int
    """

    def __init__(self, spec: MacSpec, rows: int, cols: int) -> None:
        self.spec, self.rows, self.cols = spec, rows, cols
        self._activations = [_End(u, code) for code, u in enumerate(spec.activations.levels)]
        weights, points = spec.weights, spec.weights.zero_points
        self._a_ends = _ends(self._activations)
        self._w_ends = _ends([
            _End(u, code, z) for z in (points[0], points[-1])
            for code, u in enumerate(levels_at(weights, z))
        ])  # fmt: skip
        self.both = len({end.level > 0 for end in self._a_ends}) == 2

    def codes(self, turn: int, numerator: int = 2) -> list[int]:
        """An activation for each row: ``numerator`` halves of the way to its end."""
        ends = [self._a_ends[(r + turn) % 2] for r in range(self.rows)]
        return [self._nearest(numerator * end.level).code for end in ends]

    def alone(self, row: int, turn: int) -> list[int]:
        """An end in one row, and in the others what is nearest to 0 and not on that side of it."""
        end = self._a_ends[turn % 2]
        still = [one for one in self._activations if one.level * end.level <= 0]
        quiet = min(still or self._activations, key=lambda one: abs(one.level)).code
        return [end.code if r == row else quiet for r in range(self.rows)]

    def weights(self, turn: int) -> tuple[list[int], list[int]]:
        """A weight and a zero point for each column."""
        ends = [self._w_ends[(c + turn) % 2] for c in range(self.cols)]
        return [end.code for end in ends], [end.z for end in ends]

    def products(self, turn: int) -> set[int]:
        """Of all elements, with activations in direction ``turn % 2`` and weights in the other."""
        ends = self._a_ends[turn % 2 :] + self._a_ends[: turn % 2]
        rows, cols = ends[: self.rows], self._w_ends
        cols = (cols[turn // 2 :] + cols[: turn // 2])[: self.cols]
        return {a.level * w.level for a in rows for w in cols}

    def back(self, row_turn: int, col_turn: int) -> tuple[int, int]:
        """Directions in which every product has the other sign, if the formats have it."""
        return (row_turn ^ 1, col_turn) if self.both else (row_turn, col_turn ^ 1)

    def sign(self, turn: int, col: int, col_turn: int) -> int:
        """Of the product in a column, of a row in the direction of row 0."""
        product = self._a_ends[turn % 2].level * self._w_ends[(col + col_turn) % 2].level
        return (product > 0) - (product < 0)

    def _nearest(self, twice: int) -> _End:
        return min(self._activations, key=lambda one: (abs(2 * one.level - twice), -abs(one.level)))


def _ends(operands: list[_End]) -> tuple[_End, _End]:
    """The greatest and the least; or twice the furthest from 0, where there is but one sign."""
    least, greatest = (pick(operands, key=lambda one: one.level) for pick in (min, max))
    if least.level < 0 < greatest.level:
        return greatest, least
    return (max(least, greatest, key=lambda one: abs(one.level)),) * 2


class ElementSum(MacModel):
    """An element's sum, and where it has been.

    Attributes
    ----------
    origin : str
        How the sum began.
    """

    def __init__(self, spec: MacSpec) -> None:
        self.lanes = group_of(spec)
        self.most = {sign: max(sign * x for x in spec.product_range) for sign in signs_of(spec)}
        self.count = 0
        super().__init__(spec)
        self.origin = RESET_BIN

    def start(self) -> None:
        self.origin = _begun(self.count % self.lanes)
        self._clamped = 0
        self._left: dict[int, int] = {}  # by places of this group, the sign of an overflow
        super().start()

    def product(self, w: int, a: int, z: int) -> int:
        if self.count % self.lanes == 0:
            self._clamped, self._left = self.overflowed, {}
        elif self.overflowed:
            self._left[self.count % self.lanes] = self.overflowed
        return super().product(w, a, z)

    def shown(self) -> Iterator[str]:
        """What a look at the sum now tells about the overflow."""
        sign, group = self.overflowed, self.group
        if sign:
            yield SIGNS[sign]
            ends = self.spec.acc_range
            whole = self.lanes * self.most.get(sign, 0)
            if self.base == ends[sign > 0] and sign * group == whole and self.lanes > 1:
                yield f"{SIGNS[sign]} by a whole group"
            return
        returned = []
        if self._clamped * group < 0:
            returned.append(f"back from {SIGNS[self._clamped]}")
        returned += [left_bin(sign, place) for place, sign in self._left.items()]
        yield from returned
        if returned:
            yield self.origin


RESET_BIN = "a sum on from a reset is back"


def left_bin(sign: int, place: int) -> str:
    return f"{SIGNS[sign]} after {place} of a group, and back within it"


def _begun(place: int) -> str:
    return f"a sum begun after {place} of a group is back"


@lru_cache(maxsize=64)
def ways_back(spec: MacSpec, sign: int) -> dict[int, list[Product]]:
    """By place in a group, products that lead from the end of the range out of it after so many of
    a group, and back within that group, which is the last of theirs.

    A search over the sums that whole groups leave, each of two products at most. Of many products
    those next to 0 and at the ends take part: so a place may be left out, but none is in that no
    sum can have.
    """
    lanes, products = spec.lanes, _steps(spec, sign)
    most, least = max(products), min(products)
    mixes = [_mixes(list(products), count) for count in range(lanes + 1)]
    bound = min(lanes * max(most, -least), 2**spec.acc_width - 1)
    found: dict[int, list[int]] = {}
    paths: dict[int, list[int]] = {0: []}  # by how far below the end a sum is
    waiting = deque(paths) if least < 0 < most else deque()
    while waiting and len(found) < lanes - 1:
        below = waiting.popleft()
        for place in set(range(1, lanes)) - found.keys():
            outside = range(below + 1, below - least * (lanes - place) + 1)
            if mix := next((mixes[place][x] for x in outside if x in mixes[place]), None):
                found[place] = [*paths[below], *mix, *[least] * (lanes - place)]
        for x, mix in mixes[lanes].items():
            left = max(0, below - x)
            if left <= bound and left not in paths and len(paths) < MOST_SUMS:
                paths[left] = [*paths[below], *mix]
                waiting.append(left)
    return {place: [products[x] for x in path] for place, path in found.items()}


def _steps(spec: MacSpec, sign: int) -> dict[int, Product]:
    """Products times the sign, and what makes them: at the ends, and those next to 0."""
    weights, a_levels = spec.weights, spec.activations.levels
    found: dict[int, Product] = {}
    for z in {weights.zero_points[0], weights.zero_points[-1]}:
        for (w, u), (a, v) in product(enumerate(levels_at(weights, z)), enumerate(a_levels)):
            found.setdefault(sign * u * v, (w, a, z))
    near = sorted(found, key=abs)
    some = {
        min(found),
        max(found),
        *[x for x in near if x >= 0][:5],
        *[x for x in near if x < 0][:4],
    }
    return {x: found[x] for x in some}


def _mixes(values: list[int], count: int) -> dict[int, list[int]]:
    """By sum, so many values of which at most two differ."""
    found: dict[int, list[int]] = {}
    for (x, y), k in product(combinations_with_replacement(values, 2), range(count + 1)):
        found.setdefault((count - k) * x + k * y, [*[x] * (count - k), *[y] * k])
    return found


def at_limit_bins(spec: MacSpec, signs: list[int], near: bool = True) -> list[str]:
    """Of `ElementSum.shown`, what a sum that can overflow these ways must have shown; where it
    takes long, not for every way in which a sum begins."""
    bins, lanes = [SIGNS[sign] for sign in signs], group_of(spec)
    if spec.overflow != "saturate":
        return bins
    if lanes > 1:
        bins += [f"{SIGNS[sign]} by a whole group" for sign in signs]
    if len(signs_of(spec)) == 2:
        bins += [f"back from {SIGNS[sign]}" for sign in signs]
        if lanes > 1 and signs:
            bins += [left_bin(sign, place) for sign in signs for place in ways_back(spec, sign)]
            bins += [RESET_BIN, *(_begun(place) for place in range(lanes))] if near else []
    return bins
