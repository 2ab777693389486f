"""How a unit's netlist is driven in the bit-parallel simulation, and what it must answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.operands import Operands
from macsmith.sim.codec import decode
from macsmith.sim.formats import Format

__all__ = [
    "CODES", "ENGINE", "FACTORS", "GOLDEN", "GROUPS", "OUTPUTS", "SUMS", "Gates",
    "require_aligned",
]  # fmt: skip

#: What results are compared with, in words.
GOLDEN = "the golden model"
ENGINE = "the engine, and the golden model in a sample"


@dataclass(frozen=True)
class Gates:
    """A unit between operands and results.

    Attributes
    ----------
    stimulus : callable
        (operands, component) -> codes [streams, cycles] by input port, [streams, cycles, parts] of
        a port with several equal parts.
    result : str
        The output port.
    expected : callable
        (operands, component) -> what ``result`` shows for what enters in each cycle, int64
        [streams, cycles], or [streams, cycles, parts] as unsigned codes.
    parts : callable
        component -> equal parts of ``result``, or None.
    products : callable
        (operands, component) -> products that enter; without it, those of ``operands`` for each
        part.
    results : callable
        (what ``result`` shows, component) -> results, as ``expected`` has them.
    strobe : str
        An output that is high where there is a result, and only there; ``expected`` is -1 where
        there is none. "" is none: there is one in each cycle.
    reference : str
        What ``expected`` is by, in words.
    """

    stimulus: Callable[[Operands, Any], dict[str, NDArray]]
    result: str
    expected: Callable[[Operands, Any], NDArray[np.int64]]
    parts: Callable[[Any], int | None] = lambda component: None
    products: Callable[[Operands, Any], int] | None = None
    results: Callable[[NDArray, Any], NDArray[np.int64]] = lambda shown, component: shown
    strobe: str = ""
    reference: str = GOLDEN

    def count(self, operands: Operands, component: Any) -> int:
        """Products that enter."""
        if self.products:
            return self.products(operands, component)
        return operands.products * (self.parts(component) or 1)

    def compare(
        self, outputs: Mapping[str, NDArray], operands: Operands, component: Any
    ) -> tuple[int, int]:
        """Results compared, and those that are wrong or are not where they must be."""
        expected = self.expected(operands, component)
        shown = self.results(outputs[self.result][:, component.latency :], component)
        if not self.strobe:
            return shown.size, int((shown != expected).sum())
        due = expected >= 0
        there = outputs[self.strobe][:, component.latency :] == 1
        misplaced = there != due[..., 0]
        return int(due.sum()), int((due & (shown != expected)).sum() + misplaced.sum())


def _codes(operands: Operands, _: Any) -> dict[str, NDArray]:
    ports = {"code": operands.w}
    return ports if operands.z is None else ports | {"z": operands.z}


def _factors(operands: Operands, _: Any = None) -> dict[str, NDArray]:
    ports = {"w": operands.w, "a": operands.a}
    return ports if operands.z is None else ports | {"z": operands.z}


def _strobed(operands: Operands, _: Any) -> dict[str, NDArray]:
    ones = np.ones(operands.w.shape, np.uint8)
    return _factors(operands) | {"en": ones, "clear": operands.clear.astype(np.uint8)}


def _level(operands: Operands, decoder: Any) -> NDArray[np.int64]:
    return _levels(operands, decoder.fmt)


def _levels(operands: Operands, fmt: Format) -> NDArray[np.int64]:
    if operands.z is None:
        return decode(operands.w, fmt)
    flat = decode(operands.w.reshape(-1, 1), fmt, operands.z.reshape(-1))
    return flat.reshape(operands.w.shape)


def _product(operands: Operands, multiplier: Any) -> NDArray[np.int64]:
    spec = multiplier.spec
    return _levels(operands, spec.weights) * decode(operands.a, spec.activations)


def _accumulator(operands: Operands, mac: Any) -> NDArray[np.int64]:
    return operands.expected(mac.spec)


def _groups(operands: Operands, lanes: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Place of each group's products in a stream, and which are missing: both [groups, lanes].

    Sums begin at the same places in every stream, and the last group of one may be short.
    """
    require_aligned(operands)
    starts = np.flatnonzero(operands.clear[0])
    ends = np.append(starts[1:], operands.clear.shape[1])
    places, missing = [], []
    for first, last in zip(starts, ends, strict=True):
        at = np.arange(first, last + -(last - first) % lanes)
        places.append(np.minimum(at, last - 1))
        missing.append(at >= last)
    return np.concatenate(places).reshape(-1, lanes), np.concatenate(missing).reshape(-1, lanes)


def require_aligned(operands: Operands) -> None:
    """ValueError unless the sums of all streams begin in the same cycles."""
    if (operands.clear != operands.clear[0]).any():
        raise ValueError("the sums of all streams must begin in the same cycles")


def _grouped(operands: Operands, dot: Any) -> dict[str, NDArray]:
    """A group in each cycle; a missing product has an activation of level 0."""
    levels = dot.spec.activations.levels
    at, missing = _groups(operands, dot.spec.lanes)
    if missing.any() and 0 not in levels:
        raise ValueError(f"{dot.spec.activations.name} has no level 0 to fill up a group with")
    zero = np.asarray(levels.index(0) if missing.any() else 0, operands.a.dtype)
    clear = operands.clear[:, at[:, 0]].astype(np.uint8)
    ports = {
        "w": operands.w[:, at],
        "a": np.where(missing, zero, operands.a[:, at]),
        "clear": clear,
        "en": np.ones_like(clear),
    }
    return ports if operands.z is None else ports | {"z": operands.z[:, at[:, 0]]}


def _group_sums(operands: Operands, dot: Any) -> NDArray[np.int64]:
    at, _ = _groups(operands, dot.spec.lanes)
    return operands.expected(dot.spec)[:, at[:, -1]]


def _neighbours(operands: Operands, unit: Any) -> list[Operands]:
    """The operands of each output: the activations of a stream, the weights of those after it."""
    require_aligned(operands)
    rolled = []
    for n in range(unit.outputs):
        z = None if operands.z is None else np.roll(operands.z, -n, axis=0)
        w = np.roll(operands.w, -n, axis=0)
        rolled.append(Operands(w, operands.a, z, operands.clear, operands.source))
    return rolled


def _shared(operands: Operands, unit: Any) -> dict[str, NDArray]:
    each = _neighbours(operands, unit)
    ports = _strobed(operands, unit) | {"w": np.stack([one.w for one in each], axis=-1)}
    if operands.z is not None:
        ports["z"] = np.stack([one.z for one in each], axis=-1)
    return ports


def _shared_sums(operands: Operands, unit: Any) -> NDArray[np.int64]:
    sums = [one.expected(unit.spec) for one in _neighbours(operands, unit)]
    return np.stack(sums, axis=-1) & (2**unit.spec.acc_width - 1)


CODES = Gates(_codes, "level", _level)
FACTORS = Gates(_factors, "product", _product)
SUMS = Gates(_strobed, "acc", _accumulator)
GROUPS = Gates(_grouped, "acc", _group_sums)
OUTPUTS = Gates(_shared, "acc", _shared_sums, parts=lambda unit: unit.outputs)
