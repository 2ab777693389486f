"""Everything that `macsmith verify --all` runs: every unit, in every style, for the main formats.

Each style meets each format, with a wide accumulator and with a narrow one that overflows; depth of
pipeline, lanes and shapes take turns over the formats.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from macsmith.experiments.units import Unit, get_unit
from macsmith.experiments.verify.runner import Case
from macsmith.sim.spec import MacSpec

__all__ = ["ALL_FORMATS", "EXTRA", "all_cases"]

ALL_FORMATS = ("int8", "int4", "dint4", "dint4_sm", "dint4z", "dint3")
#: Weights and activations that a few units are verified with besides.
EXTRA = (
    ("dint4_sr", "int8"),
    ("fp4_e2m1", "int8"),
    ("nf4", "int8"),
    ("dint4", "fp8_e4m3"),
    ("fp8_e4m3", "fp8_e4m3"),
)

#: Units of which much takes turns, see `bench.Effort.turns`: in modules that have this in common.
SHARED = {"array": "dataflow", "gemm": "dataflow", "requantizer": "rounding"}


def _narrow(spec: MacSpec, overflow: str, lanes: int = 1) -> MacSpec:
    return replace(spec, acc_width=spec.product_width + 1, overflow=overflow, lanes=lanes)


def _wide(weights: str, activations: str = "int8") -> MacSpec:
    return MacSpec(weights, activations, 32 if weights != "fp8_e4m3" else 48)


def _turns(unit: Unit) -> dict[str, int]:
    """A number for each style, by which they take turns."""
    return {name: k for k, name in enumerate(unit.registry.names())}


def _combinational(unit: Unit) -> Iterator[Case]:
    for weights, activations in (*((name, "int8") for name in ALL_FORMATS), *EXTRA):
        yield from _styled(unit, _wide(weights, activations))


def _mac(unit: Unit) -> Iterator[Case]:
    """A narrow accumulator in every style, and with every other format a wide one; depths of
    pipeline, overflow and lanes take turns, so that a style meets each of them with some format.

    Of the extra formats, which multipliers have in every style, each style has one."""
    turns = _turns(unit)
    for k, name in enumerate(ALL_FORMATS):
        wide, lanes = _wide(name), (1, 3)[k % 2]
        if lanes == 1:
            yield from _styled(unit, wide, pipeline=k % 3)
        yield from _narrowed(unit, wide, lanes, pipeline=(k + 1) % 3)
    for k, (weights, activations) in enumerate(EXTRA):
        for case in _narrowed(unit, _wide(weights, activations), 1, pipeline=k % 3):
            if case.style == "plain" or turns[case.style] % len(EXTRA) == k:
                yield case


def _dot(unit: Unit) -> Iterator[Case]:
    for k, name in enumerate(ALL_FORMATS):
        wide = _wide(name)
        if k % 2:
            yield from _styled(unit, replace(wide, lanes=3), pipeline=(k + 1) % 3)
        else:
            yield from _narrowed(unit, wide, (2, 3)[k // 2 % 2], pipeline=k % 3)
    for lanes in (4, 5, 8):
        many = replace(_wide("dint4"), lanes=lanes)
        yield Case(unit.name, _narrow(many, "saturate", lanes), (("style", "plain"),))


def _shared(unit: Unit) -> Iterator[Case]:
    for k, name in enumerate(ALL_FORMATS):
        wide = _wide(name)
        yield from _styled(unit, wide, pipeline=k % 3, outputs=2)
        yield from _narrowed(unit, wide, 1, pipeline=(k + 1) % 3, outputs=3)


def _array(unit: Unit) -> Iterator[Case]:
    """The plain style in both dataflows, and each other one in both, but of each format in one: it
    takes turns, as the place does where operands are decoded."""
    turns = _turns(unit)
    for k, name in enumerate(ALL_FORMATS):
        for j, flow in enumerate(("output", "weight")):
            shape = {"rows": 2 + k % 2, "cols": 2, "dataflow": flow}
            shape["decode"] = ("element", "edge")[(k // 2 + j) % 2]
            lanes = 3 if flow == "output" else 1
            if k % 3 == 0:
                cases = _narrowed(unit, _wide(name), lanes, **shape)
            else:
                overflow = ("wrap", "wrap", "saturate")[k % 3]
                cases = _styled(unit, _narrow(_wide(name), overflow, lanes), **shape)
            for case in cases:
                if case.style == "plain" or (turns[case.style] + k) % 2 == j:
                    yield case


def _requantizer(unit: Unit) -> Iterator[Case]:
    """Every rounding at every depth of pipeline in plain; another style meets each of them too, but
    of each rounding three depths."""
    from macsmith.sim.requantize import ROUNDINGS

    for k, rounding in enumerate(ROUNDINGS):
        for pipeline in range(4):
            width = (32, 20)[(k + pipeline) % 2]
            spec = MacSpec("int4", "int8", width)
            for case in _styled(unit, spec, pipeline=pipeline, rounding=rounding):
                if case.style == "plain" or pipeline != k:
                    yield case


def _gemm(unit: Unit) -> Iterator[Case]:
    """Every format in both dataflows and every style once; rounding, exits, pipeline and, of the
    styles, the dataflow take turns."""
    from macsmith.sim.requantize import ROUNDINGS

    def shape(k: int) -> dict:
        return {
            "rows": 2 + k % 2,
            "cols": 2,
            "exits": 1 + k % 2,
            "rounding": ROUNDINGS[k % 4],
            "pipeline": k % 4,
            "decode": ("element", "edge")[k % 2],
            "zero_points": k % 3 != 2,
            "sums": True,
        }

    for k, name in enumerate(ALL_FORMATS):
        for j, flow in enumerate(("output", "weight")):
            spec = _wide(name) if k % 2 else _narrow(_wide(name), "saturate", 2 - j)
            options = {"style": "plain", **shape(k + j), "dataflow": flow}
            yield Case(unit.name, spec, tuple(options.items()))
    for k, style in enumerate(unit.style_names(_wide("dint4"))[1:]):
        options = {"style": style, **shape(k), "dataflow": ("output", "weight")[k // 2 % 2]}
        yield Case(unit.name, _wide("dint4"), tuple(options.items()))


def _float_mac(unit: Unit) -> Iterator[Case]:
    for fmt in ("fp16", "bf16"):
        for pipeline in range(3):
            yield from _styled(unit, _wide("dint4"), pipeline=pipeline, fmt=fmt)


def _narrowed(unit: Unit, wide: MacSpec, lanes: int, **options) -> Iterator[Case]:
    """A narrow accumulator that saturates in the styles that can, and wraps in the others."""
    saturates = _narrow(wide, "saturate", lanes)
    able = unit.style_names(saturates, **options)
    yield from _styled(unit, saturates, **options)
    wraps = _narrow(wide, "wrap", lanes)
    yield from (c for c in _styled(unit, wraps, **options) if c.style not in able)


def _styled(unit: Unit, spec: MacSpec, **options) -> Iterator[Case]:
    """Every style that serves this spec."""
    for style in unit.style_names(spec, **options):
        yield Case(unit.name, spec, tuple({"style": style, **options}.items()))


_CASES = {
    "decoder": _combinational,
    "multiplier": _combinational,
    "mac": _mac,
    "dot": _dot,
    "shared": _shared,
    "array": _array,
    "gemm": _gemm,
    "requantizer": _requantizer,
    "float_mac": _float_mac,
}


def all_cases(units: Sequence[str] = ()) -> list[Case]:
    """Every case of these units, or of all; specs that are one to a unit only once.

    ValueError for a unit that is not known, or not part of this.
    """
    cases = {}
    for name in units or _CASES:
        unit = get_unit(name)
        for case in _CASES[name](unit):
            cases.setdefault((name, case.options, unit.matters(case.spec)), case)
    return _sharing(cases.values())


def _sharing(cases: Iterable[Case]) -> list[Case]:
    """Modules of one style and one dataflow, or one rounding, share what takes turns."""
    groups: dict[tuple, list[int]] = {}
    found = list(cases)
    for k, case in enumerate(found):
        for name, value in case.options:
            if name == SHARED.get(case.unit):
                groups.setdefault((case.unit, case.style, value), []).append(k)
    for group in groups.values():
        for place, k in enumerate(group):
            found[k] = replace(found[k], place=place, sharing=len(group))
    return found
