"""Streams: what a unit is driven with, cycle by cycle, and what golden says it must answer.

Where results come a fixed number of cycles after their operands, all of it is made in Python before
the simulation. Units with a handshake need an agent instead, see `handshake`.
"""

import random
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.coverage import Cover
from macsmith.sim import golden

__all__ = ["Stream", "make_stream", "stream_key"]


@dataclass
class Stream:
    """Cycles of one unit.

    Attributes
    ----------
    instance : Instance
    stim, due : list of int
        Per cycle the unit's part of the operand bus, and its results once these operands have had
        their effect: with a latency of 1, those after the rising edge.
    entered : list of bool
        Cycles in which operands enter: their result is what counts as checked.
    reset : list of bool
        Cycles in which a reset empties the unit and its pipeline.
    cover : Cover
    """

    instance: Instance
    stim: list[int] = field(default_factory=list)
    due: list[int] = field(default_factory=list)
    entered: list[bool] = field(default_factory=list)
    reset: list[bool] = field(default_factory=list)
    cover: Cover = field(default_factory=Cover)

    def __len__(self) -> int:
        return len(self.stim)

    def add(self, due: int, *, entered: bool = True, reset: bool = False, **values: int) -> None:
        """One more cycle."""
        self.stim.append(self.instance.pack(**values))
        self.due.append(due)
        self.entered.append(entered)
        self.reset.append(reset)

    @cached_property
    def want(self) -> list[int]:
        """Results just before the rising edge that takes this cycle's operands."""
        return self.results_after(self.instance.latency)

    def results_after(self, latency: int) -> list[int]:
        """`want` of a unit with another latency: what a reset finds on its way never shows."""
        if latency == 0:
            return list(self.due)
        want, age = [], 0  # cycles since the last reset began
        for cycle in range(len(self)):
            want.append(self.due[cycle - latency] if age >= latency else self._empty)
            age = 1 if self.reset[cycle] else age + 1
        return want

    @property
    def _empty(self) -> int:
        """What a unit shows after a reset."""
        return self.due[self.reset.index(True)] if True in self.reset else self.due[0]

    def describe(self, cycle: int, bits: str) -> str:
        """Message about wrong results in ``cycle``, with what was driven ``latency`` before.

        ``bits`` are the unit's results as the simulator prints them.
        """
        one, entered = self.instance, max(0, cycle - self.instance.latency)
        driven = one.unpack(self.stim[entered])
        words = " ".join(
            f"{p.name}={driven[p.name]:#x}" if p.width > 1 else f"{p.name}={driven[p.name]}"
            for p in one.inputs
        )
        got = one.split_results(bits)
        want = one.split_results(f"{self.want[cycle]:0{len(bits)}b}"[-len(bits) :])
        wrong = [
            f"{name} {_number(got[name])} != {_number(want[name])}"
            for name in got
            if got[name] != want[name]
        ]
        return f"{one.module} cycle {entered}: {words}: {', '.join(wrong)}"


def _number(bits: str) -> str:
    """A signed number, or the bits themselves where some are undefined."""
    return str(golden.wrap(int(bits, 2), len(bits))) if set(bits) <= {"0", "1"} else bits


def make_stream(instance: Instance) -> Stream:
    """The stream of ``instance``; the same for the same contract and ports, whatever the style."""
    stream = Stream(instance)
    one = f"{instance.unit} {instance.spec} {instance.inputs} {instance.outputs}"
    get_unit(instance.unit).driver()(stream, random.Random(one))
    if len(stream.stim) == 0:
        raise AssertionError(f"{instance.module}: nothing is driven")
    return stream


def stream_key(instance: Instance) -> Hashable:
    """What decides a stream: instances of one key are driven with the same."""
    unit = get_unit(instance.unit)
    contract = tuple(
        (name, value) for name, value in sorted(instance.options.items()) if name in unit.contract
    )
    ports = instance.inputs, instance.outputs
    driven = instance.effort, instance.turn, instance.given
    return instance.unit, instance.spec, contract, ports, *driven
