"""Many streams of the floating-point MAC at once, for its netlist; see `many`."""

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.floats_driver import classes
from macsmith.experiments.verify.many import MOST, Drawn, strobes
from macsmith.sim import ndarray
from macsmith.sim.floating import FloatFormat, get_float, multiply_add

__all__ = ["many_floats"]


def many_floats(one: Instance, most: int = MOST) -> Drawn:
    """Random operands, some of each class; every eighth product takes the one before away."""
    fmt = get_float(get_unit("float_mac").subject_of(one.spec, one.options))
    rng = np.random.default_rng(0)
    en, clear, rst = strobes(rng, most, one.latency)
    w, a = (_operands(fmt, rng, en.shape) for _ in "wa")
    again = rng.random(en.shape) < 1 / 8
    again[:, 0] = False
    w = np.where(again, np.roll(w, 1, axis=1) ^ 1 << (fmt.width - 1), w)
    a = np.where(again, np.roll(a, 1, axis=1), a)
    due = np.zeros((*en.shape, 1), np.int64)
    acc = np.zeros(len(en), np.int64)
    for k in range(en.shape[1]):
        total = ndarray.multiply_add(np.where(clear[:, k], 0, acc), w[:, k], a[:, k], fmt)
        acc = np.where(rst[:, k], 0, np.where(en[:, k], total, acc))
        due[:, k, 0] = acc

    def golden(stream: int) -> list[list[int]]:
        acc, found = 0, []
        columns = (x[stream].tolist() for x in (w, a, en, clear, rst))
        for w_code, a_code, enters, clears, resets in zip(*columns, strict=True):
            if resets:
                acc = 0
            elif enters:
                acc = multiply_add(0 if clears else acc, w_code, a_code, fmt)
            found.append([acc])
        return found

    ports = {"w": w, "a": a, "en": en, "clear": clear, "rst": rst}
    return Drawn(ports, due, en, rst, golden)


def _operands(
    fmt: FloatFormat, rng: np.random.Generator, shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Codes as of `_Driver.operand`; and of every sixteenth, one of its class's ends."""
    codes = rng.integers(0, 2**fmt.width, shape)
    exponents = fmt.bias + rng.integers(-5, 5, shape)
    near = codes & ~(fmt.max_exponent << fmt.fraction_bits) | exponents << fmt.fraction_bits
    codes = np.where(rng.random(shape) < 0.7, near, codes)
    ends = [code for members in classes(fmt).values() for code in members]
    return np.where(rng.random(shape) < 1 / 16, rng.choice(ends, shape), codes)
