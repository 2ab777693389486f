"""A library cell as data: pins, functions, timing arcs, energies. Units: ps, fF, fJ, nW, um2."""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations, product

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

    `related` is the input pin whose edge caused it, or "" where the pin's own edge is all there is
    to say. `when` must hold on the cell's other pins; None means always, or, where other entries of
    the same two pins and rail have conditions, in the states that none of them covers. A table is
    None where the entry has none: it says nothing of that edge. `rail` is the supply that gives the
    energy.
    """

    related: str
    when: Expr | None
    rise: Table | None
    fall: Table | None
    rail: str = ""


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

    @property
    def falling(self) -> bool | None:
        """Whether a pin's falling edge is what clocks it, or its rising one; None: neither."""
        clock = self.clocked_on
        inverted = clock.op == "not"
        return inverted if (clock.args[0] if inverted else clock).op == "var" else None

    @property
    def enabled(self) -> bool:
        """Whether the next state depends on the state, as it does where an enable can keep it."""
        return not {self.state, self.inverse}.isdisjoint(self.next_state.variables())

    @property
    def data(self) -> str | None:
        """The pin that it stores, true or inverted, at every edge of the clock, or, of two pins,
        true, where the other one has one level, while with the other level the state stays. None
        where there is no such pin (scan, toggle), or a form that Yosys maps nothing to."""
        kept = (self.state, self.inverse)
        pins = [name for name in self.next_state.variables() if name not in kept]
        if not self.enabled:
            return pins[0] if len(pins) == 1 else None
        for pin, enable in permutations(pins) if len(pins) == 2 else ():
            seen = {level: self._next(pin, enable, level) for level in (False, True)}
            for level, found in seen.items():
                stored = all(state == data for (data, _), state in found.items())
                stays = all(state == old for (_, old), state in seen[not level].items())
                if stored and stays:
                    return pin
        return None

    def _next(self, pin: str, enable: str, level: bool) -> dict[tuple[bool, bool], bool]:
        """The next state by data and state, with the enable at a level."""
        return {
            (data, old): bool(
                self.next_state.evaluate({
                    pin: data,
                    enable: level,
                    self.state: old,
                    self.inverse: not old,
                })
            )
            for data, old in product((False, True), repeat=2)
        }


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
