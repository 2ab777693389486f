# amaranth: UnusedElaboratable=no
"""`hw.gatesim_steps`: the cycles of `hw.gatesim`, one at a time."""

import numpy as np
import pytest
from technology import library, netlist, tiny

from macsmith.hw.gatesim import run
from macsmith.hw.gatesim_steps import Steps
from macsmith.hw.mac import Mac
from macsmith.hw.synth import synthesize
from macsmith.sim.spec import MacSpec


def test_what_is_driven_may_depend_on_what_was_shown(tmp_path):
    """q is d a cycle later; the stream s drives what it saw, and inverts it where s is odd."""
    flop = netlist("clk d", "q y", "DFF CK=clk D=d QN=n", "INV A=n Y=q", "INV A=d Y=y")
    steps = Steps(flop, tiny(tmp_path), 128)
    assert list(steps.inputs) == ["d"]
    odd = np.arange(128, dtype=np.uint8) % 2
    driven, wanted = np.zeros(128, np.uint8), np.zeros(128, np.uint8)
    for cycle in range(6):
        shown = steps.step(driven[:, None])
        assert shown[:, steps.outputs["y"]].tolist() == (1 - driven)[:, None].tolist()
        q = shown[:, steps.outputs["q"]][:, 0]
        if cycle:  # what it shows at first is from before
            assert q.tolist() == wanted.tolist()
        wanted, driven = driven, q ^ odd
    assert 0 < wanted.sum() < 128


def test_it_is_gatesim():
    spec = MacSpec("dint4", "int8", 16)
    cells = library("osu018")
    mapped = synthesize(Mac(spec, pipeline=1), cells, clock_ps=10_000, name="mac").netlist
    rng = np.random.default_rng(0)
    widths = {"w": 4, "a": 8, "en": 1, "clear": 1, "rst": 1}
    codes = {name: rng.integers(0, 2**width, (192, 20)) for name, width in widths.items()}
    codes["rst"] = (rng.random((192, 20)) < 0.1).astype(int)
    whole = run(mapped, cells, codes, counting=False).outputs["acc"] & 0xFFFF
    steps = Steps(mapped, cells, 192)
    assert {name: at.stop - at.start for name, at in steps.inputs.items()} == widths
    for cycle in range(20):
        driven = np.concatenate(
            [
                (codes[name][:, cycle, None] >> np.arange(widths[name]) & 1).astype(np.uint8)
                for name in steps.inputs
            ],
            axis=1,
        )
        bits = steps.step(driven)[:, steps.outputs["acc"]].astype(np.int64)
        assert ((bits << np.arange(16)).sum(axis=1) == whole[:, cycle]).all()
    assert len(np.unique(whole)) > 500


@pytest.mark.parametrize("streams", [0, 63, 65])
def test_streams_fill_words(tmp_path, streams):
    with pytest.raises(ValueError, match=rf"^streams must be a multiple of 64, not {streams}$"):
        Steps(netlist("a", "y", "INV A=a Y=y"), tiny(tmp_path), streams)
