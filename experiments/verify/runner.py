# amaranth: UnusedElaboratable=no
"""Verify units: their exported Verilog in a simulator against the golden model."""

import json
import pickle
import re
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from amaranth import Value
from amaranth.lib import wiring

from macsmith.experiments.operands import Operands
from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import FULL, TOP, Effort, Instance, Port, top_verilog
from macsmith.experiments.verify.checker import bench_keys
from macsmith.experiments.verify.lint import warns
from macsmith.experiments.verify.reach import unreached
from macsmith.experiments.verify.results import Checked, VerifyResult
from macsmith.experiments.verify.simulators import environment, run_bench
from macsmith.experiments.verify.sums import can_overflow
from macsmith.hw.export import to_verilog_many, write_atomically
from macsmith.sim.spec import MacSpec

__all__ = [
    "Case", "Checked", "Prepared", "VerifyResult", "build_cases", "cases_of", "describe",
    "prepare", "run", "run_operands", "simulate",
]  # fmt: skip


#: A register's declaration with its first value; what Yosys puts in to wake up blocks is none.
_BEGUN = re.compile(r"^( *reg (?:signed )?(?:\[[^]]*\] )?(?!\\\$auto)\S+) = [^;]*;", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """One module to verify: a unit, its spec, and its options by name (defaults left out); and its
    place among the modules with which it shares what takes turns, see `bench.Instance`."""

    unit: str
    spec: MacSpec
    options: tuple[tuple[str, Any], ...] = ()
    place: int = 0
    sharing: int = 1

    @property
    def style(self) -> str:
        return dict(self.options).get("style", "plain")

    @property
    def module(self) -> str:
        """A name for its Verilog: not unique, because formats of users may share one."""
        unit, spec = get_unit(self.unit), self.spec
        words = [self.unit]
        if unit.weighs:
            words.append(spec.weights.name)
        if "activations" in unit.named_after:
            words.append(spec.activations.name)
        if "sum" in unit.named_after:
            words += [f"{spec.overflow}{spec.acc_width}", f"lanes{spec.lanes}"]
        for name, value in self.options:
            words.append(str(value) if isinstance(value, str) else f"{name}{value}")
        if self.style == "plain" and "plain" not in words:
            words.append("plain")
        return re.sub(r"\W", "_", "_".join(words))


def run(
    unit: str,
    specs: Sequence[MacSpec],
    simulator: str = "verilator",
    *,
    effort: Effort = FULL,
    **options: Any,
) -> VerifyResult:
    """Verify ``unit`` for every spec (a decoder: its weights) in one build of ``simulator``.

    A unit that sums is driven with operand corners, all pairs of operand codes, a random run with
    clears, stalls and resets, and runs to overflow. Where the accumulator is too wide to be driven
    to overflow, a companion with a narrow one, the same in everything else, is verified beside it.
    Of specs with the same formats the first alone goes through all pairs, unless they are few.

    ValueError for an unknown unit, option, style or simulator, and if there is no spec;
    `simulators.SimulatorMissing` and `simulators.BenchError` as they say.
    """
    environment(simulator)  # complain before the work and not after it
    if not specs:
        raise ValueError("nothing to verify: no spec was given")
    return build_cases(unit, cases_of(unit, specs, options), simulator, effort)


def cases_of(unit: str, specs: Sequence[MacSpec], options: Mapping[str, Any]) -> list[Case]:
    """One case for each spec (of those that are one to this unit, the first) and companion."""
    known = get_unit(unit)
    known.complete(options)
    cases = {}
    for spec in (variant for given in specs for variant in _variants(unit, given)):
        cases.setdefault(known.matters(spec), Case(unit, spec, tuple(options.items())))
    return list(cases.values())


def build_cases(
    label: str, cases: Sequence[Case], simulator: str, effort: Effort = FULL
) -> VerifyResult:
    """Verify all cases in one build; the result's modules are in their order."""
    started = time.perf_counter()
    prepared = prepare(cases)
    exported = time.perf_counter() - started
    instances = prepared.instances(effort)
    result = simulate(label, instances, prepared.verilog, simulator)
    seconds = {"export": exported, **result.seconds}
    return replace(result, seconds=seconds, notes=_notes(instances))


def _notes(instances: Sequence[Instance]) -> tuple[str, ...]:
    """What is not reached, and which companion reaches it in its place."""

    def like(one: Instance) -> tuple:
        return one.spec.weights, one.spec.activations, one.spec.lanes, dict(one.options)

    notes = []
    for one, said in ((one, unreached(one)) for one in instances):
        others = (
            f"; that of {other.spec.acc_width} bits was, in {other.module}"
            for other in instances
            if said and like(other) == like(one) and not unreached(other)
        )
        notes += [f"{one.module}: {said}{next(others, '')}"] if said else []
    return tuple(notes)


@dataclass(frozen=True)
class Prepared:
    """Cases that are built: one module each."""

    cases: Sequence[Case]
    described: Sequence[Instance]
    verilog: Mapping[str, str]

    def instances(self, effort: Effort) -> list[Instance]:
        """What to simulate. Of a style with the same formats the first alone has long sweeps."""
        found, paired = [], set()
        for case, one in zip(self.cases, self.described, strict=True):
            formats = case.unit, case.style, case.spec.weights, case.spec.activations
            found.append(replace(one, effort=effort.briefly() if formats in paired else effort))
            paired.add(formats)
        return found


def prepare(cases: Sequence[Case]) -> Prepared:
    """Build and export all cases."""
    components: dict[str, wiring.Component] = {}
    described = []
    for case in cases:
        name = case.module
        while name in components:  # two users' formats may share a name
            name += "_"
        options = dict(case.options)
        components[name] = get_unit(case.unit).make(case.spec, **options)
        one = describe(case.unit, name, case.spec, components[name], **options)
        described.append(replace(one, place=case.place, sharing=case.sharing))
    return Prepared(cases, described, to_verilog_many(components))


def describe(
    unit: str, module: str, spec: MacSpec, component: wiring.Component, **options: Any
) -> Instance:
    """The bench's view of ``component``, exported as ``module``."""
    ports: dict[str, list[Port]] = {"In": [], "Out": []}
    for path, member, value in component.signature.flatten(component):
        port = Port("__".join(map(str, path)), len(Value.cast(value)))
        if port.width:
            ports[member.flow.name].append(port)
    clocked = [Port("rst", 1)] if component.latency else []
    known = get_unit(unit)
    return Instance(
        module,
        unit,
        spec,
        component.latency,
        (*clocked, *ports["In"]),
        tuple(ports["Out"]),
        known.complete(options),
    )


def simulate(
    label: str, instances: Sequence[Instance], verilog: Mapping[str, str], simulator: str
) -> VerifyResult:
    """Run the bench of ``instances``, whose modules are in ``verilog``, in a temporary folder.

    In Icarus registers begin unknown, whatever the Verilog says: what a reset leaves out is seen.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="macsmith-verify-") as name:
        folder = Path(name)
        for module, text in verilog.items():
            if simulator == "icarus":  # which knows X: silicon has no first values but a reset's
                text = _BEGUN.sub(r"\1;", text)
            write_atomically(folder / f"{module}.v", text)
        write_atomically(folder / f"{TOP}.v", top_verilog(instances, bench_keys(instances)))
        (folder / "instances.pickle").write_bytes(pickle.dumps(list(instances)))
        run_bench(folder, simulator)
        found = json.loads((folder / "result.json").read_text())
        clean = simulator == "verilator" and not warns((folder / "log.txt").read_text(), TOP)
        seconds = {"build": float((folder / "seconds_build").read_text()), **found["seconds"]}
    seconds["start and end"] = time.perf_counter() - started - sum(seconds.values())
    modules: dict[str, Checked] = {}
    for one, new in zip(instances, found["instances"], strict=True):
        old = modules.get(one.module)
        modules[one.module] = _joined(old, Checked(**new)) if old else Checked(**new)
    return VerifyResult(label, simulator, modules, found["cycles"], seconds, clean)


def _joined(a: Checked, b: Checked) -> Checked:
    """Two instances of one module."""
    bins = {name: a.bins.get(name, 0) + b.bins.get(name, 0) for name in {**a.bins, **b.bins}}
    events = Counter(a.events) + Counter(b.events)
    return Checked(a.results + b.results, a.wrong + b.wrong, a.first or b.first, bins, events)


def run_operands(
    streams: Mapping[MacSpec, Operands], simulator: str, *, style: str = "plain"
) -> dict[MacSpec, tuple[int, int]]:
    """MACs driven with given operands: by spec, results compared and those that were wrong."""
    components, instances = {}, []
    for k, (spec, given) in enumerate(streams.items()):
        name = f"{Case('mac', spec, (('style', style),)).module}_{k}"
        components[name] = get_unit("mac").make(spec, style=style)
        one = describe("mac", name, spec, components[name], style=style)
        z = given.z if given.z is not None else np.zeros_like(given.w)
        products = np.stack([given.w, given.a, z, given.clear], axis=-1, dtype=np.int64)
        instances += [replace(one, given=tuple(map(tuple, part))) for part in products.tolist()]
    result = simulate("mac", instances, to_verilog_many(components), simulator)
    checked = dict(zip(streams, (result.modules[name] for name in components), strict=True))
    return {spec: (found.results, found.wrong) for spec, found in checked.items()}


def _variants(unit: str, spec: MacSpec) -> list[MacSpec]:
    """The spec, and where its accumulator is wide a companion with a narrow one, which wraps where
    the spec says that nothing overflows: it is the same hardware."""
    if not get_unit(unit).companion or all(can_overflow(spec).values()):
        return [spec]
    overflow = "wrap" if spec.overflow == "exact" else spec.overflow
    return [spec, replace(spec, acc_width=spec.product_width + 1, overflow=overflow)]
