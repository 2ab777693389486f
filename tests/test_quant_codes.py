"""Torch codes: the same as sim.codec on every format, and packing loses nothing."""

import numpy as np
import pytest
import torch

from macsmith.quant import codes
from macsmith.sim import codec
from macsmith.sim.catalog import FORMATS
from macsmith.sim.formats import Format

SMALL = [fmt for fmt in FORMATS.values() if fmt.width <= 8]


def _values(fmt: Format, z: int, rng: np.random.Generator) -> np.ndarray:
    """Random values around the table, every level, every midpoint, and their float neighbours."""
    levels = np.array(sorted(set(fmt.levels_at(z)))) / 2**fmt.frac_bits
    special = np.concatenate([levels, (levels[1:] + levels[:-1]) / 2]).astype(np.float32)
    near = [np.nextafter(special, np.float32(d)) for d in (-np.inf, np.inf)]
    noise = rng.normal(0, 2 * np.abs(levels).max(), 500).astype(np.float32)
    return np.concatenate([special, *near, noise])


@pytest.mark.parametrize("fmt", SMALL, ids=lambda fmt: fmt.name)
def test_encode_equals_codec_at_every_zero_point(fmt):
    rng = np.random.default_rng(0)
    for z in fmt.zero_points[:: 1 if fmt.width < 8 else 51]:
        x = _values(fmt, z, rng)[None]
        zero = torch.tensor([z]) if fmt.zero_pointed else None
        got = codes.encode_rows(torch.from_numpy(x), fmt, zero)
        want = codec.encode(x, fmt, z if fmt.zero_pointed else None)
        assert (got.numpy() == want).all(), f"{fmt.name} z={z}: {x[got.numpy() != want][:3]}"
        assert (codes.levels(got, fmt, zero).numpy() == codec.decode(want, fmt, z)).all()


def test_rows_at_different_zero_points():
    fmt = FORMATS["dint4z"]
    x = np.random.default_rng(1).normal(0, 6, (14, 50)).astype(np.float32)
    z = np.arange(14)
    got = codes.encode_rows(torch.from_numpy(x), fmt, torch.from_numpy(z))
    assert (got.numpy() == codec.encode(x, fmt, z)).all()


@pytest.mark.parametrize("name", ["int2", "int3", "dint4", "int5", "int8"])
@pytest.mark.parametrize("count", [0, 1, 6, 7])
def test_unpack_undoes_pack(name, count):
    fmt = FORMATS[name]
    q = torch.randint(0, 2**fmt.width, (3, count), dtype=torch.uint8)
    packed = codes.pack(q, fmt)
    assert packed.dtype == torch.uint8
    assert packed.numel() == -(-3 * count * codes.packed_bits(fmt) // 8)
    assert torch.equal(codes.unpack(packed, fmt, (3, count)), q)


def test_two_four_bit_codes_share_a_byte_low_first():
    assert codes.pack(
        torch.tensor([[1, 2], [3, 15]], dtype=torch.uint8), FORMATS["int4"]
    ).tolist() == [
        0x21,
        0xF3,
    ]


def test_wide_codes_take_two_bytes():
    fmt = Format("wide", 9, tuple(range(512)))
    q = torch.tensor([[0, 511, 256]], dtype=torch.int32).to(torch.uint16)
    packed = codes.pack(q, fmt)
    assert packed.tolist() == [0, 0, 255, 1, 0, 1]
    assert torch.equal(codes.unpack(packed, fmt, (1, 3)).int(), q.int())


def test_a_wrong_length_is_refused():
    with pytest.raises(ValueError, match=r"^6 packed codes of int4 take 3 bytes, got 2"):
        codes.unpack(torch.zeros(2, dtype=torch.uint8), FORMATS["int4"], (2, 3))


def test_levels_that_float32_cannot_hold_are_refused():
    fmt = Format("huge", 1, (0, 2**30 + 1))
    with pytest.raises(ValueError, match="huge has levels that float32 does not hold"):
        codes.levels(torch.zeros(1, 1, dtype=torch.uint8), fmt)
