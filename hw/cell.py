"""A library cell as data: pins, functions, timing arcs, energies. Units: ps, fF, fJ, nW, um2."""

from dataclasses import dataclass, field
from functools import cached_property

from macsmith.hw.boolean import Expr
from macsmith.hw.nldm import Table

__all__ = ["Cell", "FlipFlop", "Pin", "PowerArc", "TimingArc"]


@dataclass(frozen=True, slots=True)
class TimingArc:
    """How an edge of the pin `related` reaches the pin that owns the arc.

    `kind` is Liberty's timing_type ("combinational", "rising_edge", "setup_rising", ...), `sense`
    is "positive_unate", "negative_unate" or "non_unate". Delays and slews are indexed by the
    owner's edge; `None` where the library gives no table. For setup and hold, `rise` and `fall`
    are the constraint tables and the slews are None.
    """

    related: str
    kind: str
    sense: str
    when: str
    rise: Table | None
    fall: Table | None
    rise_slew: Table | None
    fall_slew: Table | None


@dataclass(frozen=True, slots=True)
class PowerArc:
    """Internal energy of one edge of the owning pin, apart from the load's (see `hw.power`).

    `related` is the input pin whose edge caused it, or "" for an entry of an input pin itself.
    `when` must hold on the cell's other pins; None means always, or, where other entries of the
    same two pins have conditions, in the states that none of them covers. A table is None where
    the entry has none: it says nothing of that edge.
    """

    related: str
    when: Expr | None
    rise: Table | None
    fall: Table | None


@dataclass(frozen=True, slots=True)
class Pin:
    """`rise_cap` and `fall_cap` are what a driver's rising and falling edge sees, in fF."""

    name: str
    direction: str  # "input", "output", "inout" or "internal"
    rise_cap: float
    fall_cap: float
    is_clock: bool
    function: Expr | None
    timing: tuple[TimingArc, ...] = field(repr=False)
    power: tuple[PowerArc, ...] = field(repr=False)

    @property
    def cap(self) -> float:
        """Capacitance that a pair of edges charges and discharges, averaged."""
        return (self.rise_cap + self.fall_cap) / 2


@dataclass(frozen=True, slots=True)
class FlipFlop:
    """Liberty's `ff (state, inverse)`: on a rising `clocked_on`, state = next_state.

    `clear` and `preset` act at once and in spite of the clock; None where there is none.
    """

    state: str
    inverse: str
    clocked_on: Expr
    next_state: Expr
    clear: Expr | None
    preset: Expr | None


@dataclass(frozen=True)
class Cell:
    """`sequential` is true for latches, clock gates and flip-flops; `ff` only for the last."""

    name: str
    area: float  # um2
    leakage: float  # nW, averaged over the states where the library lists states
    dont_use: bool
    sequential: bool
    ff: FlipFlop | None
    pins: dict[str, Pin] = field(repr=False)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        return tuple(name for name, pin in self.pins.items() if pin.direction == "input")

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        return tuple(name for name, pin in self.pins.items() if pin.direction == "output")

    @cached_property
    def combinational(self) -> bool:
        """Whether every output is a function of the inputs alone."""
        return not self.sequential and all(self.pins[out].function for out in self.outputs)
