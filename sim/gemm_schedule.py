"""The order in which a layer passes through a GEMM tile, and the place of each result.

`Schedule` is that of output-stationary tiles: a layer of T tokens, N channels and K products
becomes tiles of ``rows`` x ``cols`` outputs, each K beats long. `WeightSchedule` is that of
weight-stationary ones: for ``cols`` channels and ``rows`` products at a time all tokens pass, and a
tile is the results of one of them. Channels are outside and tokens inside, so that what belongs to
a channel changes rarely. Rows and columns of a tile that reach beyond the layer get code 0, and
their results are dropped. No simulator is needed here, and no array library: codes are plain
integers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from macsmith.sim.spec import MacSpec

__all__ = ["Channel", "Schedule", "WeightSchedule"]


@dataclass(frozen=True, slots=True)
class Channel:
    """One output channel: its weights' codes [K], and how its sums are requantized.

    ``zero`` is the zero point of the result, ``weight_zero`` that of the weights (zero-pointed
    formats only).
    """

    codes: Sequence[int]
    multiplier: int
    shift: int
    zero: int = 0
    weight_zero: int | None = None


class Schedule:
    """Beats, tiles and results of one layer, named as the members of `macsmith.hw.gemm.Gemm`.

    Parameters
    ----------
    spec : MacSpec
    tokens : sequence of sequences of int
        Activation codes [T][K].
    channels : sequence of Channel
    rows, cols : int
        Of the tile.
    zero_points : sequence of int, optional
        One for each token; without it there is no correction.

    Raises
    ------
    ValueError
        If there is nothing to do, or not every token and channel has K codes.
    """

    def __init__(
        self,
        spec: MacSpec,
        tokens: Sequence[Sequence[int]],
        channels: Sequence[Channel],
        rows: int,
        cols: int,
        zero_points: Sequence[int] | None = None,
    ):
        if not (len(tokens) and len(channels) and len(tokens[0])):
            raise ValueError("a layer needs a token, a channel and a product")
        self.depth = len(tokens[0])
        spec.check_depth(self.depth)
        for what, lengths in (
            ("token", map(len, tokens)),
            ("channel", (len(channel.codes) for channel in channels)),
        ):
            for k, length in enumerate(lengths):
                if length != self.depth:
                    raise ValueError(f"{what} {k} has {length} codes, not {self.depth}")
        if zero_points is not None and len(zero_points) != len(tokens):
            raise ValueError(
                f"{len(tokens)} tokens need as many zero points, not {len(zero_points)}"
            )
        self.spec, self.rows, self.cols = spec, rows, cols
        self.height = rows  # tokens of a tile
        self.tokens, self.channels, self.zero_points = tokens, channels, zero_points
        #: Of each channel, the levels of its weights added up: what zero points are multiplied by.
        self.weight_sums = [self._weight_sum(channel) for channel in channels]

    @property
    def places(self) -> list[tuple[int, int]]:
        """The first token and channel of every tile, in order."""
        return [
            (t, n)
            for n in range(0, len(self.channels), self.cols)
            for t in range(0, len(self.tokens), self.height)
        ]

    def beats(self) -> Iterator[dict]:
        """What enters at ``i``: K beats for each tile."""
        for t, n in self.places:
            tokens, channels = self._cut(t, n)
            rows = _padded([iter(codes) for codes in tokens], self.rows, None)
            cols = _padded([iter(c.codes) for c in channels], self.cols, None)
            z = _padded([c.weight_zero for c in channels], self.cols, 0)
            for k in range(self.depth):
                yield {
                    "first": int(k == 0),
                    "last": int(k == self.depth - 1),
                    "a": [0 if codes is None else int(next(codes)) for codes in rows],
                    "w": [0 if codes is None else int(next(codes)) for codes in cols],
                    **({"z": z} if self.spec.weights.zero_pointed else {}),
                }

    def tiles(self) -> Iterator[dict]:
        """What enters at ``tile``, once for each."""
        for t, n in self.places:
            _, channels = self._cut(t, n)
            correction = {}
            if self.zero_points is not None:
                correction = {
                    "za": _padded(list(self.zero_points[t : t + self.height]), self.height, 0),
                    "weight_sum": _padded(list(self.weight_sums[n : n + self.cols]), self.cols, 0),
                }
            yield correction | {
                "multiplier": _padded([c.multiplier for c in channels], self.cols, 0),
                "shift": _padded([c.shift for c in channels], self.cols, 0),
                "zero_point": _padded([c.zero for c in channels], self.cols, 0),
            }

    @property
    def count(self) -> int:
        """Results that leave, those to be dropped included."""
        return len(self.places) * self.height * self.cols

    def collect(self, results: Sequence[int]) -> list[list[int]]:
        """[T][N] from all results, in the order in which they left; ValueError if not `count`."""
        if len(results) != self.count:
            raise ValueError(f"{self.count} results are wanted, not {len(results)}")
        out = [[0] * len(self.channels) for _ in self.tokens]
        left = iter(results)
        for t0, n0 in self.places:
            for t in range(t0, t0 + self.height):
                for n in range(n0, n0 + self.cols):
                    result = next(left)
                    if t < len(out) and n < len(self.channels):
                        out[t][n] = int(result)
        return out

    def _cut(self, t: int, n: int) -> tuple[Sequence[Sequence[int]], Sequence[Channel]]:
        return self.tokens[t : t + self.height], self.channels[n : n + self.cols]

    def _weight_sum(self, channel: Channel) -> int:
        levels = self.spec.weights.levels_at(channel.weight_zero or 0)
        return sum(levels[code] for code in channel.codes)


class WeightSchedule(Schedule):
    """Loads, beats, tiles and results of one layer through a weight-stationary tile.

    Parameters are those of `Schedule`.

    Raises
    ------
    ValueError
        As of `Schedule`; or if the products do not fill the rows, and activations have no code of
        level 0 to fill them up with.
    """

    def __init__(self, spec: MacSpec, tokens, channels, rows: int, cols: int, zero_points=None):
        super().__init__(spec, tokens, channels, rows, cols, zero_points)
        self.height = 1
        levels = spec.activations.levels
        if self.depth % rows and 0 not in levels:
            raise ValueError(
                f"{self.depth} products do not fill rows of {rows}, and {spec.activations.name} "
                "has no level 0 to fill them up with"
            )
        self._still = levels.index(0) if 0 in levels else 0

    def loads(self) -> Iterator[dict]:
        """What enters at ``load``: ``rows`` beats for each group of channels and of products."""
        for n, k in self._passes():
            _, channels = self._cut(0, n)
            z = _padded([c.weight_zero for c in channels], self.cols, 0)
            for row in range(k, k + self.rows):
                w = [int(c.codes[row]) if row < self.depth else 0 for c in channels]
                yield {
                    "w": _padded(w, self.cols, 0),
                    **({"z": z} if self.spec.weights.zero_pointed else {}),
                }

    def beats(self, partial: Iterator[Sequence[int]]) -> Iterator[dict]:
        """What enters at ``i``: all tokens, for each group of channels and of products.

        ``partial`` gives the rows of sums that leave at ``partial``, in their order; one is asked
        for when it is needed, for the token that it belongs to.
        """
        for _, k in self._passes():
            for t, codes in enumerate(self.tokens):
                a = [int(code) for code in codes[k : k + self.rows]]
                yield {
                    "first": int(t == 0),
                    "last": int(k + self.rows >= self.depth),
                    "a": _padded(a, self.rows, self._still),
                    "acc": list(next(partial)) if k else [0] * self.cols,
                }

    def _passes(self) -> Iterator[tuple[int, int]]:
        """The first channel and product of what is loaded at a time, in order."""
        for n in range(0, len(self.channels), self.cols):
            for k in range(0, self.depth, self.rows):
                yield n, k


def _padded(items: list, count: int, filler) -> list:
    return items + [filler] * (count - len(items))
