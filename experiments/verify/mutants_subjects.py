"""What mutants are made of, and those that a change of the format's table makes."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from amaranth.lib import wiring

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import Effort, Instance
from macsmith.experiments.verify.runner import describe
from macsmith.hw.netlist import Netlist
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

__all__ = ["MORE", "SUBJECTS", "Mutant", "Subject", "swapped"]

#: Long enough for corners, all pairs of codes, stalls and resets; the random run is cut short.
_EFFORT = Effort(random=1000, long=0, stalls=20)


@dataclass(frozen=True)
class Subject:
    """A unit whose mutants are made; ``options`` are its own by name, without the style.

    Of one that is not ``simulated`` only netlists are tried: the bench of a simulator does not get
    to the upper bits of a wide accumulator, and its RTL is that of a narrow one. Of one that is not
    ``mapped`` only RTL: a GEMM tile takes long to map, and what is in it is mapped for others.
    """

    unit: str
    spec: MacSpec
    style: str = "plain"
    options: tuple[tuple[str, Any], ...] = ()
    simulated: bool = True
    mapped: bool = True

    @property
    def label(self) -> str:
        """For a table."""
        return f"{self.unit} {self.style}" + ("" if self.simulated else " wide")

    def make(self, weights: Format | None = None) -> wiring.Component:
        """The component, or the same for other weights; ValueError where its style refuses them."""
        spec = self.spec if weights is None else replace(self.spec, weights=weights)
        return get_unit(self.unit).make(spec, style=self.style, **dict(self.options))

    def plain(self) -> wiring.Component:
        """The unit's plain style without pipeline: what the proofs compare with."""
        kind = get_unit(self.unit)
        return kind.make(self.spec, **{k: v for k, v in self.options if k in kind.contract})

    def instance(self, module: str) -> Instance:
        """The bench's view of it; always for its own spec."""
        given = {"style": self.style, **dict(self.options)}
        return replace(describe(self.unit, module, self.spec, self.make(), **given), effort=_EFFORT)


_WRAP, _CLAMP = MacSpec("dint4", "int4", 10), MacSpec("dint4", "int4", 10, "saturate")
_WIDE = MacSpec("dint4", "int4", 32, "saturate")
_MOVED = MacSpec("dint4z", "int4", 12)
_WEIGHTS = (("rows", 2), ("cols", 2), ("dataflow", "weight"))
SUBJECTS = (
    Subject("decoder", _MOVED),
    Subject("decoder", _WRAP, "shaped"),
    Subject("multiplier", MacSpec("int4", "int4", 10), "booth4"),
    Subject("multiplier", _WRAP, "signmag"),
    Subject("multiplier", _WRAP, "digits"),
    Subject("mac", _WRAP),
    Subject("mac", _CLAMP),
    Subject("mac", replace(_CLAMP, lanes=3)),
    Subject("mac", replace(_WIDE, lanes=3), simulated=False),
    Subject("mac", replace(_WIDE, overflow="wrap"), "carrysave-booth4", simulated=False),
    Subject("mac", _MOVED, "fused-dadda"),
    Subject("mac", _WRAP, "carrysave-booth4"),
    Subject("mac", _WRAP, "gated-booth4"),
    Subject("mac", _WRAP, "separate-nibble", (("pipeline", 2),)),
    Subject("dot", replace(_WRAP, lanes=2), "fused-digits"),
    Subject("dot", replace(_WIDE, lanes=2), "fused-digits", simulated=False),
    Subject("shared", _WRAP, "fused-picked", (("outputs", 2),)),
    Subject("requantizer", MacSpec("int4", "int4", 9)),
    Subject("requantizer", MacSpec("int4", "int4", 9), options=(("pipeline", 2),)),
    Subject("array", _WRAP, "fused-digits", (("rows", 2), ("cols", 2))),
    Subject("array", replace(_CLAMP, lanes=3), options=(("rows", 2), ("cols", 2))),
    Subject("array", _CLAMP, options=_WEIGHTS),
    Subject("gemm", _WRAP, options=(("rows", 2), ("cols", 2)), mapped=False),
    Subject("gemm", _WRAP, options=_WEIGHTS, mapped=False),
)
#: Subjects only by their unit's name: not every fault of theirs that shows in no operands is proven
#: harmless.
MORE = (Subject("float_mac", _WRAP, options=(("fmt", "bf16"),)),)


@dataclass(frozen=True)
class Mutant:
    """One fault: what, where, and the circuit that has it: Verilog, or a mapped netlist."""

    name: str
    subject: Subject
    level: str
    operator: str
    place: str
    circuit: str | Netlist = field(repr=False)


def swapped(subject: Subject) -> Iterator[tuple[str, wiring.Component]]:
    """The unit with the two specials of its dINT exchanged, or one of them with the other's sign.

    Nothing where the format has no specials, or the style is not made from its table.
    """
    if subject.unit in ("requantizer", "float_mac"):
        return
    for place, weights in _tables(subject.spec.weights):
        try:
            yield place, subject.make(weights)
        except ValueError:  # of the style: this is no dINT any more
            continue


@lru_cache(maxsize=64)
def _tables(fmt: Format) -> tuple[tuple[str, Format], ...]:
    specials = [code for code, level in enumerate(fmt.levels) if abs(level) == 1]
    if not fmt.frac_bits or len(specials) != 2:
        return ()

    def table(plus: int, minus: int) -> Format:
        levels = list(fmt.levels)
        for code in specials:
            levels[code] = {1: plus, -1: minus}[levels[code]]
        return Format(fmt.name, fmt.width, tuple(levels), fmt.frac_bits, fmt.affine)

    return (
        ("+1 and -1 exchanged", table(-1, 1)),
        ("both +1", table(1, 1)),
        ("both -1", table(-1, -1)),
    )
