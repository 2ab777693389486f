"""Operand codes to words of 64 streams, one bit of each, and words back to results."""

from collections.abc import Mapping

import numpy as np

from macsmith.hw.netlist import Netlist
from macsmith.sim.names import suggestion

__all__ = ["LANES", "check", "outputs_of", "pack", "words"]

LANES = 64  # streams in a word


def check(
    netlist: Netlist, stimulus: Mapping[str, np.ndarray], clock: str
) -> tuple[dict[str, np.ndarray], int, int]:
    """The stimulus as int64 [streams, cycles, parts] for every input but the clock."""
    codes = {}
    for name, given in stimulus.items():
        port = netlist.inputs.get(name)
        if port is None or name == clock:
            hint = suggestion(name, netlist.inputs)
            raise ValueError(f"{netlist.name} has no operand port {name!r}; {hint}")
        array = np.asarray(given)
        if array.ndim not in (1, 2, 3) or array.dtype.kind not in "iub":
            raise ValueError(
                f"port {name!r}: wanted integer codes [cycles], [streams, cycles] or "
                f"[streams, cycles, parts], got {array.dtype} {list(array.shape)}"
            )
        array = np.atleast_2d(array).astype(np.int64)
        array = array[..., None] if array.ndim == 2 else array
        width, rest = divmod(len(port.bits), array.shape[2])
        if rest:
            raise ValueError(
                f"port {name!r}: {len(port.bits)} bits are not {array.shape[2]} equal parts"
            )
        if array.size and not 0 <= array.min() <= array.max() < 2**width:
            worst = array.min() if array.min() < 0 else array.max()
            raise ValueError(f"port {name!r}: {worst} is no code of {width} bits")
        codes[name] = array
    missing = [n for n in netlist.inputs if n not in codes and n not in (clock, "rst")]
    if missing or not codes:
        raise ValueError(f"{netlist.name}: no stimulus for port {', '.join(missing)}")
    streams = max(array.shape[0] for array in codes.values())
    cycles = max(array.shape[1] for array in codes.values())
    if "rst" in netlist.inputs and "rst" not in codes:
        codes["rst"] = np.zeros((1, cycles, 1), np.int64)
    for name, array in codes.items():
        if array.shape[1] != cycles or array.shape[0] not in (1, streams):
            raise ValueError(
                f"port {name!r}: wanted codes [{streams}, {cycles}] or [{cycles}], "
                f"got {list(array.shape[:2])}"
            )
        codes[name] = np.broadcast_to(array, (streams, cycles, array.shape[2]))
    return codes, streams, cycles


def pack(codes: np.ndarray, width: int, count: int) -> np.ndarray:
    """int64 [count, cycles, parts] codes -> int64 [cycles, width] words, one stream per bit."""
    lanes = np.arange(count, dtype=np.int64)[:, None]
    each = width // codes.shape[2]
    bits = [
        np.bitwise_or.reduce((codes[..., k // each] >> k % each & 1) << lanes, axis=0)
        for k in range(width)
    ]
    return np.stack(bits, axis=1)


def words(bits: np.ndarray) -> np.ndarray:
    """uint8 [streams, n] bits -> uint64 [words, n], bit s of word k being of stream 64 k + s."""
    whole = np.zeros((-(-len(bits) // LANES) * LANES, bits.shape[1]), np.uint8)
    whole[: len(bits)] = bits
    packed = np.packbits(whole.reshape(-1, LANES, bits.shape[1]), axis=1, bitorder="little")
    return np.ascontiguousarray(packed.transpose(0, 2, 1)).view(np.uint64)[..., 0]


def outputs_of(
    netlist: Netlist, words: list[tuple[int, np.ndarray]], parts: Mapping[str, int]
) -> dict[str, np.ndarray]:
    outputs = {}
    at = 0
    for name, port in netlist.outputs.items():
        end = at + len(port.bits)
        each = len(port.bits) // parts.get(name, 1)
        signed = port.signed and name not in parts
        found = [
            np.concatenate([
                _unpack(block[:, k : k + each], count, signed) for count, block in words
            ])
            for k in range(at, end, each)
        ]
        outputs[name] = np.stack(found, axis=-1) if name in parts else found[0]
        at = end
    return outputs


def _unpack(words: np.ndarray, count: int, signed: bool) -> np.ndarray:
    """uint64 [cycles, width] words -> int64 [count, cycles] values, the low 64 bits."""
    lanes = np.arange(count, dtype=np.uint64)[:, None]
    total = np.zeros((count, len(words)), np.int64)
    for bit in range(min(words.shape[1], 64)):
        total |= (words[:, bit] >> lanes & np.uint64(1)).astype(np.int64) << bit
    if signed:
        sign = np.int64(1) << (words.shape[1] - 1)
        total = (total ^ sign) - sign
    return total
