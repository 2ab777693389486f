"""Bit-parallel simulation one cycle at a time, for what has to see an answer before it goes on.

`hw.gatesim` plays operands that are known beforehand. A unit with a handshake says when it takes
them: here the operands of a cycle may depend on all that was shown before it.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from macsmith.hw.gatesim_model import Model
from macsmith.hw.gatesim_words import LANES, words
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import Netlist

__all__ = ["Steps"]

_NOTHING = np.zeros((0, 2), np.int64), np.zeros(0, np.int64)  # no toggle and no event is counted


class Steps:
    """A netlist after its reset, in many streams at once; cycles are those of `hw.gatesim`.

    Parameters
    ----------
    netlist : Netlist
    library : Library
    streams : int
        A multiple of 64.
    clock : str

    Attributes
    ----------
    inputs, outputs : dict of slice
        Where the bits of each port are, of all that is driven and of all that is shown; the clock
        is not driven.

    Raises
    ------
    ValueError
        As `hw.gatesim.run`, of the netlist; or streams that fill no words.
    """

    def __init__(
        self, netlist: Netlist, library: Library, streams: int = LANES, clock: str = "clk"
    ) -> None:
        if streams < 1 or streams % LANES:
            raise ValueError(f"streams must be a multiple of {LANES}, not {streams!r}")
        self.streams = streams
        self._model = Model(netlist, library, clock, counting=False)
        self.inputs = _slices({name: netlist.inputs[name] for name in self._model.driven})
        self.outputs = _slices(netlist.outputs)
        self._values = [self._model.start() for _ in range(streams // LANES)]
        for values in self._values:
            self._model.reset(values, *_NOTHING)

    def upset(self, flipped: NDArray[np.uint8]) -> None:
        """Invert flip-flops: bits [streams, flip-flops], in the order of `hw.clocking`."""
        for values, word in zip(self._values, words(flipped), strict=True):
            self._model.upset(values, word, *_NOTHING)

    def step(self, driven: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """One cycle: bits [streams, bits of `inputs`] -> bits [streams, bits of `outputs`].

        What is shown is what there is before the rising edge, when the operands have settled.
        """
        shown = np.stack([
            self._model.simulate(values, 0, word[None], *_NOTHING)[0]
            for values, word in zip(self._values, words(driven), strict=True)
        ])
        bits = np.unpackbits(shown[..., None].view(np.uint8), axis=-1, bitorder="little")
        return bits.transpose(0, 2, 1).reshape(self.streams, -1)


def _slices(ports: Mapping) -> dict[str, slice]:
    found, at = {}, 0
    for name, port in ports.items():
        found[name] = slice(at, at + len(port.bits))
        at += len(port.bits)
    return found
