"""From results to a report: Markdown, a self-contained HTML page, JSON and a picture."""

import base64
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from macsmith.experiments import plots
from macsmith.experiments.claims import AREA_RATIO, CLAIMS, POWER_RATIO, PREFERRED, STATUSES
from macsmith.experiments.explore import view as exploration
from macsmith.experiments.quantized import view as quantized
from macsmith.experiments.store import json_text
from macsmith.experiments.tables import format_row, values_text
from macsmith.hw.export import write_files
from macsmith.sim.catalog import FORMATS

__all__ = ["FILES", "Report", "write"]

PLAIN_NOTE = (
    "Read the plain ratios with care: Yosys fuses a product with the addition where it is exactly "
    "as wide as its factors together (INT8 and INT4), and then spreads its partial products over "
    "the whole accumulator. dINT4's product is a bit narrower than its factors and stays apart. "
    "The Booth rows have no such handicap."
)
FILES = ("report.html", "report.md", "report.json", "pareto.png", exploration.PICTURE)
COLOURS = dict(zip(STATUSES, ("bad", "half", "good"), strict=True))


@dataclass(frozen=True)
class Report:
    """Everything that a run found; `results` holds each experiment's data by name."""

    quick: bool
    seconds: float
    claims: list[dict[str, Any]]
    results: dict[str, Any]
    provenance: dict[str, Any]
    files: list[str] = field(default_factory=list)

    @property
    def regressions(self) -> list[str]:
        """A line per claim that is worse than recorded in `claims`."""
        return [
            f"claim {c['id']!r} is {c['status']}, but {c['recorded']} is recorded: {c['finding']}"
            for c in self.claims
            if c["status"] in STATUSES
            and STATUSES.index(c["status"]) < STATUSES.index(c["recorded"])
        ]

    def as_dict(self) -> dict:
        return asdict(self)


def judge(results: dict[str, Any], chosen: list[str]) -> list[dict[str, Any]]:
    """The verdict on each chosen claim whose experiments ran."""
    found = []
    for name in chosen:
        claim = CLAIMS[name]
        verdict = claim.judge(results)
        found.append({
            "id": claim.id,
            "sentence": claim.sentence,
            "source": claim.source,
            "status": verdict.status,
            "recorded": claim.recorded,
            "finding": verdict.finding,
        })
    return found


def write(report: Report, folder: Path) -> None:
    """Write report.html, report.md, report.json and, where there are any, the pictures.

    All of them appear, or none; OSError if the folder cannot be written.
    """
    import jinja2

    folder.mkdir(parents=True, exist_ok=True)
    explored = report.results.get("exploration")
    pictures = {
        "pareto.png": _picture(report.results),
        exploration.PICTURE: exploration.picture(explored) if explored else None,
    }
    coded = {name: base64.b64encode(p).decode() if p else None for name, p in pictures.items()}
    view = _view(report) | {"picture": coded["pareto.png"], "cloud": coded[exploration.PICTURE]}
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=jinja2.select_autoescape(("html.j2",)),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    env.filters |= {"num": _number, "mark": _mark}
    contents = {
        folder / name: env.get_template(f"{name}.j2").render(view)
        for name in ("report.md", "report.html")
    }
    contents |= {folder / name: png for name, png in pictures.items() if png}
    contents[folder / "report.json"] = json_text(report.as_dict())
    write_files(contents)


def _view(report: Report) -> dict[str, Any]:
    """What the templates show; absent experiments are None."""
    results = report.results
    made = report.provenance
    by = f"macsmith {made['versions']['macsmith']}"
    return {
        "quick": report.quick,
        "seconds": report.seconds,
        "made_by": f"{by}, commit {made['commit'] or 'unknown'}, Python {made['python']}.",
        "claims": [c | {"colour": COLOURS.get(c["status"], "")} for c in report.claims],
        "definition": results.get("definition"),
        "catalogue": [format_row(fmt) | {"text": values_text(fmt)} for fmt in FORMATS.values()],
        "hardware": _hardware(results.get("hardware")),
        "exploration": exploration.view(results["exploration"])
        if results.get("exploration")
        else None,
        "accuracy": _accuracy(results.get("accuracy")),
        "quantized": quantized.view(results.get("quantized")),
        "exact": results.get("exact"),
        "equality": results.get("equality"),
        "paper": {"area": AREA_RATIO, "power": POWER_RATIO},
        "sources": _sources(report),
    }


def _hardware(found: dict | None) -> dict | None:
    if not found:
        return None
    rows = [row | {"netlist": row["netlist_compared"]} for row in found["rows"]]
    notes = []
    if any(row["met"] is False for row in rows):
        notes.append("No ratio is given where one of the two units misses its clock.")
    if any(row["library"] is None for row in rows):
        notes.append(
            "No Liberty library is here: areas are NAND2 equivalents (transistors over 4), "
            "without delay and energy. See `macsmith doctor`."
        )
    if any(row["library"] and row["condition"] != "booth" for row in rows):
        notes.append(PLAIN_NOTE)
    boundaries = {row["library"]: _boundary(row) for row in rows if row["boundary"]}
    operands = next((row["operands"] for row in rows if row["operands"]), "none simulated")
    conditions = {r["condition"]: r["condition_text"] for r in found["ratios"]}
    return {
        "rows": rows,
        "conditions": list(conditions.values()),
        "ratios": _by_unit(found["ratios"], list(conditions)),
        "notes": notes,
        "operands": operands,
        "boundaries": list(boundaries.values()),
    }


def _boundary(row: dict) -> str:
    """What surrounds the units of a row's library, in words."""
    edge = row["boundary"]
    return (
        f"{row['library']}: {row['voltage']:g} V, "
        f"slews {edge['input_slew_ps']:.1f} ps (operands) and "
        f"{edge['clock_slew_ps']:.1f} ps (clock), "
        f"{edge['output_load_ff']:.2f} fF on every output, "
        f"operands {edge['input_arrival_ps']:g} ps after the clock"
    )


def _by_unit(ratios: list[dict], conditions: list[str]) -> list[dict]:
    """One line per library and MAC, with its (area, energy) ratios under each condition."""
    lines: dict[tuple, dict] = {}
    for r in ratios:
        same = {key: r[key] for key in ("library", "clock_ps", "weights")}
        line = lines.setdefault(tuple(same.values()), same | {"by": {}})
        line["by"][r["condition"]] = (r["area_ratio"], r["energy_ratio"])
    for line in lines.values():
        line["by"] = [line["by"].get(condition, (None, None)) for condition in conditions]
    return list(lines.values())


def _accuracy(found: dict | None) -> dict | None:
    if not found:
        return None
    models = []
    for model in found["models"]:
        rows = {(r["recipe"], r["execution"]): r for r in model["rows"]}
        full = rows[None, "float"]
        recipes = dict.fromkeys(r["recipe"] for r in model["rows"] if r["recipe"])
        table = [{"name": "FP32", "activations": "FP32", "float": full["ppl"], "exact": None,
                  "loss": None}]  # fmt: skip
        for recipe in recipes:
            exact = rows[recipe, "exact"]
            table.append({
                "name": exact["format"],
                "activations": "int8",
                "float": rows[recipe, "float"]["ppl"],
                "exact": exact["ppl"],
                "loss": exact["ppl"] - full["ppl"],
            })
        shared = ("text", "tokens", "windows", "window", "ids_sha256", "protocol", "dtype")
        models.append(
            {key: full[key] for key in shared}
            | {
                "model": model["model"],
                "unigram": model.get("unigram"),
                "bigram": model.get("bigram"),
                "table": table,
            }
        )
    return {"models": models}


def _picture(results: dict) -> bytes | None:
    """Accuracy against cost, if both were measured and a library gave areas."""
    if "hardware" not in results or "accuracy" not in results:
        return None
    rows = [
        row
        for row in results["hardware"]["rows"]
        if row["condition"] in ("equal", "booth") and row["met"] and row["dynamic_pj"] is not None
    ]
    here = {row["library"] for row in rows}
    library = next((name for name in (*PREFERRED, *sorted(here)) if name in here), None)
    cost: dict[str, dict] = {}  # each format's smaller unit: plain multipliers flatter some formats
    for row in rows:
        if row["library"] == library:
            least = cost.get(row["weights"], row)
            cost[row["weights"]] = min(least, row, key=lambda r: r["area_um2"])
    points = []
    for model in results["accuracy"]["models"]:
        full = next(r["ppl"] for r in model["rows"] if r["recipe"] is None)
        for row in model["rows"]:
            if row["execution"] == "exact" and row["format"] in cost:
                mac = cost[row["format"]]
                points.append({
                    "model": model["model"],
                    "format": row["format"],
                    "ratio": row["ppl"] / full,
                    "area_um2": mac["area_um2"],
                    "energy_pj": mac["dynamic_pj"] + mac["leakage_pj"],
                })
    if not points:
        return None
    return plots.pareto(points, library, next(iter(cost.values()))["clock_ps"])


def _sources(report: Report) -> list[tuple[str, str]]:
    made = report.provenance
    lines = [("commit", made["commit"] or "not a checkout"), ("machine", made["machine"])]
    lines += [(name, text) for name, text in made["versions"].items() if text]
    hashes = {}
    for row in report.results.get("hardware", {}).get("rows", []):
        hashes |= row["library_sha256"]
    lines += [(name, f"sha256 {digest[:16]}") for name, digest in hashes.items()]
    lines.append((
        "seeds",
        "0 for the choice of operands; the benches' stimuli are seeded by the units' names",
    ))
    return lines


def _number(x: float | None, digits: int) -> str:
    return "-" if x is None else f"{x:,.{digits}f}"


def _mark(x: bool | None) -> str:
    return "-" if x is None else "yes" if x else "no"
