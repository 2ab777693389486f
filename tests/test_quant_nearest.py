"""Nearest levels: those of `sim.codec`, for every format, at every threshold and its neighbours."""

import numpy as np
import pytest
import torch

from macsmith.quant import codes
from macsmith.quant.nearest import _cells, _integers, nearest, nearest_codes
from macsmith.sim import codec
from macsmith.sim.catalog import FORMATS
from macsmith.sim.formats import Format, dint_format, int_format

ODD = [
    Format("one_edge", 1, (0, 3)),
    Format("two_edges", 2, (-1, 0, 1000, 0)),
    Format("far", 3, (0, 1, 2, 3, 100000, -100000, -1, -2), 2),  # too many cells
    Format("shifted", 2, (5, 6, 3, 4)),  # integers, in an order of their own
    Format("halves", 2, (0, 1, 2, 3), 1),
    Format("again", 2, (1, 0, 1, 2)),  # of two codes with one level the lower
    Format("some_move", 2, (0, 1, 2, 3), 0, frozenset((1, 2))),
    Format("far_moved", 3, (0, 1, 2, 9000, 5, 6, 7, 3), 0, frozenset((0, 1, 2))),
    int_format(10, zero_pointed=True),
    dint_format(10, zero_pointed=True),  # too many zero points for cells
]
ALL = [*FORMATS.values(), *ODD]


def tried(fmt, z):
    """Thresholds, levels, their neighbours, the ends of float32, and what is drawn: float32."""
    edges = codec.thresholds(fmt, z, "float32")[0]
    levels = np.float32(sorted(set(fmt.levels_at(z)))) / np.float32(2**fmt.frac_bits)
    exact = np.concatenate([edges, levels, (levels[1:] + levels[:-1]) / 2])
    special = [exact, np.float32([0, -0.0, 1e38, -1e38, np.inf, -np.inf, 1e-40, -1e-40])]
    special += [np.nextafter(exact, np.float32(side)) for side in (-np.inf, np.inf)]
    noise = np.random.default_rng(z).normal(0, np.abs(levels).max() + 1, 500)
    return np.concatenate([*special, noise.astype(np.float32)])


def of_codec(x, fmt, z):
    found = codec.encode(x, fmt, z if fmt.zero_pointed else None)
    return found, codec.decode(found, fmt, z)


@pytest.mark.parametrize("fmt", ALL, ids=lambda fmt: fmt.name)
def test_codes_and_levels_are_the_codecs_at_every_zero_point(fmt):
    ran = 0
    for z in fmt.zero_points[:: 1 if fmt.width <= 6 else 2**fmt.width // 5]:
        x = tried(fmt, z)
        q, level = of_codec(x, fmt, z)
        zero = torch.tensor([z]) if fmt.zero_pointed else None
        rows = torch.from_numpy(x)[None]
        assert (nearest_codes(rows, fmt, zero)[0].numpy() == q).all(), z
        assert (nearest(rows, fmt, zero)[0].numpy() == level).all(), z
        ran += 1
    assert ran == len(fmt.zero_points) or ran >= 5


@pytest.mark.parametrize("fmt", ALL, ids=lambda fmt: fmt.name)
def test_rows_have_zero_points_of_their_own_and_values_any_shape(fmt):
    some = list(fmt.zero_points)[:: max(1, len(fmt.zero_points) // 7)]
    x = torch.from_numpy(tried(fmt, some[-1]))[None].expand(len(some), -1)
    wanted = [of_codec(row.numpy(), fmt, z) for row, z in zip(x, some, strict=True)]
    zero = torch.tensor(some) if fmt.zero_pointed else None
    found = nearest_codes(x, fmt, zero), nearest(x, fmt, zero)
    for mine, of in zip(found, zip(*wanted, strict=True), strict=True):
        assert (mine.numpy() == np.stack(of)).all()
    assert codes.encode_rows(x, fmt, zero).dtype == codes.code_dtype(fmt)
    assert nearest(x[:, :0], fmt, zero).shape == (len(some), 0)
    turned = x.T.contiguous().T
    assert torch.equal(nearest_codes(turned, fmt, zero), found[0])
    assert torch.equal(nearest(turned, fmt, zero), found[1])
    if not fmt.zero_pointed:
        assert torch.equal(nearest(x[0, :12].view(3, 2, 2), fmt).view(-1), found[1][0, :12])


@pytest.mark.parametrize("name", ["int4", "int8", "int4z"])
def test_integers_are_the_nearest_at_every_float16(name):
    """All 63,488 finite numbers of half precision: every tie of these formats is one of them."""
    fmt = FORMATS[name]
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    x = every[np.isfinite(every)].astype(np.float32)
    assert len(x) == 63488
    for z in fmt.zero_points:
        zero = torch.tensor([z]) if fmt.zero_pointed else None
        q, level = of_codec(x, fmt, z)
        assert (nearest_codes(torch.from_numpy(x)[None], fmt, zero)[0].numpy() == q).all()
        assert (nearest(torch.from_numpy(x)[None], fmt, zero)[0].numpy() == level).all()


def test_all_ways_are_taken():
    place = torch.device("cpu")
    ways = {
        fmt.name: "round" if _integers(fmt) else "cells" if _cells(fmt, place) else "search"
        for fmt in ALL
    }
    for way, names in (
        ("round", ("int4", "int8", "int4z", "int10z", "shifted", "again")),
        ("cells", ("nf4", "fp4_bnb", "fp4_daq", "dint4", "dint4z", "halves", "some_move")),
        ("search", ("fp8_e5m2", "one_edge", "far", "far_moved", "dint10z")),
    ):
        assert {ways[name] for name in names} == {way}
