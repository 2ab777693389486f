"""The points of an exploration: a declared grid of units, and what of it has to be measured.

Accumulators are as wide as asked, or just wide enough for DEPTH products. Pure declarations: how a
point is measured is `campaign`'s, what the points say together `findings`'.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from macsmith.experiments.hardware import DEPTH
from macsmith.experiments.units import get_unit
from macsmith.hw.recipes import ADDERS
from macsmith.sim.spec import MacSpec

__all__ = ["DEFAULT", "ENOUGH", "FULL", "QUICK", "Family", "Point", "points"]

ENOUGH = 0  # as an accumulator's width: just wide enough for DEPTH products
_WIDEST = 62
GATES = ADDERS[0]


@dataclass(frozen=True)
class Point:
    """One synthesis: everything that decides its result but the library and the code.

    Attributes
    ----------
    unit, style, weights, activations : str
    acc_width : int
        Bits, or ENOUGH.
    lanes, pipeline, outputs : int
        Of units that have them; else 1, 0 and 1.
    clock_ps : float
    adders : str
        One of `hw.recipes.ADDERS`.
    booth : bool
        Products as Booth multipliers by Yosys, of the plain style.
    operands : str
        Of the energy; one of `operands.KINDS`.
    rows, cols : int
        Of an array; else 1.
    dataflow : str
        Of an array, which decodes at its edge; else "".
    hazards : bool
        Whether energy is measured with them, too: the same netlist in a slower simulation.
    """

    unit: str
    style: str
    weights: str
    activations: str
    acc_width: int
    lanes: int
    pipeline: int
    outputs: int
    clock_ps: float
    adders: str
    booth: bool
    operands: str
    rows: int = 1
    cols: int = 1
    dataflow: str = ""
    hazards: bool = False

    @property
    def spec(self) -> MacSpec:
        """What it computes; an accumulator that is wide enough never wraps."""
        if self.acc_width != ENOUGH:
            return MacSpec(self.weights, self.activations, self.acc_width, "wrap", self.lanes)
        wide = MacSpec(self.weights, self.activations, _WIDEST, "exact", self.lanes)
        return MacSpec(self.weights, self.activations, wide.depth_width(DEPTH), "exact", self.lanes)

    @property
    def options(self) -> dict[str, Any]:
        """The unit's own, as far as it has them, but an array's size."""
        if self.dataflow:
            return {"dataflow": self.dataflow, "decode": "edge"}
        mine = {"pipeline": self.pipeline, "outputs": self.outputs}
        return {k: v for k, v in mine.items() if k in get_unit(self.unit).options}

    @property
    def macs(self) -> int:
        """Products a cycle."""
        return self.lanes * self.outputs * self.rows * self.cols

    @property
    def operand_bits(self) -> float:
        """Bits of weights and activations that come in for one product.

        Outputs and columns share activations, and rows weights; stationary weights do not come in.
        """
        spec = self.spec
        weights = 0 if self.dataflow == "weight" else spec.weights.width / self.rows
        return weights + spec.activations.width / (self.outputs * self.cols)

    @property
    def label(self) -> str:
        """For a person."""
        acc = f"{self.spec.acc_width} bits{' (enough)' if self.acc_width == ENOUGH else ''}"
        words = [f"{self.unit} {self.weights} {self.style}{' (Booth)' if self.booth else ''}", acc]
        words += [f"{self.lanes} lanes"] if self.lanes > 1 else []
        words += [f"{self.outputs} outputs"] if self.outputs > 1 else []
        words += [f"pipeline {self.pipeline}"] if self.pipeline else []
        words += [f"{self.rows} x {self.cols}, {self.dataflow}"] if self.dataflow else []
        return ", ".join([*words, self.adders, f"{self.clock_ps:g} ps", self.operands])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Family:
    """Points that differ in every way: the product of all fields but ``hazards``. Styles that
    cannot serve a format are left out; no ``styles`` are all that can."""

    unit: str
    weights: tuple[str, ...]
    styles: tuple[str, ...] = ()
    acc_widths: tuple[int, ...] = (32, ENOUGH)
    lanes: tuple[int, ...] = (1,)
    pipelines: tuple[int, ...] = (0,)
    outputs: tuple[int, ...] = (1,)
    clocks: tuple[float, ...] = (1.0,)
    adders: tuple[str, ...] = ADDERS
    booth: tuple[bool, ...] = (False,)
    operands: tuple[str, ...] = ("layer",)
    activations: tuple[str, ...] = ("int8",)
    arrays: tuple[tuple[int, int, str], ...] = ((1, 1, ""),)
    hazards: bool = False

    def points(self, clock_ps: float, able: Collection[str] = ADDERS) -> Iterator[Point]:
        """In a fixed order; `clocks` are multiples of ``clock_ps``.

        Adders that are not among the ``able`` ones, for want of a cell, are gates.
        """
        unit = get_unit(self.unit)
        for weights, activations, acc, lanes, pipeline, outputs, array in product(
            self.weights, self.activations, self.acc_widths, self.lanes, self.pipelines,
            self.outputs, self.arrays,
        ):  # fmt: skip
            given = weights, activations, acc, lanes, pipeline, outputs
            served = unit.style_names(Point(self.unit, "", *given, clock_ps, "", False, "").spec)
            for style in served if not self.styles else [s for s in self.styles if s in served]:
                for clock, adders, booth, operands in product(
                    self.clocks, self.adders, self.booth, self.operands
                ):
                    made = adders if adders in able else GATES
                    how = clock * clock_ps, made, booth, operands
                    yield Point(self.unit, style, *given, *how, *array, self.hazards)


_MAIN = ("int8", "int4", "dint4")
_CODINGS = ("dint4_sm", "dint4_sr", "dint4_r4")
_OTHERS = ("dint4z", "int4z", "dint3", "int3", "fp4_e2m1")
_PLAIN = ("plain",)
#: The paper's likely condition, on either kind of operands, and Yosys' own Booth multipliers.
_REFERENCE = Family("mac", (*_MAIN, *_CODINGS), _PLAIN, adders=("gates",), booth=(False, True),
                    operands=("uniform", "layer"))  # fmt: skip
_BEST = ("fused-booth4", "fused-radix4", "fused-dadda", "fused-digits", "fused-signmag")
_SUMS = ("fused", "carrysave", "segment2", "segment3")
_WIDE = tuple(f"{s}-{m}" for s in _SUMS for m in ("booth4", "radix4", "dadda", "digits"))
_FLIPPED = tuple(f"{s}-flipped" for s in _SUMS)
_LEAN = tuple(
    f"{s}-{m}" for s in ("fused", "segment3") for m in ("booth4", "radix4", "digits", "flipped")
)
_SIZES = ((16, 16, "output"), (16, 16, "weight"))

QUICK = (
    Family("mac", ("int8", "dint4"), _PLAIN, (32,), adders=("gates",),
           operands=("uniform", "layer"), hazards=True),
    Family("mac", ("int8", "int4", "dint4"), ("fused-booth4", "fused-digits"), adders=("cells",)),
    Family("dot", ("int8",), ("segment3-booth4",), (ENOUGH,), lanes=(16,), adders=("cells",),
           hazards=True),
    Family("dot", ("int4", "dint4_sm", "dint4_r4"), ("segment3-digits",), (ENOUGH,), lanes=(16,),
           adders=("cells",), hazards=True),
    Family("dot", ("dint4_sr",), ("segment3-digits", "segment3-flipped"), (ENOUGH,), lanes=(16,),
           adders=("cells",), hazards=True),
)  # fmt: skip
DEFAULT = (
    *QUICK,
    _REFERENCE,
    Family("mac", _OTHERS, _PLAIN, adders=("gates",)),
    Family("mac", _MAIN, adders=("cells",)),
    Family("mac", (*_MAIN, *_CODINGS), _BEST, adders=("cells", "ripple")),
    Family("mac", _OTHERS, _BEST, adders=("cells",)),
    Family("mac", _MAIN, _BEST, pipelines=(1,), clocks=(0.75, 1.0, 1.5), adders=("cells",)),
    Family("mac", _MAIN, (*_PLAIN, *_BEST), clocks=(0.75, 1.5), adders=("cells",)),
    Family("dot", (*_MAIN, *_CODINGS), _WIDE, (ENOUGH,), lanes=(4, 16), adders=("cells",)),
    Family("dot", (*_MAIN, *_CODINGS), _FLIPPED, (ENOUGH,), lanes=(16,), adders=("cells",)),
    Family("dot", ("int8",), ("carrysave-signmag", "carrysave-booth8", "carrysave-nibble"),
           (ENOUGH,), lanes=(16,), adders=("cells",)),
    Family("dot", (*_MAIN, *_CODINGS), ("segment3-booth4", "segment3-digits", "segment3-flipped"),
           (ENOUGH,), lanes=(16,), pipelines=(1,), adders=("cells",)),
    Family("dot", _MAIN, _PLAIN, lanes=(4, 16), adders=("gates",)),
    # What is best at one clock need not be at another; and a pipeline stage takes the pressure off.
    Family("dot", (*_MAIN, *_CODINGS), _LEAN, (ENOUGH,), lanes=(16,), clocks=(0.75, 1.5),
           adders=("cells",)),
    Family("dot", (*_MAIN, *_CODINGS), _LEAN, (ENOUGH,), lanes=(16,), pipelines=(1,),
           adders=("cells",)),
    # Hazards: the ladder's plain MACs, and who may be the best of MACs and of dot products.
    replace(_REFERENCE, booth=(False,), hazards=True),
    Family("mac", (*_MAIN, *_CODINGS), ("fused-booth4", "fused-radix4", "fused-digits"),
           adders=("cells",), hazards=True),
    Family("dot", (*_MAIN, *_CODINGS), _LEAN, (ENOUGH,), lanes=(16,), adders=("cells",),
           hazards=True),
    Family("shared", _MAIN, ("fused-booth4", "fused-radix4", "fused-picked", "fused-digits"),
           outputs=(4, 16), adders=("cells",)),
    Family("array", ("int8",), ("fused-booth4", "fused-radix4"), (ENOUGH,), adders=("cells",),
           arrays=_SIZES),
    Family("array", ("int4", "dint4", "dint4_sm"), ("fused-digits",), (ENOUGH,), adders=("cells",),
           arrays=_SIZES),
)  # fmt: skip
_EVERY = (*_MAIN, *_CODINGS, *_OTHERS)
FULL = (
    Family("mac", _EVERY, pipelines=(0, 1, 2), clocks=(0.75, 1.0, 1.5), booth=(False, True),
           operands=("uniform", "layer")),
    Family("dot", _EVERY, lanes=(2, 4, 8, 16, 32), pipelines=(0, 1), clocks=(0.75, 1.0, 1.5)),
    Family("shared", _EVERY, outputs=(2, 4, 8, 16), clocks=(0.75, 1.0, 1.5)),
    Family("array", _EVERY, (), (ENOUGH,), clocks=(0.75, 1.0, 1.5), arrays=_SIZES),
)  # fmt: skip


def points(
    families: Sequence[Family], clock_ps: float, able: Collection[str] = ADDERS
) -> list[Point]:
    """Every point of some families, once, in their order; see `Family.points`.

    One that any of them wants with hazards is measured with them.
    """
    found: dict[Point, bool] = {}
    for family in families:
        for point in family.points(clock_ps, able):
            plain = replace(point, hazards=False)
            found[plain] = found.get(plain, False) or point.hazards
    return [replace(point, hazards=hazards) for point, hazards in found.items()]
