# amaranth: UnusedElaboratable=no
"""The units by name: how each is made, driven and checked."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.operands import Operands
from macsmith.sim.codec import decode
from macsmith.sim.spec import MAX_SUM_BITS, MacSpec

__all__ = ["UNITS", "Unit", "get_unit", "make_unit", "spec_for"]


@dataclass(frozen=True)
class Unit:
    """One kind of hardware.

    make        (spec, style) -> component, with a `latency`
    stimulus    operands -> codes [streams, cycles] by input port
    result      the output port
    expected    (operands, spec) -> what `result` shows for each product, int64 [streams, cycles]
    """

    name: str
    make: Callable[[MacSpec, str], Any]
    stimulus: Callable[[Operands], dict[str, NDArray]]
    result: str
    expected: Callable[[Operands, MacSpec], NDArray[np.int64]]


def _make_decoder(spec: MacSpec, style: str) -> Any:
    from macsmith.hw.decoder import Decoder

    return Decoder(spec.weights, style)


def _make_multiplier(spec: MacSpec, style: str) -> Any:
    from macsmith.hw.multiplier import Multiplier

    return Multiplier(spec, style)


def _make_mac(spec: MacSpec, style: str) -> Any:
    from macsmith.hw.mac import Mac

    return Mac(spec, style)


def _factors(operands: Operands) -> dict[str, NDArray]:
    ports = {"w": operands.w, "a": operands.a}
    return ports if operands.z is None else ports | {"z": operands.z}


def _code(operands: Operands) -> dict[str, NDArray]:
    ports = {"code": operands.w}
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


UNITS = {
    unit.name: unit
    for unit in (
        Unit("decoder", _make_decoder, _code, "level", _level),
        Unit("multiplier", _make_multiplier, _factors, "product", _product),
        Unit("mac", _make_mac, _strobed, "acc", _accumulator),
    )
}


def get_unit(name: str) -> Unit:
    """The unit called ``name``; ValueError with the nearest one otherwise."""
    if name not in UNITS:
        near = difflib.get_close_matches(name, UNITS, n=1, cutoff=0)[0]
        raise ValueError(f"unknown unit {name!r}; the nearest is {near!r}")
    return UNITS[name]


def spec_for(
    unit: str, weights: str, activations: str, acc_width: int, overflow: str, lanes: int
) -> MacSpec:
    """The spec that a command line describes.

    A unit without an accumulator takes formats whose product is wider than ``acc_width``.
    """
    if get_unit(unit).result == "acc":
        return MacSpec(weights, activations, acc_width, overflow, lanes)
    product = MacSpec(weights, activations, MAX_SUM_BITS, "exact").product_width
    return MacSpec(weights, activations, product, "wrap")


def make_unit(name: str, spec: MacSpec, style: str = "plain") -> Any:
    """The component; ValueError on an unknown unit or style."""
    return get_unit(name).make(spec, style)
