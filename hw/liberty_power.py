"""What a Liberty cell says of its supplies: which rails give energy, and its leakage."""

import math
from dataclasses import dataclass

import numpy as np

from macsmith.hw.boolean import Expr, parse
from macsmith.hw.cell import Pin
from macsmith.hw.liberty_text import Group, number

__all__ = ["Rails", "grounded", "leakage"]

_MOST_NAMES = 16  # states are listed one by one
_STATE_GROUPS = ("ff", "latch", "ff_bank", "latch_bank")


@dataclass(frozen=True, slots=True)
class Rails:
    """Rails of a cell: `grounds` give no energy; what names no rail is of the `primary` one: that
    whose pg_type says so, or else the only one that is neither a ground nor a well.

    What flows through a ground is the same energy again. Grounds are the rails whose pg_type says
    so, and P-wells; where the file gives a rail no pg_type, those at 0 V in its voltage_map, or
    else those with a ground's name (VSS, GND, VGND, VPW, VNB, ...).
    """

    grounds: frozenset[str]
    primary: str

    @classmethod
    def of(cls, cell: Group, header: Group) -> "Rails":
        volts = {
            name: number(value, "voltage_map")
            for name, value, *_ in (v for v in header.complex.get("voltage_map", ()) if len(v) > 1)
        }
        pg_pins = {pg.args[0]: pg.simple for pg in cell.all("pg_pin") if pg.args}
        named = {g.simple["related_pg_pin"] for g in _entries(cell) if "related_pg_pin" in g.simple}
        supplies = {name: pg_pins.get(name, {}) for name in (*pg_pins, *sorted(named - {*pg_pins}))}
        grounds = frozenset(name for name, said in supplies.items() if _ground(name, said, volts))
        primary = [n for n, said in supplies.items() if said.get("pg_type") == "primary_power"]
        if not primary:
            live = [n for n, said in supplies.items() if n not in grounds and not _well(n, said)]
            primary = live if len(live) == 1 else []
        return cls(grounds, primary[0] if primary else "")

    def rail(self, entry: Group) -> str | None:
        """Which rail an entry is of; None for a ground."""
        name = entry.simple.get("related_pg_pin") or self.primary
        return None if name in self.grounds else name


def leakage(cell: Group, header: Group, rails: Rails, pins: dict[str, Pin], area: float) -> float:
    """Mean over the cell's states, in the file's unit, of what all rails together give.

    A rail gives in each state what its groups say whose `when` holds (their mean, if several do),
    or else its groups without. In states of which no rail's groups say anything it is
    `cell_leakage_power`; without that they do not count. Of a cell without any it is
    `default_cell_leakage_power`, or else `default_leakage_power_density` times the area.
    """
    whole = cell.number("cell_leakage_power")
    by_rail: dict[str, list[tuple[Expr | None, float]]] = {}
    for group in cell.all("leakage_power"):
        if (rail := rails.rail(group)) is not None:
            text = group.simple.get("when", "")
            entry = (parse(text) if text else None, group.number("value", 0.0))
            by_rail.setdefault(rail, []).append(entry)
    conditions = [when for entries in by_rail.values() for when, _ in entries if when]
    env, states = _states(cell, pins, conditions)
    known = len(env) > 1 or not conditions
    weighted: list[tuple[float, float]] = []  # value, in how many states
    said = np.zeros(states, bool)
    for entries in by_rail.values():
        holding = np.array([_holds(when if known else None, env, states) for when, _ in entries])
        bare = np.array([when is None for when, _ in entries])
        holding[bare] &= ~holding[~bare].any(axis=0)
        said |= holding.any(axis=0) & env[_POSSIBLE]
        parts = (holding & env[_POSSIBLE]) / np.maximum(holding.sum(axis=0), 1)
        weighted += [(v, float(p.sum())) for (_, v), p in zip(entries, parts, strict=True)]
    counted = int(said.sum())
    if whole is not None:
        rest = int((env[_POSSIBLE] & ~said).sum())
        weighted.append((whole, float(rest)))
        counted += rest
    if counted:
        # by the common divisor, so that states alike in weight give the plain mean to the last bit
        weights = [weight for _, weight in weighted]
        exact = all(weight.is_integer() for weight in weights)
        step = math.gcd(counted, *map(int, weights)) if exact else 1
        return sum(value * (weight / step) for value, weight in weighted) / (counted / step)
    density = header.number("default_leakage_power_density", 0.0)
    return header.number("default_cell_leakage_power", density * area)


_POSSIBLE = ""  # no name of a pin: the states that can be


def _states(cell: Group, pins: dict[str, Pin], conditions: list[Expr]) -> tuple[dict, int]:
    """Every state of what the conditions depend on: values of each name, and how many there are.

    Outputs follow from inputs and stored bits, and what forces a stored bit keeps its other value
    from being a state. Of too many names, or outputs that follow from each other, no name is listed
    and one state: every condition is to be taken as holding in it.
    """
    nothing = {_POSSIBLE: np.ones(1, bool)}, 1
    forced = [_Stored(g) for g in cell.all(*_STATE_GROUPS) if g.args]
    derived = {name: pin.function for name, pin in pins.items() if pin.function is not None}
    derived |= {s.inverse: Expr("not", (Expr("var", name=s.state),)) for s in forced if s.inverse}
    needed: dict[str, None] = {}
    waiting = [name for when in conditions for name in when.variables()]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed[name] = None
        waiting += derived[name].variables() if name in derived else ()
        waiting += [n for s in forced if s.state == name for e in s.all() for n in e.variables()]
    free = [name for name in needed if name not in derived]
    if len(free) > _MOST_NAMES:
        return nothing
    codes = np.arange(2 ** len(free))
    env = {name: (codes >> place & 1).astype(bool) for place, name in enumerate(free)}
    while len(env) < len(needed):
        ready = [n for n in needed if n not in env and env.keys() >= {*derived[n].variables()}]
        if not ready:
            return nothing
        env |= {name: _holds(derived[name], env, len(codes)) for name in ready}
    env[_POSSIBLE] = np.ones(len(codes), bool)
    for stored in forced:
        if stored.state in env:
            env[_POSSIBLE] &= stored.possible(env, len(codes))
    return env, len(codes)


class _Stored:
    """The bit of a flip-flop or latch, and what it must be while something forces it."""

    def __init__(self, group: Group) -> None:
        self.state, self.inverse = (*group.args, "")[:2]
        self.clear, self.preset, self.enable, self.data = (
            parse(group.simple[name]) if group.simple.get(name) else None
            for name in ("clear", "preset", "enable", "data_in")
        )

    def all(self) -> list[Expr]:
        return [e for e in (self.clear, self.preset, self.enable, self.data) if e is not None]

    def possible(self, env: dict[str, np.ndarray], states: int) -> np.ndarray:
        low, high, open_ = (
            _holds(e, env, states) if e is not None else np.zeros(states, bool)
            for e in (self.clear, self.preset, self.enable)
        )
        state, found = env[self.state], np.ones(states, bool)
        if self.data is not None:
            found = ~open_ | (state == _holds(self.data, env, states))
        found = np.where(high, state, found)
        return np.where(low, ~state, found)


def _holds(when: Expr | None, env: dict[str, np.ndarray], states: int) -> np.ndarray:
    return np.ones(states, bool) & (True if when is None else when.evaluate(env))


def _entries(cell: Group) -> list[Group]:
    """Every group of the cell that can name a rail."""
    pins = [pin for pin in cell.groups if pin.kind in ("pin", "bus", "bundle")]
    return [*cell.all("leakage_power"), *(g for pin in pins for g in pin.all("internal_power"))]


def _ground(name: str, said: dict[str, str], volts: dict[str, float]) -> bool:
    kind = said.get("pg_type", "")
    if kind:
        return "ground" in kind or "pwell" in kind
    at = volts.get(said.get("voltage_name", name), volts.get(name))
    if at is not None:
        return at == 0
    return grounded(name)


def _well(name: str, said: dict[str, str]) -> bool:
    return "well" in said.get("pg_type", "") or name.upper().startswith(("VNW", "VPB"))


def grounded(name: str) -> bool:
    """Whether a rail is called as grounds are."""
    return (
        "GND" in name.upper()
        or "GROUND" in name.upper()
        or name.upper().startswith(("VSS", "VPW", "VNB"))
    )
