"""How a unit's netlist is driven in the bit-parallel simulation, and what it must answer."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.operands import Operands
from macsmith.sim.codec import decode
from macsmith.sim.spec import MacSpec

__all__ = ["CODES", "FACTORS", "SUMS", "Gates"]


@dataclass(frozen=True)
class Gates:
    """A unit between operands and results.

    Attributes
    ----------
    stimulus : callable
        operands -> codes [streams, cycles] by input port.
    result : str
        The output port.
    expected : callable
        (operands, spec) -> what ``result`` shows for each product, int64 [streams, cycles].
    """

    stimulus: Callable[[Operands], dict[str, NDArray]]
    result: str
    expected: Callable[[Operands, MacSpec], NDArray[np.int64]]


def _codes(operands: Operands) -> dict[str, NDArray]:
    ports = {"code": operands.w}
    return ports if operands.z is None else ports | {"z": operands.z}


def _factors(operands: Operands) -> dict[str, NDArray]:
    ports = {"w": operands.w, "a": operands.a}
    return ports if operands.z is None else ports | {"z": operands.z}


def _strobed(operands: Operands) -> dict[str, NDArray]:
    ones = np.ones(operands.w.shape, np.uint8)
    return _factors(operands) | {"en": ones, "clear": operands.clear.astype(np.uint8)}


def _level(operands: Operands, spec: MacSpec) -> NDArray[np.int64]:
    if operands.z is None:
        return decode(operands.w, spec.weights)
    flat = decode(operands.w.reshape(-1, 1), spec.weights, operands.z.reshape(-1))
    return flat.reshape(operands.w.shape)


def _product(operands: Operands, spec: MacSpec) -> NDArray[np.int64]:
    return _level(operands, spec) * decode(operands.a, spec.activations)


def _accumulator(operands: Operands, spec: MacSpec) -> NDArray[np.int64]:
    return operands.expected(spec)


CODES = Gates(_codes, "level", _level)
FACTORS = Gates(_factors, "product", _product)
SUMS = Gates(_strobed, "acc", _accumulator)
