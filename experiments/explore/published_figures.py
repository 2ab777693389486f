"""What others have published of multipliers and MACs: numbers and sources, and what ours is.

A figure is one number of a source, or the quotient of two. Quotients are compared wherever
processes differ, absolute numbers only in the library whose node is the source's. Sources say
little of their conditions: `less` and `more` are differences between the two that move ours so.
"""

from dataclasses import dataclass
from typing import Any

from macsmith.experiments.units import get_unit
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

__all__ = ["AREA", "ENERGY", "FIGURES", "Figure", "Part"]

AREA, ENERGY = "area", "energy"
#: A float MAC takes about three times as long as an integer one, so the two share a slower clock.
SLOW = 4


@dataclass(frozen=True)
class Part:
    """A unit to build: its formats, its options, and how many usual clock periods it may take."""

    unit: str
    weights: str | Format = "int8"
    activations: str | Format = "int8"
    periods: int = 1
    options: tuple[tuple[str, Any], ...] = ()
    operands: str = "layer"

    @property
    def name(self) -> str:
        if get_unit(self.unit).weighs:
            return f"{self.spec.weights.name} x {self.spec.activations.name} {self.unit}"
        return " ".join([*(str(value) for _, value in self.options), self.unit])

    @property
    def spec(self) -> MacSpec:
        return MacSpec(self.weights, self.activations, 32)


@dataclass(frozen=True)
class Figure:
    """A published number, and the units of ours that it is compared with.

    Attributes
    ----------
    name, source : str
    of : str
        AREA or ENERGY: which of a unit's costs it is.
    figure, over : float
        The source's own number, and the one that it is divided by, or None.
    part, divisor : Part
        Ours, of ``figure`` and of ``over``.
    less, more : str
        Why ours may be less, and more, than theirs.
    pdk : str or None
        The only library that it is compared in.
    """

    name: str
    source: str
    of: str
    figure: float
    part: Part
    less: str
    more: str
    over: float | None = None
    divisor: Part | None = None
    pdk: str | None = None

    @property
    def theirs(self) -> float:
        return self.figure if self.over is None else self.figure / self.over

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.part,) if self.divisor is None else (self.part, self.divisor)


def _unsigned(width: int) -> Part:
    """A multiplier of unsigned integers, ``width`` bits by 8."""
    weights, activations = (
        Format(f"uint{n}", n, tuple(range(2**n)), source="unsigned integers") for n in (width, 8)
    )
    return Part("multiplier", weights, activations, operands="uniform")


INT8 = Part("multiplier", operands="uniform")
INT8_MAC = Part("mac")
SLOW_INT8_MAC = Part("mac", periods=SLOW)
FP16_MAC = Part("float_mac", periods=SLOW, options=(("fmt", "fp16"),))

EVOAPPROX = (
    "EvoApproxLib, github.com/ehw-fit/evoapproxlib: heads of the files of circuits without error, "
    "PDK45: mul8u_1JFF (Mrazek et al., DATE 2017), mul8s_1KV6 (Mrazek et al., IEEE TVLSI "
    "26(11), 2018), mul8x4u_2DB, mul8x3u_003, mul8x2u_0C8 (Mrazek et al., IEEE JETCAS 10(4), 2020)"
)
#: um2 and mW by bits of the other factor, which has 8.
UNSIGNED = {8: (709.6, 0.391), 4: (342.6, 0.137), 3: (247.3, 0.082), 2: (109.8, 0.033)}
SIGNED_8X8 = 729.8

HOROWITZ = (
    "M. Horowitz, Computing's Energy Problem (and what we can do about it), ISSCC 2014: energies "
    "at 45 nm, 0.9 V"
)
HOROWITZ_AREAS = (
    "areas at 45 nm that are quoted beside Horowitz's energies: Design Compiler, TSMC 45 nm, float "
    "units of DesignWare (S. Han, Stanford CS231n, lecture 15, 2017)"
)
#: um2 and pJ of one operation.
ADD = {"int32": (137, 0.1), "fp16": (1360, 0.4), "float32": (4184, 0.9)}
MULTIPLY = {"int8": (282, 0.2), "fp16": (1640, 1.1)}

TPU = (
    "N. Jouppi et al., Ten Lessons From Three Generations Shaped Google's TPUv4i, ISCA 2021: "
    "energies at 45 and 7 nm"
)
TPU_ADD_INT32, TPU_MULTIPLY_INT8 = 0.03, 0.07  # pJ at 7 nm

LEE = "Lee et al., EMNLP 2023, arXiv 2311.05161, table 2: commercial 7 nm, 1 GHz"
LEE_INT8_MAC = 86.33  # um2

_STRUCTURES = (
    "structures and cells: ours is the smallest of several structures at each width, theirs the "
    "one that was published"
)
_HAZARDS = (
    "in part hazards: our nets move once a cycle at most; hazards, or estimates of activity that "
    "grow with depth, charge the 8 x 8 more"
)
_OPERANDS = "operands: ours are every code with equal likelihood, theirs are not given"
_FUSED = (
    "ours has registers, the same 32 bits in both, and its float MAC rounds once and has no flags; "
    "theirs are a multiplier and an adder, and each of the float ones rounds"
)
_BARE = "theirs are operators without registers, at a clock that is not given"


def _narrow(width: int, of: str) -> Figure:
    name = f"unsigned 8 x {width} over 8 x 8: {'area' if of == AREA else 'power'}"
    figure, over = (UNSIGNED[n][of == ENERGY] for n in (width, 8))
    less, more = (_STRUCTURES, _STRUCTURES) if of == AREA else (_OPERANDS, _HAZARDS)
    return Figure(
        name, EVOAPPROX, of, figure, _unsigned(width), less, more, over, _unsigned(8)
    )  # fmt: skip


def _to_float(sums: str, of: str) -> Figure:
    """An INT8 multiplication and an INT32 addition, over an FP16 multiplication and an addition."""
    name = f"INT8 MAC over FP16 MAC with {sums} sums: {of}"
    source, at = (HOROWITZ_AREAS, 0) if of == AREA else (HOROWITZ, 1)
    figure = MULTIPLY["int8"][at] + ADD["int32"][at]
    over = MULTIPLY["fp16"][at] + ADD[sums][at]
    return Figure(name, source, of, figure, SLOW_INT8_MAC, _BARE, _FUSED, over, FP16_MAC)


FIGURES = (
    _narrow(4, AREA),
    _narrow(3, AREA),
    _narrow(2, AREA),
    _narrow(4, ENERGY),
    _narrow(3, ENERGY),
    _narrow(2, ENERGY),
    Figure(
        "signed 8 x 8 over unsigned 8 x 8: area",
        EVOAPPROX, AREA, SIGNED_8X8, INT8,
        "our levels are signed, and an unsigned code of 8 bits has one of 9; theirs has 8",
        _STRUCTURES,
        UNSIGNED[8][0], _unsigned(8),
    ),
    Figure(
        "INT8 multiplier over INT8 MAC: area",
        HOROWITZ_AREAS, AREA, MULTIPLY["int8"][0], INT8,
        "their MAC is a multiplier and an adder; ours has the register of its sum as well, with "
        "enable and clear, and makes product and sum in one clock period",
        _STRUCTURES,
        MULTIPLY["int8"][0] + ADD["int32"][0], INT8_MAC,
    ),
    _to_float("float32", AREA),
    _to_float("fp16", AREA),
    _to_float("float32", ENERGY),
    _to_float("fp16", ENERGY),
    Figure(
        "INT8 MAC at 7 nm: pJ",
        TPU, ENERGY, TPU_MULTIPLY_INT8 + TPU_ADD_INT32, INT8_MAC,
        "ours has a real layer's operands, 0.7 V, and wires without capacitance",
        "ours has registers and their clock; theirs are operators",
        pdk="asap7",
    ),
    Figure(
        "INT8 MAC at 7 nm, 1 GHz: um2",
        LEE, AREA, LEE_INT8_MAC, INT8_MAC,
        "ours is the smallest style; their structure and accumulator are not given",
        "their structure and accumulator are not given",
        pdk="asap7",
    ),
)  # fmt: skip
