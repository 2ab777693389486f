"""Mutants: faults put into RTL and into gate netlists, which the benches must find.

A mutant differs from the unit's own circuit in one place, drawn with a seed. All mutants are
simulated side by side in the unit's bench; those that survive it are put to the formal proof: one
that is proven equal to the plain unit is no fault, any other one is a hole in the bench.
"""

import copy
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import runner
from macsmith.experiments.verify.bench import FULL
from macsmith.experiments.verify.proof import decide, pose
from macsmith.hw import yosys
from macsmith.hw.aig_yosys import Source, to_aigs
from macsmith.hw.export import to_verilog_many
from macsmith.sim.spec import MacSpec

__all__ = ["LEVELS", "SUBJECTS", "Mutant", "MutantReport", "Subject", "make_mutants", "run"]


@dataclass(frozen=True)
class Subject:
    """A unit whose mutants are made."""

    unit: str
    spec: MacSpec
    style: str = "plain"
    pipeline: int = 0

    def make(self):
        """The component."""
        options = {"pipeline": self.pipeline} if self.pipeline else {}
        return get_unit(self.unit).make(self.spec, style=self.style, **options)


_WRAP, _CLAMP = MacSpec("dint4", "int4", 10), MacSpec("dint4", "int4", 10, "saturate")
SUBJECTS = (
    Subject("decoder", MacSpec("dint4z", "int4", 12)),
    Subject("decoder", _WRAP, "shaped"),
    Subject("multiplier", MacSpec("int4", "int4", 10), "booth4"),
    Subject("multiplier", _WRAP, "signmag"),
    Subject("mac", _WRAP),
    Subject("mac", _CLAMP),
    Subject("mac", replace(_CLAMP, lanes=3)),
    Subject("mac", MacSpec("dint4z", "int4", 12), "fused-dadda"),
    Subject("mac", _WRAP, "carrysave-booth4"),
    Subject("mac", _WRAP, "separate-nibble", 2),
)

#: Passes from exported Verilog to the circuit in which faults are made.
LEVELS = {
    "RTL": ("proc", "opt_clean"),
    "netlist": ("synth -flatten", "abc -g AND,NAND,OR,NOR,XOR,XNOR,MUX", "opt_clean -purge"),
}

_PARTNERS = (
    ("$add", "$sub"), ("$and", "$or"), ("$xor", "$xnor"), ("$eq", "$ne"), ("$lt", "$ge"),
    ("$le", "$gt"), ("$reduce_or", "$reduce_and"), ("$logic_and", "$logic_or"), ("$shl", "$shr"),
    ("$_AND_", "$_OR_"), ("$_NAND_", "$_NOR_"), ("$_XOR_", "$_XNOR_"), ("$_AND_", "$_NAND_"),
)  # fmt: skip
_OTHER = {one: other for pair in _PARTNERS for one, other in (pair, pair[::-1])}
_SYMMETRIC = (
    "$add", "$mul", "$and", "$or", "$xor", "$xnor", "$eq", "$ne", "$logic_and", "$logic_or",
    "$_AND_", "$_NAND_", "$_OR_", "$_NOR_", "$_XOR_", "$_XNOR_",
)  # fmt: skip
_ARITHMETIC = ("$add", "$sub", "$mul", "$neg", "$lt", "$le", "$gt", "$ge")


@dataclass(frozen=True)
class Mutant:
    """One fault: what, where, and the Verilog that has it."""

    name: str
    subject: Subject
    level: str
    operator: str
    place: str
    verilog: str = field(repr=False)


@dataclass(frozen=True)
class MutantReport:
    """Verdicts by mutant: "killed", "equivalent" or "survived"."""

    mutants: tuple[Mutant, ...]
    verdicts: dict[str, str]
    details: dict[str, str]
    seconds: float

    @property
    def ok(self) -> bool:
        """None survived, and more than none were killed."""
        found = set(self.verdicts.values())
        return "survived" not in found and "killed" in found

    def counts(self, key: Callable[[Mutant], str]) -> dict[str, Counter]:
        """Verdicts, counted by ``key`` of the mutant."""
        found: dict[str, Counter] = {}
        for mutant in self.mutants:
            found.setdefault(key(mutant), Counter())[self.verdicts[mutant.name]] += 1
        return found

    def as_dict(self) -> dict:
        """For JSON."""
        rows = [
            {k: v for k, v in asdict(mutant).items() if k not in ("verilog", "subject")}
            | {"unit": mutant.subject.unit, "style": mutant.subject.style}
            | {"verdict": self.verdicts[mutant.name], "detail": self.details.get(mutant.name, "")}
            for mutant in self.mutants
        ]
        return {"ok": self.ok, "seconds": self.seconds, "mutants": rows}

    def lines(self) -> list[str]:
        """For a person."""
        lines = []
        for key in (
            lambda mutant: f"{mutant.level} {mutant.operator}",
            lambda mutant: f"{mutant.subject.unit} {mutant.subject.style}",
        ):
            for name, count in sorted(self.counts(key).items()):
                lines.append(
                    f"{name:28} {count['killed']:4} killed {count['equivalent']:3} equivalent "
                    f"{count['survived']:3} survived"
                )
            lines.append("")
        total = Counter(self.verdicts.values())
        lines.append(
            f"{len(self.mutants)} mutants: {total['killed']} killed, {total['equivalent']} proven "
            f"equivalent, {total['survived']} survived; {self.seconds:.0f} s"
        )
        return lines + [
            f"SURVIVED: {m.name} ({m.operator} at {m.place}): {self.details.get(m.name, '')}"
            for m in self.mutants
            if self.verdicts[m.name] == "survived"
        ]


def make_mutants(subjects: Sequence[Subject], count: int, seed: int) -> list[Mutant]:
    """``count`` different mutants, spread evenly over subjects and levels; the same for a seed."""
    rng = random.Random(seed)
    sources = to_verilog_many({f"s{k}": subject.make() for k, subject in enumerate(subjects)})
    spots = [(k, level) for k in range(len(subjects)) for level in LEVELS]
    passes, files = [], {}
    for k, level in spots:
        files[f"s{k}.v"] = sources[f"s{k}"]
        passes += ["design -reset", f"read_verilog s{k}.v", f"hierarchy -top s{k}",
                   *LEVELS[level], f"write_json {level}{k}.json"]  # fmt: skip
    texts = yosys.run(passes, files, [f"{level}{k}.json" for k, level in spots])
    circuits = {spot: json.loads(texts[f"{spot[1]}{spot[0]}.json"]) for spot in spots}
    drawn, seen, tries = [], set(), 0
    while len(drawn) < count and tries < 50 * count:
        k, level = spots[tries % len(spots)]
        tries += 1
        document = copy.deepcopy(circuits[k, level])
        change = _change(document["modules"][f"s{k}"], rng)
        if change is not None and (k, level, *change) not in seen:
            seen.add((k, level, *change))
            drawn.append((k, level, *change, document))
    passes, files = [], {}
    for n, (k, *_, document) in enumerate(drawn):
        document["modules"] = {f"mutant_{n}": document["modules"][f"s{k}"]}
        files[f"{n}.json"] = json.dumps(document)
        passes += ["design -reset", f"read_json {n}.json", f"write_verilog -noattr {n}.v"]
    texts = yosys.run(passes, files, [f"{n}.v" for n in range(len(drawn))])
    return [
        Mutant(f"mutant_{n}", subjects[k], level, operator, place, texts[f"{n}.v"])
        for n, (k, level, operator, place, _) in enumerate(drawn)
    ]


def run(
    count: int = 200,
    seed: int = 0,
    subjects: Sequence[Subject] = SUBJECTS,
    *,
    limit_s: float = 20.0,
) -> MutantReport:
    """Make mutants, simulate them in Icarus, and put the survivors to the proof."""
    if count < 1:
        raise ValueError(f"count must be 1 or more, not {count}")
    started = time.monotonic()
    mutants = make_mutants(subjects, count, seed)
    effort = replace(FULL, random=1000)
    instances = [
        replace(
            runner.describe(
                m.subject.unit, m.name, m.subject.spec, m.subject.make(),
                **({"pipeline": m.subject.pipeline} if m.subject.pipeline else {}),
            ),
            effort=effort,
        )
        for m in mutants
    ]  # fmt: skip
    found = runner.simulate("mutants", instances, {m.name: m.verilog for m in mutants}, "icarus")
    verdicts, details = {}, {}
    for mutant in mutants:
        if found.modules[mutant.name].wrong:
            verdicts[mutant.name] = "killed"
        else:
            verdicts[mutant.name], details[mutant.name] = _prove(mutant, limit_s)
    return MutantReport(tuple(mutants), verdicts, details, time.monotonic() - started)


def _prove(mutant: Mutant, limit_s: float) -> tuple[str, str]:
    """Verdict on a survivor, and why."""
    read = ("read_verilog {name}", f"hierarchy -check -top {mutant.name}")
    plain = get_unit(mutant.subject.unit).make(mutant.subject.spec)
    try:
        graphs = to_aigs({"plain": plain, "unit": Source(mutant.verilog, read)})
        problem = pose(graphs["plain"], graphs["unit"], mutant.subject.make())
    except ValueError as error:
        return "survived", str(error)
    what = mutant.subject.unit, mutant.subject.style, mutant.name, mutant.subject.pipeline
    proof = decide(problem, what, time.monotonic(), limit_s)
    return ("equivalent" if proof.verdict == "proven" else "survived"), proof.line


def _change(module: dict, rng: random.Random) -> tuple[str, str] | None:
    """Make one fault in a module of Yosys's JSON: (operator, place); None if none fits here."""
    by_operator: dict[str, list[tuple[str, str, Callable]]] = {}
    for name, cell in module["cells"].items():
        for operator, place, apply in _changes(cell):
            by_operator.setdefault(operator, []).append((name, place, apply))
    if not by_operator:
        return None
    operator = rng.choice(sorted(by_operator))
    name, place, apply = rng.choice(by_operator[operator])
    apply(module, rng)
    return operator, f"{name.replace('$', '')} {place}"


def _changes(cell: dict) -> Iterator[tuple[str, str, Callable]]:
    """Every fault that can be made at a cell: (operator, place, what makes it)."""
    kind, pins = cell["type"], cell["connections"]
    if kind in _OTHER:
        yield "operator", f"{kind} as {_OTHER[kind]}", lambda *_: cell.update(type=_OTHER[kind])
    if kind in _ARITHMETIC:
        yield "sign", kind, lambda *_: _flip_signs(cell)
    if "FF" in kind.upper():
        for bit in range(len(pins["Q"])):
            yield "register", f"bit {bit} holds", lambda *_, b=bit: _put(pins, "D", b, pins["Q"][b])
    inputs = [pin for pin, way in cell["port_directions"].items() if way == "input"]
    for pin in inputs:
        for bit, net in enumerate(pins[pin]):
            if pin in ("C", "CLK"):
                continue
            where = f"{kind} {pin}[{bit}]"
            if isinstance(net, str):
                if net in "01":
                    flipped = "10"[int(net)]
                    yield "constant", where, lambda *_, p=pin, b=bit, v=flipped: _put(pins, p, b, v)
                continue
            for value in "01":
                yield (
                    f"stuck at {value}", where,
                    lambda *_, p=pin, b=bit, v=value: _put(pins, p, b, v),
                )  # fmt: skip
            yield "inverted", where, lambda m, _, p=pin, b=bit: _invert(m, pins, p, b)
    exchangeable = {"A", "B"} <= set(inputs) and kind not in _SYMMETRIC
    if exchangeable and len(pins["A"]) == len(pins["B"]) and pins["A"] != pins["B"]:
        yield "exchanged", f"{kind} A and B", lambda *_: pins.update(A=pins["B"], B=pins["A"])


def _put(pins: dict, pin: str, bit: int, value: int | str) -> None:
    pins[pin] = [*pins[pin][:bit], value, *pins[pin][bit + 1 :]]


def _flip_signs(cell: dict) -> None:
    for name in ("A_SIGNED", "B_SIGNED"):
        if name in cell["parameters"]:
            value = cell["parameters"][name]
            cell["parameters"][name] = value[:-1] + "10"[int(value[-1])]


def _invert(module: dict, pins: dict, pin: str, bit: int) -> None:
    used = [b for c in module["cells"].values() for bits in c["connections"].values() for b in bits]
    fresh = 1 + max(b for b in used if isinstance(b, int))
    module["cells"]["inverter"] = {
        "hide_name": 0,
        "type": "$_NOT_",
        "parameters": {},
        "attributes": {},
        "port_directions": {"A": "input", "Y": "output"},
        "connections": {"A": [pins[pin][bit]], "Y": [fresh]},
    }
    _put(pins, pin, bit, fresh)
