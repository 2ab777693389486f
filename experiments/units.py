# amaranth: UnusedElaboratable=no
"""The units by name: how each is made, which options it takes, how it is driven and checked.

One record per unit. Options, their defaults and their checks are the component's own; styles are
those of its registry, so that a new style is known here without an edit.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from macsmith.experiments.gates import CODES, FACTORS, GROUPS, OUTPUTS, SUMS, Gates
from macsmith.experiments.gates_arrays import ARRAYS
from macsmith.experiments.gates_gemm import GEMMS
from macsmith.experiments.widths import Depth, bits_of
from macsmith.sim.names import suggestion
from macsmith.sim.spec import MAX_SUM_BITS, MacSpec

__all__ = ["UNITS", "Unit", "get_unit", "make_unit", "spec_for"]


@dataclass(frozen=True)
class Unit:
    """One kind of hardware.

    Attributes
    ----------
    name : str
    component, styles : str
        ``module:name`` in `macsmith.hw` of the component, and of its `Styles`.
    bench : str
        ``module:name`` in `macsmith.experiments.verify` of what drives and checks it: a function
        that fills a `stimulus.Stream`, or with ``handshake`` an agent (see `handshake`).
    subject : callable
        (spec, options of its own) -> the component's first argument.
    matters : callable
        What of a spec the numbers depend on; specs that agree in it are one.
    subject_options : dict
        Names and defaults of the options of ``subject``.
    contract : frozenset of str
        Options that decide numbers or ports, and not only how they are computed.
    handshake : bool
        Whether results come when they are ready, and not a fixed number of cycles after.
    accumulates : bool
        Whether the spec's accumulator, overflow and lanes mean anything.
    companion : bool
        Whether a wide accumulator is verified beside a narrow one, because only that overflows.
    named_after : tuple of str
        What of a spec is in a module's name: "weights", "activations", "sum".
    gates : Gates or None
        How its netlist is driven and checked in the bit-parallel simulation.
    lanes : int
        Products of a group, where a command line does not say.
    """

    name: str
    component: str
    styles: str
    bench: str
    subject: Callable[..., Any] = lambda spec: spec
    matters: Callable[[MacSpec], Any] = lambda spec: spec
    subject_options: tuple[tuple[str, Any], ...] = ()
    contract: frozenset[str] = frozenset()
    handshake: bool = False
    accumulates: bool = True
    companion: bool = False
    named_after: tuple[str, ...] = ("weights", "activations", "sum")
    gates: Gates | None = None
    lanes: int = 1

    @property
    def weighs(self) -> bool:
        """Whether the format of the weights means anything."""
        return "weights" in self.named_after

    @property
    def ignores(self) -> frozenset[str]:
        """Parameters of a measurement that mean nothing to it: of the spec, and of the energy."""
        spare = {"weights", "activations"} - set(self.named_after)
        if "sum" not in self.named_after:
            spare |= {"acc_width"}
        if not (self.accumulates and self.weighs):
            spare |= {"overflow", "lanes"}
        return frozenset(spare if self.gates else spare | {"operands"})

    @cached_property
    def kind(self) -> Any:
        """The component's class."""
        return _load("hw", self.component)

    @cached_property
    def registry(self) -> Any:
        """The `Styles` of this unit."""
        return _load("hw", self.styles)

    @property
    def options(self) -> dict[str, Any]:
        """Every option with its default; ``style`` is the first."""
        parameters = list(inspect.signature(self.kind).parameters.values())[1:]
        return {p.name: p.default for p in parameters} | dict(self.subject_options)

    def complete(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Every option: as given, else its default; ValueError on one that it does not have."""
        mine = self.options
        for name in options:
            if name not in mine:
                raise ValueError(f"{self.name} has no option {name!r}; it takes {', '.join(mine)}")
        return mine | dict(options)

    def subject_of(self, spec: MacSpec, options: Mapping[str, Any]) -> Any:
        """What the component is made from, and what its styles serve or refuse."""
        options = self.complete(options)
        return self.subject(spec, **{name: options[name] for name, _ in self.subject_options})

    def make(self, spec: MacSpec, **options: Any) -> Any:
        """The component; ValueError on an unknown option or style, or one that does not fit."""
        mine = {name for name, _ in self.subject_options}
        own = {k: v for k, v in self.complete(options).items() if k not in mine}
        return self.kind(self.subject_of(spec, options), **own)

    def style_names(self, spec: MacSpec, **options: Any) -> list[str]:
        """Styles that can serve this spec."""
        return self.registry.names(self.subject_of(spec, options))

    def driver(self) -> Any:
        """What drives and checks it in a bench."""
        return _load("experiments.verify", self.bench)


def _load(package: str, place: str) -> Any:
    module, name = place.split(":")
    return getattr(importlib.import_module(f"macsmith.{package}.{module}"), name)


def _decoded(spec: MacSpec) -> Any:
    return spec.weights


def _requantized(spec: MacSpec, **own: Any) -> Any:
    from macsmith.sim.requantize import RequantizeSpec

    return RequantizeSpec(acc_width=spec.acc_width, correction_width=spec.acc_width, **own)


def _float(spec: MacSpec, fmt: str) -> Any:
    from macsmith.sim.floating import get_float

    return get_float(fmt)


UNITS = {
    unit.name: unit
    for unit in (
        Unit(
            "decoder",
            "decoder:Decoder",
            "decoder:DECODERS",
            bench="combinational:drive_decoder",
            subject=_decoded,
            matters=_decoded,
            accumulates=False,
            named_after=("weights",),
            gates=CODES,
        ),
        Unit(
            "multiplier",
            "multiplier:Multiplier",
            "multiplier:MULTIPLIERS",
            bench="combinational:drive_multiplier",
            matters=lambda spec: (spec.weights, spec.activations),
            accumulates=False,
            named_after=("weights", "activations"),
            gates=FACTORS,
        ),
        Unit(
            "mac",
            "mac:Mac",
            "mac:MACS",
            bench="sums_cases:drive_sums",
            companion=True,
            gates=SUMS,
        ),
        Unit(
            "dot",
            "dot:DotProduct",
            "dot:DOTS",
            bench="sums_cases:drive_sums",
            companion=True,
            gates=GROUPS,
            lanes=8,
        ),
        Unit(
            "shared",
            "shared:SharedMultiples",
            "shared:SHARED",
            bench="sums_cases:drive_sums",
            contract=frozenset({"outputs"}),
            companion=True,
            gates=OUTPUTS,
        ),
        Unit(
            "array",
            "array:SystolicArray",
            "array_element:ARRAYS",
            bench="arrays:drive_array",
            contract=frozenset({"rows", "cols", "dataflow"}),
            handshake=True,
            companion=True,
            gates=ARRAYS,
        ),
        Unit(
            "gemm",
            "gemm:Gemm",
            "array_element:ARRAYS",
            bench="gemm:drive_gemm",
            contract=frozenset({
                "rows",
                "cols",
                "dataflow",
                "depth",
                "rounding",
                "exits",
                "zero_points",
                "sums",
            }),
            handshake=True,
            companion=True,
            gates=GEMMS,
        ),
        Unit(
            "requantizer",
            "requantizer:Requantizer",
            "requantizer:REQUANTIZERS",
            bench="requantizing:drive_requantizer",
            subject=_requantized,
            matters=lambda spec: spec.acc_width,
            subject_options=(("rounding", "half-up"),),
            contract=frozenset({"rounding"}),
            named_after=("sum",),
        ),
        Unit(
            "float_mac",
            "float_mac:FloatMac",
            "float_mac:FLOAT_MACS",
            bench="floats:drive_float_mac",
            subject=_float,
            matters=lambda spec: None,
            subject_options=(("fmt", "fp16"),),
            contract=frozenset({"fmt"}),
            accumulates=False,
            named_after=(),
        ),
    )
}


def get_unit(name: str) -> Unit:
    """The unit called ``name``; ValueError with the nearest one, or all, otherwise."""
    if name not in UNITS:
        raise ValueError(f"unknown unit {name!r}; {suggestion(name, UNITS)}")
    return UNITS[name]


def spec_for(
    unit: str, weights: str, activations: str, acc_width: int, overflow: str, lanes: int | None
) -> MacSpec:
    """The spec that a command line describes; without lanes, with the unit's usual ones.

    A unit without an accumulator takes formats whose product is wider than ``acc_width``, and one
    without weights takes accumulators that are narrower than their product, and no `widths.Depth`.
    """
    known = get_unit(unit)
    if known.accumulates and not known.weighs:
        if isinstance(acc_width, Depth):
            raise ValueError(f"a {unit} has no formats from which its width could be told")
        weights = activations = "int2"
        if not 4 <= acc_width <= MAX_SUM_BITS - 1:
            raise ValueError(f"a {unit} takes 4 to {MAX_SUM_BITS - 1} bits, not {acc_width}")
    if known.accumulates:
        return MacSpec(
            weights,
            activations,
            bits_of(acc_width, weights, activations),
            overflow,
            known.lanes if lanes is None else lanes,
        )
    product = MacSpec(weights, activations, MAX_SUM_BITS, "exact").product_width
    return MacSpec(weights, activations, product, "wrap")


def make_unit(name: str, spec: MacSpec, **options: Any) -> Any:
    """The component; ValueError on an unknown unit, option or style."""
    return get_unit(name).make(spec, **options)
