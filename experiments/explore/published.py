"""Published figures of multipliers and MACs, and the same quantities measured in one library.

Each unit is built in the smallest of its usual styles that meets the clock, its netlist compared
with golden on the operands that its energy is of. Energy is dynamic, per product, without glitches.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from macsmith.experiments.explore.published_figures import AREA, FIGURES, Figure, Part
from macsmith.experiments.measure import Measurement, choose_library, clock_of, measure
from macsmith.experiments.operands import MODEL, STREAMS, layer_input
from macsmith.experiments.store import provenance
from macsmith.experiments.styles import price
from macsmith.experiments.units import get_unit
from macsmith.experiments.workers import worker_pool
from macsmith.hw.pdk import Pdk
from macsmith.hw.power import Energy, energy
from macsmith.sim.floating import FLOAT32, multiply_add

__all__ = ["Built", "Comparison", "Row", "compare"]

NEAR = 0.1  # of theirs: what another library or tool may make of a quotient
#: Those tried: the smallest on ASAP7, and what synthesis makes of a product alone.
STYLES = {
    "multiplier": ("plain", "booth4", "radix4", "dadda"),
    "mac": ("fused-booth4", "fused-dadda"),
}
FLOAT_SUMS = 2  # per stream: golden takes 75 us for a float product


@dataclass(frozen=True)
class Built:
    """A `Part` in the smallest of its styles that meets the clock (or else the fastest)."""

    name: str
    style: str
    adders: str
    clock_ps: float
    area_um2: float
    energy_pj: float
    delay_ps: float
    met: bool
    netlist_equal: bool

    @property
    def text(self) -> str:
        faults = ("" if self.met else " (misses the clock)") + (
            "" if self.netlist_equal else " (NOT EQUAL to golden)"
        )
        return f"{self.name} {self.style}, {self.adders}, {self.clock_ps:g} ps{faults}"


@dataclass(frozen=True)
class Row:
    """A figure, ours, and under which conditions ours is."""

    figure: Figure
    built: tuple[Built, ...]

    @property
    def ours(self) -> float:
        first, *rest = (b.area_um2 if self.figure.of == AREA else b.energy_pj for b in self.built)
        return first / rest[0] if rest else first

    @property
    def ratio(self) -> float:
        """Ours over theirs."""
        return self.ours / self.figure.theirs

    @property
    def why(self) -> str:
        if abs(self.ratio - 1) <= NEAR:
            return "no more than libraries and tools differ"
        return self.figure.less if self.ratio < 1 else self.figure.more

    def as_dict(self) -> dict[str, Any]:
        known = self.figure
        return {
            "name": known.name, "source": known.source, "of": known.of, "figure": known.figure,
            "over": known.over, "theirs": known.theirs, "ours": self.ours,
            "ours_over_theirs": self.ratio, "why": self.why,
            "built": [asdict(one) for one in self.built],
        }  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Every figure that can be compared in one library."""

    rows: tuple[Row, ...]
    pdk: str
    clock_ps: float
    provenance: Mapping[str, Any] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        rows = [row.as_dict() for row in self.rows]
        return {
            "library": self.pdk, "clock_ps": self.clock_ps, "rows": rows,
            "provenance": dict(self.provenance),
        }  # fmt: skip

    def lines(self) -> list[str]:
        """A Markdown table; sources, and what ours were built as, below it."""
        sources = list(dict.fromkeys(row.figure.source for row in self.rows))
        lines = [
            f"published figures and {self.pdk}; energy is dynamic, per product, without glitches",
            "",
            "| figure | theirs | ours | ours / theirs | why they differ | source |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.figure.name} | {row.figure.theirs:.3f} | {row.ours:.3f} | {row.ratio:.2f} | "
            f"{row.why} | [{sources.index(row.figure.source) + 1}] |"
            for row in self.rows
        ]
        built = dict.fromkeys(b for row in self.rows for b in row.built)
        lines += ["", *(f"[{n}] {source}" for n, source in enumerate(sources, 1)), ""]
        return lines + [
            f"{b.text}: {b.area_um2:.2f} um2, {b.energy_pj:.4f} pJ, {b.delay_ps:.0f} ps"
            for b in built
        ]


def compare(
    pdk: str | None = None, *, liberty: Iterable[Path] = (), workers: int = 2
) -> Comparison:
    """Measure what `FIGURES` need in the library called ``pdk``, or in files, or in the usual one.

    ValueError on bad input, before the work.
    """
    technology = choose_library(pdk, liberty)
    if technology is None:
        raise ValueError("figures are compared in a library's um2 and pJ: give one")
    if workers < 1:
        raise ValueError(f"workers must be a positive number, not {workers}")
    _require_comparable(technology)
    clock_ps = clock_of(technology)
    figures = [one for one in FIGURES if one.pdk in (None, technology.name)]
    parts = list(dict.fromkeys(part for one in figures for part in one.parts))
    work = [(part, technology, clock_ps) for part in parts]
    if workers > 1:
        with worker_pool(workers) as pool:
            built = dict(zip(parts, pool.map(_build, work), strict=True))
    else:
        built = dict(zip(parts, map(_build, work), strict=True))
    rows = tuple(Row(one, tuple(built[part] for part in one.parts)) for one in figures)
    return Comparison(rows, technology.name, clock_ps, provenance())


def _require_comparable(technology: Pdk) -> None:
    library = technology.load()
    library.require_flip_flop()
    known = {
        "areas": library.flip_flop.area > 0,
        "delays": library.has_delays,
        "a supply voltage": library.voltage is not None,
    }
    if lacking := [what for what, there in known.items() if not there]:
        raise ValueError(
            f"figures are compared in um2, pJ and at a clock: library {library.name} does not say "
            f"{' and '.join(lacking)}"
        )


def _build(work: tuple[Part, Pdk, float]) -> Built:
    """Its smallest style that meets the clock, measured."""
    part, technology, usual = work
    clock_ps, options = usual * part.periods, dict(part.options)
    row = min(
        price(
            [part.unit], [part.spec.weights], part.spec.activations, technology=technology,
            styles=STYLES.get(part.unit, ()), clock_ps=clock_ps, options=options, workers=1,
        ).rows,
        key=lambda row: (not row.met, row.area_um2 if row.met else row.delay_ps),
    )  # fmt: skip
    made = measure(
        part.unit, part.spec, row.style, technology=technology, clock_ps=clock_ps,
        operands=part.operands, adders=row.adders, options=options,
    )  # fmt: skip
    known, spent, equal = made.synthesis, made.energy, made.netlist_equal
    if spent is None:
        spent, equal = _float_energy(made)
    return Built(
        part.name, row.style, row.adders, clock_ps, known.area_um2, spent.dynamic_pj,
        known.delay_ps, bool(known.met), bool(equal),
    )  # fmt: skip


def _float_energy(made: Measurement) -> tuple[Energy, bool]:
    """Energy of a float MAC on the layer's own numbers, rounded to its format; equal to golden?"""
    unit = get_unit(made.unit).make(made.spec, **made.options)
    linear, x = layer_input(MODEL)
    rng = np.random.default_rng(0)
    shape = STREAMS, FLOAT_SUMS
    w = _codes(linear.weight.detach().numpy()[rng.integers(0, linear.out_features, shape)])
    a = _codes(x.numpy()[rng.integers(0, len(x), shape)])  # (streams, sums, depth)
    clear = np.broadcast_to(np.arange(w.shape[-1]) == 0, w.shape).astype(np.uint8)
    ports = {"w": w, "a": a, "clear": clear, "en": np.ones_like(clear)}
    stimulus = {name: codes.reshape(STREAMS, -1) for name, codes in ports.items()}
    late = {n: np.pad(c, ((0, 0), (0, unit.latency)), mode="edge") for n, c in stimulus.items()}
    late["en"][:, w[0].size :] = 0
    spent = energy(made.synthesis, late, products=w.size)
    shown = spent.activity.outputs["acc"][:, unit.latency :]
    for s, stream in enumerate(shown & (2**FLOAT32.width - 1)):
        acc, mine = 0, (stimulus[name][s].tolist() for name in ("w", "a", "clear"))
        for after, w_code, a_code, first in zip(stream.tolist(), *mine, strict=True):
            acc = multiply_add(0 if first else acc, w_code, a_code, unit.fmt)
            if acc != after:
                return spent, False
    return spent, True


def _codes(values: np.ndarray) -> np.ndarray:
    """FP16 codes of float32 numbers, to nearest."""
    return values.astype(np.float16).view(np.uint16)
