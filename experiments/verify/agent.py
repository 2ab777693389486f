"""Agents: what drives a unit cycle by cycle, and may react to what it saw."""

from typing import Any, Protocol

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.coverage import Cover

__all__ = ["Agent", "make_agent"]


class Agent(Protocol):
    """One unit's driver and checker.

    The bench calls `stim` and then `see` once in every cycle until `done`, and goes on with both
    while other units are not done.

    Attributes
    ----------
    instance : Instance
    cover : Cover
    results : int
        Results compared so far.
    wrong : int
    first : str
        The first that was wrong, with its circumstances.
    done : bool
    """

    instance: Instance
    cover: Cover
    results: int
    wrong: int
    first: str
    done: bool

    def stim(self) -> int:
        """The unit's part of the operand bus in this cycle."""
        ...

    def see(self, bits: str) -> None:
        """The unit's results in this cycle, before its rising edge, as the simulator prints them:
        most significant bit first, "x" and "z" where a bit is undefined."""
        ...


def make_agent(instance: Instance) -> Any:
    """The agent of a unit with a handshake."""
    return get_unit(instance.unit).driver()(instance)
