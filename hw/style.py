"""Styles: the named microarchitectures of a unit. Every style of a unit computes the same thing.

A unit keeps a `Styles`; a style enters it by decorating what builds its logic, in any module, so
that a new style is a new file. The unit owns ports, parameters and contract, and a style owns
everything between the ports.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from macsmith.hw.idle_bits import refuse_idle_bits
from macsmith.sim.names import suggestion

__all__ = ["Style", "Styles", "check_count", "check_stages"]


@dataclass(frozen=True)
class Style:
    """One microarchitecture.

    Attributes
    ----------
    name : str
    build : callable
        What the unit calls to get its logic; the unit says with what. Of a family it has the style
        of the other unit already.
    summary : str
        One line: the structure.
    latency : int
        Rising clock edges from the operands to the result, without pipeline registers; 0 is
        combinational.
    refuses : callable
        ``refuses(subject)`` says why the style cannot serve this format or spec; "" if it can.
    """

    name: str
    build: Callable[..., Any]
    summary: str
    latency: int
    refuses: Callable[[Any], str]

    @property
    def sources(self) -> frozenset[Path]:
        """The files in which it is written: of a family's member the other style's too."""
        build, others = self.build, []
        if isinstance(build, partial):
            build, others = build.func, [one for one in build.args if isinstance(one, Style)]
        file = inspect.getsourcefile(build)
        return frozenset({Path(file)} if file else ()).union(*(one.sources for one in others))


class Styles:
    """The styles of one kind of unit, by name, in order of registration; the first is the default.

    Parameters
    ----------
    unit : str
        What error messages call the unit.
    subject : type
        What it is made from: a `MacSpec`, a `Format` or the like.
    """

    def __init__(self, unit: str, subject: type) -> None:
        self.unit, self.subject = unit, subject
        self._by_name: dict[str, Style] = {}
        self._families: dict[str, tuple[Style, Styles, frozenset[str]]] = {}

    def add(
        self,
        name: str,
        *,
        over: "Styles | None" = None,
        but: Collection[str] = (),
        latency: int = 0,
        refuses: Callable[[Any], str] = lambda subject: "",
    ) -> Callable:
        """Decorator: the function, or class, builds style ``name``; its docstring starts with
        the summary.

        With ``over``, the styles of another unit, it is a family: a style ``name-other`` for each
        ``other`` that ``over`` has or will have ``but`` these, built with that `Style` as first
        argument.

        ValueError if the name is taken.
        """
        if name in self._by_name or name in self._families:
            raise ValueError(f"{self.unit} style {name!r} exists already")

        def register(build: Callable) -> Callable:
            summary = (build.__doc__ or "").strip().partition("\n")[0].rstrip(".")
            style = Style(name, build, summary, latency, refuses)
            if over is None:
                self._by_name[name] = style
            else:
                self._families[name] = style, over, frozenset(but)
            return build

        return register

    def get(self, name: str, subject: Any) -> Style:
        """Style ``name``; ValueError if there is none, or if it, or none, can serve ``subject``;
        TypeError if that is of another type than the unit is made from."""
        self.require(subject)
        everything = {style.name: style for style in self}
        if name not in everything:
            raise ValueError(f"unknown {self.unit} style {name!r}; {suggestion(name, everything)}")
        style = everything[name]
        refuse_idle_bits(subject)
        if reason := style.refuses(subject):
            raise ValueError(f"{self.unit} style {name!r} cannot serve this: {reason}")
        return style

    def require(self, subject: Any) -> None:
        """TypeError if the unit is not made from things of this type."""
        if not isinstance(subject, self.subject):
            wanted = self.subject.__name__
            raise TypeError(f"{self.unit} is made from a {wanted}, not from {subject!r}")

    def names(self, subject: Any = None) -> list[str]:
        """Every style's name; with a subject, of those that can serve it."""
        return [s.name for s in self if subject is None or not s.refuses(subject)]

    def __iter__(self) -> Iterator[Style]:
        """Every style, families with each of their members."""
        _discover()
        yield from self._by_name.values()
        for family, others, but in self._families.values():
            yield from (_member(family, other) for other in others if other.name not in but)


def check_stages(pipeline: int, most: int) -> int:
    """``pipeline`` itself; ValueError unless it is an integer, 0 to ``most``."""
    if isinstance(pipeline, bool) or not isinstance(pipeline, int) or not 0 <= pipeline <= most:
        raise ValueError(f"pipeline must be 0 to {most} stages, not {pipeline!r}")
    return pipeline


def check_count(what: str, number: int, most: int) -> int:
    """``number`` itself; ValueError unless it is an integer, 1 to ``most``."""
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
        raise ValueError(f"{what} must be 1 to {most}, not {number!r}")
    return number


def _member(family: Style, other: Style) -> Style:
    return Style(
        name=f"{family.name}-{other.name}",
        build=partial(family.build, other),
        summary=f"{family.summary}. {other.summary}",
        latency=family.latency + other.latency,
        refuses=lambda subject: family.refuses(subject) or other.refuses(subject),
    )


@cache
def _discover() -> None:
    """Import every module of `macsmith.hw.styles`; ValueError naming one that cannot be."""
    package = importlib.import_module("macsmith.hw.styles")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        try:
            importlib.import_module(module.name)
        except Exception as error:  # a file of somebody's own: anything may be in it
            raise ValueError(f"{module.name}: {type(error).__name__}: {error}") from error
