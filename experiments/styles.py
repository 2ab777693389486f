"""What every style of a unit costs: area and delay in one library, format by format."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from macsmith.experiments.measure import adders_of, choose_library, clock_of
from macsmith.experiments.store import provenance
from macsmith.experiments.units import get_unit
from macsmith.experiments.widths import Depth, bits_of
from macsmith.experiments.workers import worker_pool
from macsmith.hw.pdk import Pdk
from macsmith.hw.recipes import ADDERS
from macsmith.sim.spec import MacSpec

__all__ = ["StyleTable", "price"]

ANY = "any weights"


@dataclass(frozen=True)
class Row:
    """One style for one format: the smallest netlist that meets the clock, or else the fastest.

    ``weights`` is ANY for a unit that does not depend on it.
    """

    unit: str
    style: str
    weights: str
    latency: int
    area_um2: float | None
    area_nand2: float | None
    delay_ps: float | None
    met: bool | None
    adders: str
    recipe: str
    cells: int
    flops: int


@dataclass(frozen=True)
class StyleTable:
    """Rows by unit, style and format, and the conditions that all have in common."""

    rows: tuple[Row, ...]
    pdk: str | None
    clock_ps: float
    activations: str
    acc_width: int
    overflow: str
    lanes: int
    options: Mapping[str, Any]
    summaries: Mapping[str, str] = field(repr=False)
    provenance: Mapping[str, Any] = field(repr=False)

    def as_dict(self) -> dict:
        found = asdict(self)
        return {"library": found.pop("pdk")} | found

    def lines(self) -> list[str]:
        """A Markdown table for each unit, formats side by side."""
        where = f"{self.pdk} at {self.clock_ps:g} ps" if self.pdk else "generic gates"
        lines = []
        for unit in dict.fromkeys(row.unit for row in self.rows):
            mine = [row for row in self.rows if row.unit == unit]
            formats = list(dict.fromkeys(row.weights for row in mine))
            found = {(row.style, row.weights): row for row in mine}
            measure = "um2" if self.pdk else "NAND2"
            lines += [
                f"{unit}, {where}{self._conditions(unit)}: {measure}, ps",
                "",
                f"| {unit} style | {' | '.join(formats)} | structure |",
                "|---" * (len(formats) + 2) + "|",
            ]
            for style in dict.fromkeys(row.style for row in mine):
                cells = [_cell(found.get((style, name))) for name in formats]
                lines.append(
                    f"| `{style}` | {' | '.join(cells)} | {self.summaries[f'{unit} {style}']} |"
                )
            lines.append("")
        return lines

    def _conditions(self, unit: str) -> str:
        known, found = get_unit(unit), []
        if "activations" in known.named_after:
            found.append(f"activations {self.activations}")
        if "sum" in known.named_after:
            of = "products" if isinstance(self.acc_width, Depth) else "bits"
            found.append(f"{self.acc_width} {of}{f' {self.overflow}' if known.weighs else ''}")
        if unit == "dot":
            found.append(f"{self.lanes} lanes")
        found += [f"{name} {self.options[name]}" for name in known.options if name in self.options]
        return "".join(f", {text}" for text in found)


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    areas = [area for area in (row.area_um2, row.area_nand2) if area is not None]
    area = f"{areas[0]:.1f}" if areas else f"{row.cells} cells"
    delay = "" if row.delay_ps is None else f", {row.delay_ps:.0f}"
    return f"{area}{delay}{'' if row.met in (True, None) else ' (missed)'}"


def price(
    units: Sequence[str],
    weights: Sequence[str],
    activations: str = "int8",
    acc_width: int = 32,
    overflow: str = "wrap",
    lanes: int = 8,
    *,
    styles: Iterable[str] = (),
    pdk: str | None = None,
    liberty: Iterable[Path] = (),
    technology: Pdk | None = None,
    clock_ps: float | None = None,
    adders: Sequence[str] = ADDERS,
    options: Mapping[str, Any] | None = None,
    workers: int = 2,
) -> StyleTable:
    """Synthesise ``units`` in every style (or in ``styles``) for each format of ``weights``.

    The library is called ``pdk``, or consists of files, ``liberty``, or is ``technology``.
    ``lanes`` is of dot products, other units have one. Of ``adders`` each is tried and the best
    kept: the smallest that meets the clock; without a full-adder cell there are only "gates".
    ValueError on bad input, before the work.
    """
    technology = technology or choose_library(pdk, liberty)
    clock_ps = clock_of(technology, clock_ps)
    options = options or {}
    if workers < 1:
        raise ValueError(f"workers must be a positive number, not {workers}")
    if spare := [k for k in options if not any(k in get_unit(name).options for name in units)]:
        raise ValueError(f"no unit of {', '.join(units)} has an option {spare[0]!r}")
    jobs, summaries = [], {}
    for name in units:
        unit = get_unit(name)
        own = {k: v for k, v in options.items() if k in unit.options}
        for fmt in weights if unit.weighs else weights[:1]:
            width = bits_of(acc_width, fmt, activations)
            spec = MacSpec(fmt, activations, width, overflow, lanes if name == "dot" else 1)
            served = unit.style_names(spec, **own)
            for style in unit.registry:
                if style.name in served and (not styles or style.name in set(styles)):
                    summaries[f"{name} {style.name}"] = style.summary
                    jobs.append((name, spec, {**own, "style": style.name}))
    if unknown := sorted(set(styles) - {own["style"] for _, _, own in jobs}):
        raise ValueError(
            f"no format of {', '.join(weights)} has a {' or '.join(units)} of style {unknown[0]!r}"
        )
    able = adders_of(technology)
    kinds = tuple(kind for kind in adders if kind in able) or able[:1]
    work = [(job, technology, clock_ps, kinds) for job in jobs]
    if workers > 1 and len(work) > 1:
        with worker_pool(workers) as pool:
            rows = list(pool.map(_price, work))
    else:
        rows = [_price(one) for one in work]
    rows.sort(key=lambda row: units.index(row.unit))  # stable: by style and format as they came
    name = technology.name if technology else None
    return StyleTable(
        tuple(rows),
        name,
        clock_ps,
        activations,
        acc_width,
        overflow,
        lanes,
        options,
        summaries,
        provenance(),
    )


def _price(work: tuple) -> Row:
    from macsmith.hw.synth import synthesize

    (name, spec, options), technology, clock_ps, kinds = work
    component = get_unit(name).make(spec, **options)
    made = [
        synthesize(component, technology, clock_ps=clock_ps, name=name, adders=kind)
        for kind in kinds
    ]
    best = min(made, key=lambda s: (s.met is False, s.delay_ps if s.met is False else s.size))
    return Row(
        name, options["style"], spec.weights.name if get_unit(name).weighs else ANY,
        component.latency, best.area_um2,
        best.area_nand2, best.delay_ps, best.met, best.adders, best.recipe, best.cells, best.flops,
    )  # fmt: skip
