"""Formal proofs: each style of a unit does what the plain one does, for all inputs in all states.

A decoder is compared with its format's table instead, for every code and zero point. Of other units
without registers the outputs are compared for every input; of sums the step from every state
(`proof_step`); of a pipeline without sums what comes out of it in every state; of units with a
handshake every register (`proof_machine`). `proof_words` has the arguments. Every proof has a limit
of time; one that runs out of it is no success.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

from amaranth.lib import data, wiring

from macsmith.experiments.units import Unit, get_unit
from macsmith.experiments.verify.proof_levels import table
from macsmith.experiments.verify.proof_machine import pipelined, same_machine
from macsmith.experiments.verify.proof_problem import INNER, Problem
from macsmith.experiments.verify.proof_step import step
from macsmith.experiments.verify.proof_words import Differ, prove_words, values_of
from macsmith.hw.aig import Aig
from macsmith.hw.aig_yosys import to_aigs
from macsmith.hw.cec import Undecided
from macsmith.sim.spec import MacSpec

__all__ = ["LIMIT_S", "PROVABLE", "Proof", "Proofs", "decide", "pose", "prove", "require_provable"]

LIMIT_S = 300.0
#: Units of several styles: all but floating-point MACs.
PROVABLE = ("decoder", "multiplier", "mac", "dot", "shared", "array", "gemm", "requantizer")


@dataclass(frozen=True)
class Proof:
    """One proof.

    Attributes
    ----------
    unit, style, spec : str
        What was proven equal to the plain style, or, a decoder, to its format's table.
    pipeline : int
    verdict : str
        "proven", "differs" or "undecided".
    cases : int
        Values of the strobes that were told apart.
    how : dict
        Words proven, by argument: structure (the same gates), exhaustion, algebra, SAT.
    counterexample : dict
        Inputs and state that matter, by name; ``word`` says what differs then.
    wanted, got : int
        That word in the plain style and in this one, as unsigned numbers.
    seconds : float
    """

    unit: str
    style: str
    spec: str
    pipeline: int
    verdict: str
    cases: int
    how: Mapping[str, int]
    counterexample: Mapping[str, int] = field(default_factory=dict)
    word: str = ""
    wanted: int = 0
    got: int = 0
    note: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def what(self) -> str:
        """Which proof it is."""
        stages = f", pipeline {self.pipeline}" if self.pipeline else ""
        return f"{self.unit} {self.spec} {self.style}{stages}"

    @property
    def line(self) -> str:
        """For a person."""
        how = ", ".join(f"{count} by {name}" for name, count in self.how.items() if count)
        if self.verdict == "proven":
            return f"{self.what}: proven in {self.seconds:.2f} s ({how})"
        if self.verdict == "differs":
            values = " ".join(f"{name}={value:#x}" for name, value in self.counterexample.items())
            differ = f"{self.got:#x} and not {self.wanted:#x}"
            return f"{self.what}: DIFFERS in {self.word}, {differ}: {values}"
        return f"{self.what}: NOT PROVEN in {self.seconds:.0f} s: {self.note}"


@dataclass(frozen=True)
class Proofs:
    """Several proofs; ``seconds`` includes Yosys."""

    proofs: tuple[Proof, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """All proven, and more than none."""
        return bool(self.proofs) and all(proof.verdict == "proven" for proof in self.proofs)

    def as_dict(self) -> dict:
        """For JSON."""
        return {"ok": self.ok, **asdict(self)}

    def lines(self) -> list[str]:
        """For a person: each proof, and the totals."""
        return [*(proof.line for proof in self.proofs), *self.totals()]

    def totals(self) -> list[str]:
        """How many are proven, and the names of all that are not."""
        proven = sum(proof.verdict == "proven" for proof in self.proofs)
        lines = [f"{proven} of {len(self.proofs)} proven in {self.seconds:.1f} s"]
        for verdict, words in (("undecided", "NOT PROVEN"), ("differs", "DIFFERS")):
            lines += [f"{words}: {p.what}" for p in self.proofs if p.verdict == verdict]
        if not self.proofs:
            lines.append("nothing was proven: this is a failure")
        return lines


def require_provable(unit: str) -> None:
    """ValueError if a unit has no proofs."""
    if unit not in PROVABLE:
        raise ValueError(f"no proofs for unit {unit!r}: {', '.join(PROVABLE)} have them")


def prove(
    unit: str,
    specs: Sequence[MacSpec],
    styles: Sequence[str] | None = None,
    pipelines: Sequence[int] = (0,),
    *,
    limit_s: float = LIMIT_S,
    **options: Any,
) -> Proofs:
    """Prove every style that can serve a spec equal to the plain one without pipeline.

    ``options`` are the unit's own. A style that is named and cannot serve a spec is a ValueError,
    as is a unit without proofs.
    """
    started = time.monotonic()
    require_provable(unit)
    kind = get_unit(unit)
    if "pipeline" not in kind.options:
        pipelines = (0,)
    plains = {spec: kind.make(spec, **options) for spec in dict.fromkeys(specs)}
    components = {}
    for spec, plain in plains.items():
        for style, pipeline in product(styles or kind.style_names(spec, **options), pipelines):
            if unit != "decoder" and style == plain.style and pipeline == 0:
                continue
            stages = {"pipeline": pipeline} if "pipeline" in kind.options else {}
            components[spec, style, pipeline] = kind.make(spec, style=style, **stages, **options)
    designs = {f"plain {k}": plain for k, plain in enumerate(plains.values())}
    designs |= {f"unit {k}": component for k, component in enumerate(components.values())}
    graphs, refused = _graphs(designs, INNER.get(unit, INNER["sums"]))
    numbers = {spec: k for k, spec in enumerate(plains)}
    proofs = []
    for k, ((spec, style, pipeline), component) in enumerate(components.items()):
        begun = time.monotonic()
        what = unit, style, _describe(kind, spec, options), pipeline
        if note := refused.get(f"unit {k}"):
            proofs.append(Proof(*what, "undecided", 0, {}, note=note))
            continue
        wanted = table(spec.weights) if unit == "decoder" else graphs[f"plain {numbers[spec]}"]
        try:
            problem = pose(wanted, graphs[f"unit {k}"], component, handshake=kind.handshake)
        except ValueError as error:
            proofs.append(Proof(*what, "undecided", 0, {}, note=str(error)))
        else:
            proofs.append(decide(problem, what, begun, limit_s))
    return Proofs(tuple(proofs), time.monotonic() - started)


def _graphs(
    designs: Mapping[str, wiring.Component], inner: str
) -> tuple[dict[str, Aig], dict[str, str]]:
    """The graphs, and why some designs have none: see `aig_clocks`."""
    expose = {name: inner for name in designs if name.startswith("plain")}
    try:
        return to_aigs(designs, expose), {}
    except ValueError:  # Yosys' too
        graphs, refused = {}, {}
    for name, design in designs.items():
        try:
            graphs |= to_aigs({name: design}, expose)
        except ValueError as error:
            if name.startswith("plain"):
                raise
            refused[name] = f"no step of one clock: {error}"
    return graphs, refused


def pose(plain: Aig, unit: Aig, component: wiring.Component, *, handshake: bool = False) -> Problem:
    """What is to be proven of the circuit ``unit`` of ``component``."""
    if component.latency == 0 or handshake:
        return same_machine(plain, unit)
    if not plain.registers:
        return pipelined(plain, unit, component.latency)
    elements = {
        name: member.shape.elem_shape.width
        for name, member in component.signature.members.items()
        if isinstance(member.shape, data.ArrayLayout)
    }
    return step(plain, unit, component.latency, elements)


def decide(
    problem: Problem, what: tuple[str, str, str, int], begun: float, limit_s: float = LIMIT_S
) -> Proof:
    """Prove a problem within ``limit_s`` of ``begun``; ``what`` is unit, style, spec, pipeline."""
    deadline = begun + limit_s
    verdict, how, found = "proven", {}, {}
    try:
        how = _prove(problem, deadline)
    except Differ as error:
        verdict, (wanted, got) = "differs", values_of(problem.graph, error.words, error.model)
        values = problem.named(error.words, error.model)
        found = {"counterexample": values, "word": error.words.name, "wanted": wanted, "got": got}
    except Undecided as error:
        verdict, found = "undecided", {"note": str(error)}
    seconds = time.monotonic() - begun
    return Proof(*what, verdict, problem.cases, how, **found, seconds=seconds)


def _prove(problem: Problem, deadline: float) -> dict[str, int]:
    """How many words in which way; `Differ` or `Undecided` otherwise."""
    if problem.lemmas:
        half = (time.monotonic() + deadline) / 2
        try:
            how = prove_words(problem.graph, problem.lemmas, half)
        except (Differ, Undecided):  # no lemma, but no more is known
            pass
        else:
            return dict(how + prove_words(problem.graph, problem.cut, deadline))
    return dict(prove_words(problem.graph, problem.pairs, deadline))


def _describe(kind: Unit, spec: MacSpec, options: Mapping[str, Any]) -> str:
    """A spec and options, as far as they mean anything to the unit."""
    words = []
    if "weights" in kind.named_after:
        words.append(spec.weights.name)
    if "activations" in kind.named_after:
        words.append(f"x {spec.activations.name}")
    if kind.weighs and kind.accumulates:
        words.append(f"{spec.overflow}")
    if kind.accumulates:
        words.append(f"{spec.acc_width}")
    if spec.lanes > 1:
        words.append(f"lanes {spec.lanes}")
    words += [f"{name} {value}" for name, value in options.items()]
    return " ".join(words)
