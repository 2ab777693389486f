"""Styles: the named microarchitectures of a unit. Every style of a unit computes the same thing.

A unit keeps a `Styles`; a style enters it by decorating the function that builds its logic, in any
module, so that a new style is a new file. The unit owns ports, parameters and contract, and a style
owns everything between the ports.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth import Module

__all__ = ["Style", "Styles"]


@dataclass(frozen=True)
class Style:
    """One microarchitecture.

    Attributes
    ----------
    name : str
    build : callable
        ``build(m, unit)`` adds the logic between the unit's ports to the module ``m``.
    latency : int
        Rising clock edges from the operands to the result; 0 is combinational.
    refuses : callable
        ``refuses(subject)`` says why the style cannot serve this format or spec; "" if it can.
    """

    name: str
    build: Callable[[Module, Any], None]
    latency: int
    refuses: Callable[[Any], str]


class Styles:
    """The styles of one kind of unit, by name, in order of registration; the first is the default.

    Parameters
    ----------
    unit : str
        What error messages call the unit.
    """

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self._by_name: dict[str, Style] = {}

    def add(
        self,
        name: str,
        *,
        latency: int = 0,
        refuses: Callable[[Any], str] = lambda subject: "",
    ) -> Callable:
        """Decorator: the function builds style ``name``. ValueError if the name is taken."""
        if name in self._by_name:
            raise ValueError(f"{self.unit} style {name!r} exists already")

        def register(build: Callable[[Module, Any], None]) -> Callable[[Module, Any], None]:
            self._by_name[name] = Style(name, build, latency, refuses)
            return build

        return register

    def get(self, name: str, subject: Any) -> Style:
        """Style ``name``; ValueError if there is none, or if it cannot serve ``subject``."""
        if name not in self._by_name:
            near = difflib.get_close_matches(str(name), self._by_name, n=1, cutoff=0)
            raise ValueError(f"unknown {self.unit} style {name!r}; the nearest is {near[0]!r}")
        style = self._by_name[name]
        if reason := style.refuses(subject):
            raise ValueError(f"{self.unit} style {name!r} cannot serve this: {reason}")
        return style

    def names(self, subject: Any = None) -> list[str]:
        """Every style's name; with a subject, of those that can serve it."""
        return [s.name for s in self._by_name.values() if subject is None or not s.refuses(subject)]
