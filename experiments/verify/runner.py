# amaranth: UnusedElaboratable=no
"""Verify units: their exported Verilog in a simulator against the golden model."""

import json
import pickle
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from amaranth.lib import wiring

from macsmith.experiments.operands import Operands
from macsmith.experiments.verify.bench import TOP, Port, Unit, top_verilog
from macsmith.experiments.verify.simulators import environment, run_bench
from macsmith.experiments.verify.stimulus import can_overflow, pair_count
from macsmith.hw.decoder import Decoder
from macsmith.hw.export import to_verilog_many, write_atomically
from macsmith.hw.mac import Mac
from macsmith.hw.multiplier import Multiplier
from macsmith.sim.spec import MacSpec

__all__ = ["KINDS", "Checked", "VerifyResult", "describe", "run", "run_operands", "simulate"]

#: Kind of unit -> (component, name of its output, what of a spec matters to it).
KINDS = {
    "decoder": (
        lambda spec, style: Decoder(spec.weights, style),
        "level",
        lambda spec: spec.weights,
    ),
    "mac": (Mac, "acc", lambda spec: spec),
    "multiplier": (Multiplier, "product", lambda spec: (spec.weights, spec.activations)),
}

#: Operand pairs that one instance goes through; with more, instances of the same module share them.
SHARE = 2**13
MOST_INSTANCES = 32  # each is compiled and simulated
#: Pairs that every spec goes through, and not only the first of its formats.
FEW = 2**12


@dataclass(frozen=True)
class Checked:
    """One module: products compared with golden, how many cycles were wrong, and the first."""

    products: int
    wrong: int
    first: str


@dataclass(frozen=True)
class VerifyResult:
    """What a run of benches found.

    Attributes
    ----------
    unit, simulator : str
    modules : dict of Checked
        By module: one for each spec and companion.
    cycles : int
        Clock cycles of the longest unit; all run side by side.
    cover : dict
        How often what was worth testing happened: pairs, clears, stalls, resets, overflows.
    seconds : dict
        Wall time by step.
    """

    unit: str
    simulator: str
    modules: Mapping[str, Checked]
    cycles: int
    cover: Mapping[str, int]
    seconds: Mapping[str, float] = field(compare=False)

    @property
    def products(self) -> int:
        """Results compared: of products (or codes) that entered, and not of idle cycles."""
        return sum(module.products for module in self.modules.values())

    @property
    def failures(self) -> dict[str, str]:
        """First wrong result of each failing module, with its stimulus."""
        return {name: module.first for name, module in self.modules.items() if module.wrong}

    @property
    def ok(self) -> bool:
        """No wrong result, and in each module more than none compared."""
        none = [name for name, module in self.modules.items() if not module.products]
        return bool(self.modules) and not none and not self.failures

    def as_dict(self) -> dict:
        """For JSON."""
        extra = {"ok": self.ok, "products": self.products, "failures": self.failures}
        return asdict(self) | extra

    def lines(self) -> list[str]:
        """For a person."""
        cover = ", ".join(f"{name} {count:,}" for name, count in sorted(self.cover.items()))
        lines = [
            f"{self.unit} in {self.simulator}: {self.products:,} products checked in "
            f"{len(self.modules)} modules, {self.cycles:,} cycles, "
            f"{sum(self.seconds.values()):.1f} s; {len(self.failures)} modules failed",
            f"covered: {cover}",
            *self.failures.values(),
        ]
        if not self.products:
            lines.append("no product was checked: this is a failure")
        return lines


def run(
    unit: str,
    specs: Sequence[MacSpec],
    simulator: str = "verilator",
    *,
    style: str = "plain",
) -> VerifyResult:
    """Verify ``unit`` for every spec (a decoder: its weights) in one build of ``simulator``.

    A MAC is driven with all pairs of operand codes, a random run with clears, stalls and resets,
    and runs to overflow; of specs with the same formats the first alone goes through all pairs,
    unless they are few. Where the accumulator is too wide to be driven to overflow, a companion
    with a narrow one, the same in everything else, is verified beside it.

    ValueError for an unknown unit, style or simulator, and if there is no spec;
    `simulators.SimulatorMissing` and `simulators.BenchError` as they say.
    """
    if unit not in KINDS:
        raise ValueError(f"no bench for unit {unit!r}: {', '.join(KINDS)} have one")
    environment(simulator)  # complain before the work and not after it
    if not specs:
        raise ValueError("nothing to verify: no spec was given")
    started = time.perf_counter()
    build, _, matters = KINDS[unit]
    components, units, seen, paired = {}, [], set(), set()
    for spec in (variant for given in specs for variant in _variants(unit, given)):
        if matters(spec) in seen:
            continue
        seen.add(matters(spec))
        name = _module_name(unit, spec, style, taken=components)
        components[name] = build(spec, style)
        one = describe(unit, name, spec, components[name])
        shares = [(0, 1)] if unit == "decoder" else _shares(spec, paired)
        units += [replace(one, share=share) for share in shares]
    verilog = to_verilog_many(components)
    exported = time.perf_counter() - started
    result = simulate(unit, units, verilog, simulator)
    return replace(result, seconds={"export": exported, **result.seconds})


def describe(kind: str, module: str, spec: MacSpec, component: wiring.Component) -> Unit:
    """The bench's view of ``component``, exported as ``module``."""
    _, output, _ = KINDS[kind]
    members = {path[0]: flow for path, flow, _ in component.signature.flatten(component)}
    ports = {name: Port(name, len(getattr(component, name))) for name in members}
    out = ports.pop(output)
    clocked = [Port("rst", 1)] if component.latency else []
    return Unit(module, kind, spec, component.latency, (*clocked, *ports.values()), out)


def simulate(
    kind: str, units: Sequence[Unit], verilog: Mapping[str, str], simulator: str
) -> VerifyResult:
    """Run the bench of ``units``, whose modules are in ``verilog``, in a temporary folder."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="macsmith-verify-") as name:
        folder = Path(name)
        for module, text in verilog.items():
            write_atomically(folder / f"{module}.v", text)
        write_atomically(folder / f"{TOP}.v", top_verilog(list(units)))
        (folder / "units.pickle").write_bytes(pickle.dumps(list(units)))
        run_bench(folder, simulator)
        found = json.loads((folder / "result.json").read_text())
        seconds = {"build": float((folder / "seconds_build").read_text()), **found["seconds"]}
    seconds["start and end"] = time.perf_counter() - started - sum(seconds.values())
    modules: dict[str, Checked] = {}
    for unit, new in zip(units, found["units"], strict=True):
        old = modules.get(unit.module, Checked(0, 0, ""))
        modules[unit.module] = Checked(
            old.products + new["products"], old.wrong + new["wrong"], old.first or new["first"]
        )
    return VerifyResult(kind, simulator, modules, found["cycles"], found["cover"], seconds)


def run_operands(
    streams: Mapping[MacSpec, Operands], simulator: str, *, style: str = "plain"
) -> dict[MacSpec, tuple[int, int]]:
    """MACs driven with given operands: by spec, products compared and results that were wrong."""
    components, units = {}, []
    for spec, given in streams.items():
        name = _module_name("mac", spec, style, taken=components)
        components[name] = Mac(spec, style)
        one = describe("mac", name, spec, components[name])
        z = given.z if given.z is not None else np.zeros_like(given.w)
        products = np.stack([given.w, given.a, z, given.clear], axis=-1, dtype=np.int64)
        units += [replace(one, given=tuple(map(tuple, stream))) for stream in products.tolist()]
    result = simulate("mac", units, to_verilog_many(components), simulator)
    checked = dict(zip(streams, (result.modules[name] for name in components), strict=True))
    return {spec: (found.products, found.wrong) for spec, found in checked.items()}


def _variants(unit: str, spec: MacSpec) -> list[MacSpec]:
    """The spec, and where its accumulator is wide a companion with a narrow one."""
    if unit != "mac" or all(can_overflow(spec).values()):
        return [spec]
    return [spec, replace(spec, acc_width=spec.product_width + 1)]


def _shares(spec: MacSpec, paired: set) -> list[tuple[int, int]]:
    """How instances share the pairs of operand codes.

    Of specs with the same formats the first goes through all pairs; the others do where there are
    few. ``paired`` keeps track.
    """
    formats = spec.weights, spec.activations
    n = pair_count(spec)
    if formats in paired and n > FEW:
        return [(0, 0)]
    paired.add(formats)
    instances = max(1, min(n // SHARE, MOST_INSTANCES))
    return [(i, instances) for i in range(instances)]


def _module_name(unit: str, spec: MacSpec, style: str, *, taken: Mapping) -> str:
    words = [unit, spec.weights.name]
    if unit != "decoder":
        words.append(spec.activations.name)
    if unit == "mac":
        words += [f"{spec.overflow}{spec.acc_width}", f"lanes{spec.lanes}"]
    name = "_".join([*words, style])
    while name in taken:  # two users' formats may share a name
        name += "_"
    return name
