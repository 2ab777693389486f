"""The datasheet of a unit, read off its docstring and the component itself.

Nothing is written twice: what it computes, its parameters and what its ports mean are the class's
docstring; widths, directions and latency are those of the component; what a style is made of is
the docstring of the style.
"""

import inspect
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from amaranth.lib import data, wiring

from macsmith.experiments.units import get_unit
from macsmith.sim.spec import MacSpec

__all__ = ["Datasheet", "PortRow", "StyleRow", "datasheet", "ports_of", "sections"]

_PORTS = "Members"
_HANDSHAKE = {
    "valid": "A beat of `{}` is offered.",
    "ready": "A beat of `{}` is taken at this edge, if it is offered.",
}


@dataclass(frozen=True)
class PortRow:
    """A port as Verilog has it."""

    name: str
    direction: str
    width: int
    signed: bool
    meaning: str


@dataclass(frozen=True)
class StyleRow:
    """A style that can serve the spec."""

    name: str
    latency: int | None
    structure: str


@dataclass(frozen=True)
class Datasheet:
    """What a user of the RTL has to know.

    Attributes
    ----------
    title, description : str
        What it is, and what it computes, from the docstring.
    numbers : str
        Formats, accumulator, overflow and lanes, and the unit's own options.
    latency : int
        Rising edges.
    latency_meaning : str
        From what to what these are: of a unit with handshakes as its docstring has it.
    ports : tuple of PortRow
    styles : tuple of StyleRow
    parameters : dict
        Meaning by name.
    """

    unit: str
    title: str
    numbers: str
    description: str
    style: str
    latency: int
    latency_meaning: str
    ports: tuple[PortRow, ...]
    styles: tuple[StyleRow, ...]
    parameters: Mapping[str, str]

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)

    def markdown(self) -> str:
        """The sheet as Markdown."""
        lines = [
            f"# {self.title}",
            "",
            f"{self.numbers}. Style {self.style}, latency {self.latency}: {self.latency_meaning}",
            "",
            re.sub(r"^::\n\n", "", self.description, flags=re.MULTILINE),
            "",
            "## Ports",
            "",
            *_table(
                ["name", "direction", "bits", "signed", "meaning"],
                [
                    [p.name, p.direction, str(p.width), "yes" if p.signed else "", p.meaning]
                    for p in self.ports
                ],
            ),
            "",
            "## Styles",
            "",
            *_table(
                ["style", "latency", "structure"],
                [
                    [s.name, "" if s.latency is None else str(s.latency), s.structure]
                    for s in self.styles
                ],
            ),
            "",
            "## Parameters",
            "",
            *_table(["name", "meaning"], [list(item) for item in self.parameters.items()]),
        ]
        return "\n".join([*lines, ""])

    def lines(self) -> list[str]:
        """For a person."""
        return self.markdown().splitlines()


def datasheet(unit: str, spec: MacSpec, style: str = "plain", **options: Any) -> Datasheet:
    """The datasheet of a unit.

    ValueError on bad input, and where the docstring does not say what a port means.
    """
    kind = get_unit(unit)
    component = kind.make(spec, style=style, **options)
    parts = sections(inspect.getdoc(type(component)) or "")
    title, _, description = parts[""].partition("\n")
    subject = kind.subject_of(spec, options)
    styles = []
    for name in kind.registry.names(subject):
        summary = kind.registry.get(name, subject).summary
        other = kind.make(spec, **{**options, "style": name})
        styles.append(StyleRow(name, getattr(other, "latency", None), summary))
    return Datasheet(
        unit=unit,
        title=f"{type(component).__name__}: {title.strip()}",
        numbers=_numbers(kind, spec, options),
        description=description.strip("\n"),
        style=style,
        latency=component.latency,
        latency_meaning=_latency_meaning(kind, parts),
        ports=ports_of(component),
        styles=tuple(styles),
        parameters=_entries(parts.get("Parameters", "")),
    )


def _latency_meaning(kind: Any, parts: Mapping[str, str]) -> str:
    """From what to what the latency is; ValueError where the docstring of a unit with handshakes,
    whose beats may be of several kinds, does not say."""
    if not kind.handshake:
        return "rising edges from the operands to their result."
    if not (said := _entries(parts.get("Attributes", "")).get("latency")):
        raise ValueError(f"{kind.name}: no meaning of latency under 'Attributes' in its docstring")
    return said[0].lower() + said[1:]


def sections(doc: str) -> dict[str, str]:
    """The sections of a numpydoc docstring by title; what is before the first one is ``""``.

    >>> sections("Adds.\\n\\nParameters\\n----------\\nx : int")
    {'': 'Adds.', 'Parameters': 'x : int'}
    """
    found, title = {"": []}, ""
    lines = doc.splitlines()
    skip = False
    for k, line in enumerate(lines):
        under = lines[k + 1] if k + 1 < len(lines) else ""
        if skip:
            skip = False
        elif re.fullmatch(r"[A-Z][A-Za-z ]*", line) and under == "-" * len(line):
            title, skip = line, True
            found[title] = []
        else:
            found[title].append(line)
    return {name: "\n".join(body).strip("\n") for name, body in found.items()}


def _entries(body: str) -> dict[str, str]:
    """Meaning by name of ``name : shape`` entries with indented text; the names of one entry share
    it."""
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in body.splitlines():
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.partition(" :")[0].split(",")]
            found |= {name: [] for name in names}
        elif line.strip():
            for name in names:
                found[name].append(line.strip())
    return {name: " ".join(text) for name, text in found.items()}


def ports_of(component: wiring.Component) -> tuple[PortRow, ...]:
    """The ports, clock and reset first; ValueError where the docstring does not say what one
    means."""
    parts = sections(inspect.getdoc(type(component)) or "")
    meanings = _entries(parts.get(_PORTS, ""))
    rows = []
    if getattr(component, "latency", 1) != 0:
        rows = [
            PortRow("clk", "in", 1, False, "Clock; what is registered changes on its rising edge."),
            PortRow("rst", "in", 1, False, meanings.get("rst", "")),
        ]
        missing = [row.name for row in rows if not row.meaning]
    else:
        missing = []
    for path, member, value in component.signature.flatten(component):
        name = "__".join(map(str, path))
        names = name, ".".join(map(str, path)), str(path[0])
        meaning = next((meanings[n] for n in names if meanings.get(n)), None)
        if meaning is None:
            missing.append(name)
            continue
        if len(path) > 1 and path[-1] in _HANDSHAKE:
            meaning = _HANDSHAKE[path[-1]].format(path[0])
        if isinstance(member.shape, data.Layout):
            meaning = f"{meaning} {_bits(member.shape)}"
        direction = "in" if member.flow is wiring.In else "out"
        shape = value.as_value().shape() if hasattr(value, "as_value") else value.shape()
        rows.append(PortRow(name, direction, shape.width, shape.signed, meaning))
    if missing:
        raise ValueError(
            f"{type(component).__name__}: no meaning of port {', '.join(missing)} under "
            f"{_PORTS!r} in its docstring"
        )
    return tuple(rows)


def _numbers(kind: Any, spec: MacSpec, options: Mapping[str, Any]) -> str:
    words = {
        "weights": f"weights {spec.weights.name}",
        "activations": f"activations {spec.activations.name}",
        "sum": f"{spec.acc_width} bits"
        + (f", {spec.overflow}, lanes {spec.lanes}" if kind.weighs else ""),
    }
    own = {name: value for name, value in kind.complete(options).items() if name != "style"}
    return ", ".join([
        *(words[what] for what in kind.named_after),
        *(f"{name} {value}" for name, value in own.items()),
    ])


def _bits(layout: data.Layout, low: int = 0) -> str:
    """Where each field is: ``last [0], acc [8:1]``."""
    found = []
    for name, field in layout:
        first, width = low + field.offset, field.width
        place = f"{first + width - 1}:{first}" if width > 1 else f"{first}"
        found.append(f"{name} [{place}]")
    return f"Bits: {', '.join(found)}."


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    cells = [
        [cell.replace("|", "\\|") for cell in row] for row in (head, ["---"] * len(head), *rows)
    ]
    return [f"| {' | '.join(row)} |" for row in cells]
