"""Placed sums of units with a fixed latency: MAC, dot product, shared multiples."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.verify import placed
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.many import (
    Drawn,
    draw,
    entering,
    expected,
    follow,
    lanes_of,
)
from macsmith.hw.gatesim import run as simulate
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import Netlist

__all__ = ["place_sums"]

#: Operands that enter after sums are placed, in all streams.
MOST = 2**15


def place_sums(
    one: Instance, netlist: Netlist, library: Library
) -> tuple[Drawn | None, dict[str, int]]:
    """Random operands of streams whose sums are placed in the netlist, and the bins they hit.

    None where a bit of a sum is not found; no bin is hit then.
    """
    sums = one.widths["acc"] // one.spec.acc_width
    names = [f"sum {k}: " if sums > 1 else "" for k in range(sums)]
    bins = dict.fromkeys(placed.end_bins(one, names), 0)
    places = placed.places_in(netlist, library, one.spec, partial(_seen, one, netlist, library))
    if places is None:
        return None, bins
    rng = np.random.default_rng(1)
    many = draw(one, seed=1, most=MOST, sampled=True)
    groups = entering(many, one)
    step = groups.shape[3] * max(map(abs, one.spec.product_range))
    before = placed.targets(rng, one.spec, (len(many.en), sums), step)
    begun = many.rst | (many.en & many.clear)
    live = (many.en & ~many.rst)[..., None]
    hits = placed.passed(one.spec, names, before, groups.sum(axis=3) * live, begun)
    drawn = Drawn(
        many.ports(one),
        expected(many, one, before),
        many.en,
        many.rst,
        partial(follow, many, one, before=before),
        upset=places.upset(before, rng),
    )
    return drawn, hits


def _seen(
    one: Instance, netlist: Netlist, library: Library, upset: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Codes of sums [streams, sums] once the quiet product has entered all lanes."""
    w, a, z = placed.quiet_product(one.spec)
    cycles = one.latency + 1
    first = np.arange(cycles) == 0
    codes = {"en": first, "clear": 0 * first, "rst": 0 * first}
    for name, code, lanes in zip("waz", (w, a, z), lanes_of(one), strict=True):
        codes[name] = np.full((1, cycles, max(1, lanes)), code)
    ports = {p.name: codes[p.name] for p in one.inputs if p.name in netlist.inputs}
    ports["en"] = np.broadcast_to(first, (len(upset), cycles))
    sums = one.widths["acc"] // one.spec.acc_width
    shown = simulate(netlist, library, ports, parts={"acc": sums}, counting=False, upset=upset)
    return shown.outputs["acc"][:, -1]
