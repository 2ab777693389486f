"""Nearest levels: those of the codes, for every format, at every threshold and its neighbours."""

import numpy as np
import pytest
import torch

from macsmith.quant import codes
from macsmith.quant.nearest import _table, nearest
from macsmith.sim import codec
from macsmith.sim.catalog import FORMATS
from macsmith.sim.formats import Format

PLAIN = [fmt for fmt in FORMATS.values() if not fmt.zero_pointed]
ODD = [
    Format("one_edge", 1, (0, 3)),
    Format("two_edges", 2, (-1, 0, 1000, 0)),
    Format("far", 3, (0, 1, 2, 3, 100000, -100000, -1, -2), 2),  # too many cells
]


@pytest.mark.parametrize("fmt", [*PLAIN, *ODD], ids=lambda fmt: fmt.name)
def test_levels_are_those_of_the_codes(fmt):
    edges = codec.thresholds(fmt, 0, "float32")[0]
    top = np.abs(edges).max()
    special = [edges, np.float32([0, -0.0, 1e38, -1e38, np.inf, -np.inf, 1e-40])]
    special += [np.nextafter(edges, np.float32(side)) for side in (-np.inf, np.inf)]
    noise = np.random.default_rng(0).normal(0, top, 3000).astype(np.float32)
    x = torch.from_numpy(np.concatenate([*special, noise]))
    wanted = codes.levels(codes.encode(x, fmt)[None], fmt)[0]
    assert torch.equal(nearest(x, fmt), wanted)
    assert torch.equal(nearest(x[:12].view(3, 2, 2), fmt), wanted[:12].view(3, 2, 2))
    assert nearest(x[:0], fmt).shape == (0,)


def test_both_ways_are_taken():
    ways = {fmt.name: _table(fmt, torch.device("cpu")).below is None for fmt in [*PLAIN, *ODD]}
    for name in ("nf4", "fp4_bnb", "fp4_daq", "int4", "int8", "dint4"):
        assert not ways[name], name
    for name in ("fp8_e5m2", "one_edge", "far"):
        assert ways[name], name
