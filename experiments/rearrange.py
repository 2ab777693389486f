"""The search over code maps as a command: what it found, and the format it writes."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from macsmith.experiments.measure import choose_library, clock_of
from macsmith.hw.codemap import CodeMap, Search, search
from macsmith.hw.export import require_places, write_atomically
from macsmith.sim.formats import Format
from macsmith.sim.spec import MAX_SUM_BITS, MacSpec

__all__ = ["Rearranged", "rearrange", "toml_of"]


@dataclass(frozen=True)
class Rearranged:
    """A search, and where its best format was written ("" if nowhere)."""

    found: Search
    pdk: str | None
    clock_ps: float
    file: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "style": self.found.style,
            "library": self.pdk,
            "clock_ps": self.clock_ps,
            "tried": self.found.tried,
            "rounds": self.found.rounds,
            "own": _row(self.found.own),
            "best": _row(self.found.best),
            "file": self.file,
        }

    def lines(self) -> list[str]:
        found, where = self.found, self.pdk or "generic gates"
        unit = "um2" if self.pdk else "NAND2 equivalents"
        lines = [
            f"{found.tried} maps of {found.own.fmt.name} for the {found.style} multiplier, "
            f"{found.rounds} rounds, {where} at {self.clock_ps:g} ps",
        ]
        for name, each in (("its own map", found.own), ("the best", found.best)):
            levels = " ".join(map(str, each.fmt.levels))
            missed = " (clock missed)" if each.met is False else ""
            lines.append(
                f"{name:12} {each.area:.2f} {unit}{missed}, {each.transistors} transistors to "
                f"recode a weight: {levels}"
            )
        if self.file:
            lines.append(f"{self.file}: the best map as a format")
        return lines


def rearrange(
    weights: str,
    activations: str = "int8",
    style: str = "digits",
    *,
    pdk: str | None = None,
    clock_ps: float | None = None,
    rounds: int = 12,
    seed: int = 0,
    output: Path | None = None,
) -> Rearranged:
    """Search, and write the best map as a format file if ``output`` is given."""
    if rounds < 1:
        raise ValueError(f"rounds must be a positive integer, not {rounds}")
    if output is not None:
        require_places(output)
    technology = choose_library(pdk)
    clock_ps = clock_of(technology, clock_ps)
    width = MacSpec(weights, activations, MAX_SUM_BITS, "exact").product_width
    spec = MacSpec(weights, activations, width)
    found = search(spec, style, technology, clock_ps=clock_ps, rounds=rounds, seed=seed)
    if output is not None:
        write_atomically(output, toml_of(found.best.fmt))
    name = technology.name if technology else None
    return Rearranged(found, name, clock_ps, "" if output is None else str(output))


def toml_of(fmt: Format) -> str:
    """A format as the file that `macsmith.sim.catalog.load_format` reads."""
    return (
        f"name = {json.dumps(fmt.name)}\n"
        f"width = {fmt.width}\n"
        f"frac_bits = {fmt.frac_bits}\n"
        f"levels = {list(fmt.levels)}\n"
        f"source = {json.dumps(fmt.source)}\n"
    )


def _row(each: CodeMap) -> dict[str, Any]:
    row = asdict(each)
    row["fmt"] = {"name": each.fmt.name, "levels": list(each.fmt.levels)}
    return row
