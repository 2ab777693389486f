"""Paces of units with valid/ready streams: how eagerly each port offers or takes beats."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["LONG", "Pace", "before_reset", "long_holds", "paces", "places"]

#: Cycles of a long hold.
LONG = 64


@dataclass(frozen=True)
class Pace:
    """How eagerly ports offer and take beats.

    Attributes
    ----------
    speed : mapping of str to float
        By port, in which share of the cycles it offers or takes one; 1 where none is given.
    holds : mapping of str to range
        By port, cycles of the run in which it does neither.
    patient : mapping of str to int
        Sinks that take a beat only after it has waited for a cycle, so that ``valid`` must come
        without ``ready``; and the first one after this many cycles.
    name : str
        Bin that is hit at the run's end; "" is none.
    needs : str
        A port that must have had a beat while it was held up, or the bin is not hit; "" is none.
    """

    speed: Mapping[str, float] = field(default_factory=dict)
    holds: Mapping[str, range] = field(default_factory=dict)
    patient: Mapping[str, int] = field(default_factory=dict)
    name: str = ""
    needs: str = ""


def paces(
    rng: random.Random, sources: Sequence[str], sinks: Sequence[str], count: int
) -> list[Pace]:
    """Full speed, each port alone slow, each sink patient, and ``count`` random mixtures."""
    ports = (*sources, *sinks)
    slow = [Pace({port: 0.3}) for port in ports]
    mixed = [Pace({port: rng.choice((1, 0.7, 0.4, 0.15)) for port in ports}) for _ in range(count)]
    patient = [Pace(patient={k: 1}, name=f"{k} is ready only for what is there") for k in sinks]
    return [Pace(), *slow, *patient, *mixed]


def long_holds(sources: Sequence[str], sinks: Sequence[str]) -> list[Pace]:
    """A first beat of each sink that waits for `LONG` cycles, and each port held up for as long.
    The first is for right after a reset, when a unit may not have seen ``ready`` yet."""
    return [
        *(Pace(patient={k: LONG}, name=f"{k} waits for long from a reset") for k in sinks),
        *(
            Pace(holds={port: range(1, 1 + LONG)}, name=f"{port} is held up for long", needs=port)
            for port in (*sources, *sinks)
        ),
    ]


def before_reset(sinks: Sequence[str], after: int) -> Pace:
    """Every sink held up in the cycles before a reset that comes ``after`` so many."""
    return Pace(holds={port: range(after - 3, after + 1) for port in sinks})


def places(ports: Sequence[str], cycles: int, length: int = 3) -> list[Pace]:
    """For each port and cycle of a run at full speed: the same with the port held up just there."""
    return [
        Pace(holds={port: range(start, start + length)}, name=f"place {start}: {port} is held up")
        for port in ports
        for start in range(cycles)
    ]
