"""Which bit pattern should mean which level: a search for the cheapest decoder plus multiplier.

The levels are what a format computes with; which code has which level is free, and decides how
much logic stands between a weight and the rows of its product. The search keeps the levels and
permutes their codes.
"""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from amaranth import Module, Signal, Value
from amaranth.back import rtlil
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macsmith.hw import yosys
from macsmith.hw.multiplier import MULTIPLIERS, Multiplier
from macsmith.hw.synth import synthesize
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

__all__ = ["CodeMap", "Search", "search", "transistors"]

FINALISTS = 4  # maps that are synthesised with the multiplier, besides the format's own


@dataclass(frozen=True)
class CodeMap:
    """One assignment of codes to levels, and what it costs.

    Attributes
    ----------
    fmt : Format
    transistors : int
        Of what recodes a weight, in generic CMOS gates.
    area : float
        Of the whole multiplier: um2, or NAND2 equivalents without a library.
    met : bool or None
        Whether the multiplier meets the clock; None without a library.
    """

    fmt: Format
    transistors: int
    area: float
    met: bool | None


@dataclass(frozen=True)
class Search:
    """What a search found: the format's own map, the best one, and how many were looked at."""

    style: str
    own: CodeMap
    best: CodeMap
    tried: int
    rounds: int


def search(
    spec: MacSpec,
    style: str = "digits",
    technology=None,
    *,
    clock_ps: float = 1000.0,
    rounds: int = 12,
    batch: int = 60,
    seed: int = 0,
) -> Search:
    """Search code maps of ``spec.weights`` for multiplier ``style``; the same for the same seed.

    It starts from the format's own map and from the usual ones (levels in order, in order of two's
    complement, sign and magnitude), and goes from the best map seen to the best of ``batch`` random
    exchanges of two codes, until no exchange helps or ``rounds`` are over. The measure is the
    transistors of the recoding logic; the best few are then synthesised with the multiplier.

    ValueError for a zero-pointed format, whose codes are distances, for one with fewer than two
    bits, and for a style that cannot serve it.
    """
    fmt = spec.weights
    MULTIPLIERS.get(style, spec)
    if fmt.zero_pointed:
        raise ValueError(f"the codes of {fmt.name} are distances from a zero point: none is free")
    if fmt.width < 2:
        raise ValueError(f"{fmt.name} has {2**fmt.width} codes: nothing to search")
    rng = random.Random(seed)
    costs = _measured(spec, style, {fmt.levels, *_usual(fmt)})
    used = 0
    for _ in range(rounds):
        best = min(costs, key=lambda levels: (costs[levels], levels))
        exchanges = list(combinations(range(2**fmt.width), 2))
        near = {
            _exchanged(best, i, j) for i, j in rng.sample(exchanges, min(batch, len(exchanges)))
        }
        found = _measured(spec, style, near - costs.keys())
        costs |= found
        used += 1
        exhausted = len(near) == len(exchanges)
        if exhausted and min(costs.values()) == costs[best]:
            break
    ranked = sorted(costs, key=lambda levels: (costs[levels], levels))[:FINALISTS]
    maps = [
        _synthesised(spec, style, levels, costs[levels], technology, clock_ps)
        for levels in dict.fromkeys([fmt.levels, *ranked])
    ]
    best = min(maps, key=lambda found: (found.met is False, found.area, found.transistors))
    return Search(style, maps[0], best, len(costs), used)


def transistors(recoders: Iterable[tuple[MacSpec, str]]) -> list[int]:
    """CMOS transistors of the logic that recodes a weight, for each (spec, multiplier style)."""
    modules = {f"map_{k}": _Recoder(*each) for k, each in enumerate(recoders)}
    text = "\n".join(
        rtlil.convert(component, name=name, emit_src=False) for name, component in modules.items()
    )
    passes = [
        "read_rtlil maps.il",
        "setattr -mod -unset top",  # each was converted as one
        "proc",
        "flatten -noscopeinfo",
        "opt -full",
        "techmap",
        "opt",
        "abc -g cmos",
        "opt_clean",
        "tee -q -o stat.json stat -tech cmos -json",
    ]
    stat = json.loads(yosys.run(passes, {"maps.il": text}, ["stat.json"])["stat.json"])["modules"]
    counts = {name.lstrip("\\"): each["estimated_num_transistors"] for name, each in stat.items()}
    return [int(counts[name]) for name in modules]


class _Recoder(wiring.Component):
    """What a multiplier does with a weight before it meets the activation."""

    def __init__(self, spec: MacSpec, style: str):
        self._m = Module()
        w = Signal(spec.weights.width)
        recoded = Value.cast(MULTIPLIERS.get(style, spec).build(spec).recode(self._m, w, None))
        super().__init__({"w": In(len(w)), "o": Out(len(recoded))})
        self._m.d.comb += [w.eq(self.w), self.o.eq(recoded.as_unsigned())]

    def elaborate(self, platform):
        return self._m


def _measured(spec: MacSpec, style: str, maps: Iterable[tuple[int, ...]]) -> dict:
    maps = sorted(maps)
    specs = [_with_levels(spec, levels) for levels in maps]
    return dict(zip(maps, transistors([(s, style) for s in specs]), strict=True)) if maps else {}


def _with_levels(spec: MacSpec, levels: tuple[int, ...]) -> MacSpec:
    fmt = spec.weights
    if levels == fmt.levels:
        return spec
    source = f"the levels of {fmt.name}, codes rearranged"
    other = Format(f"{fmt.name}_map", fmt.width, levels, fmt.frac_bits, source=source)
    return MacSpec(other, spec.activations, spec.acc_width, spec.overflow, spec.lanes)


def _synthesised(spec, style, levels, count, technology, clock_ps) -> CodeMap:
    spec = _with_levels(spec, levels)
    made = synthesize(Multiplier(spec, style), technology, clock_ps=clock_ps, name="multiplier")
    return CodeMap(spec.weights, count, made.size, made.met)


def _usual(fmt: Format) -> Iterator[tuple[int, ...]]:
    """Levels in order; in the order of two's complement; by sign and magnitude."""
    ascending = sorted(fmt.levels)
    half = len(ascending) // 2
    yield tuple(ascending)
    yield tuple(ascending[half:] + ascending[:half])
    by_magnitude = sorted(fmt.levels, key=lambda level: (abs(level), level < 0))
    yield (*by_magnitude[0::2], *by_magnitude[1::2])


def _exchanged(levels: tuple[int, ...], i: int, j: int) -> tuple[int, ...]:
    exchanged = list(levels)
    exchanged[i], exchanged[j] = exchanged[j], exchanged[i]
    return tuple(exchanged)
