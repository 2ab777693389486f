"""Paces of units with valid/ready streams: how eagerly each port offers or takes beats."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["LONG", "Pace", "long_holds", "paces", "places"]

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
    """

    speed: Mapping[str, float] = field(default_factory=dict)
    holds: Mapping[str, range] = field(default_factory=dict)
    patient: Mapping[str, int] = field(default_factory=dict)
    name: str = ""


def paces(rng: random.Random, ports: Sequence[str], count: int) -> list[Pace]:
    """Full speed, each port alone slow, a patient ``o``, and ``count`` random mixtures."""
    slow = [Pace({port: 0.3}) for port in ports]
    mixed = [Pace({port: rng.choice((1, 0.7, 0.4, 0.15)) for port in ports}) for _ in range(count)]
    patient = Pace(patient={"o": 1}, name="o is ready only for what is there")
    return [Pace(), *slow, patient, *mixed]


def long_holds(ports: Sequence[str]) -> list[Pace]:
    """A first beat of ``o`` that waits for `LONG` cycles, and each source held up for as long. The
    first is for right after a reset, when a unit may not have seen ``ready`` yet."""
    sources = (port for port in ports if port != "o")
    return [
        Pace(patient={"o": LONG}, name="o waits for long from a reset"),
        *(
            Pace(holds={port: range(1, 1 + LONG)}, name=f"{port} is held up for long")
            for port in sources
        ),
    ]


def places(ports: Sequence[str], cycles: int, length: int = 3) -> list[Pace]:
    """For each port and cycle of a run at full speed: the same with the port held up just there."""
    return [
        Pace(holds={port: range(start, start + length)}, name=f"place {start}: {port} is held up")
        for port in ports
        for start in range(cycles)
    ]
