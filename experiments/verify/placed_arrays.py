"""Placed sums of an output-stationary array: the accumulators of its elements."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.payloads import numbers_of, packed
from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import placed
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.many_arrays import (
    Plan,
    beat_fields,
    beats_of,
    element_products,
    output_traffic,
)
from macsmith.experiments.verify.traffic import Traffic
from macsmith.hw.gatesim_steps import Steps
from macsmith.hw.gatesim_words import LANES
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import Netlist

__all__ = ["place_array"]

STREAMS = 256
BEATS = 32
PATIENCE = 32  # cycles for what leaves an array, of which a small one needs far less


def place_array(
    one: Instance, netlist: Netlist, library: Library
) -> tuple[tuple[Steps, Traffic] | None, dict[str, int]]:
    """A netlist with placed sums and what goes on from there, and the bins that this hits.

    None where a bit of a sum is not found; no bin is hit then.
    """
    spec, rows, cols = one.spec, one.options["rows"], one.options["cols"]
    names = [f"element {r},{c}: " for r in range(rows) for c in range(cols)]
    bins = dict.fromkeys(placed.end_bins(one, names), 0)
    places = placed.places_in(netlist, library, spec, partial(_seen, one, netlist, library))
    if places is None:
        return None, bins
    rng = np.random.default_rng(1)
    how = Plan(STREAMS, STREAMS, BEATS, np.zeros(STREAMS, np.int64))
    first, last = rng.random(how.shape) < 1 / BEATS, rng.random(how.shape) < 0.3
    first[:, 0], last[:, -1] = False, True
    operands = beats_of(one, rng, how.shape)
    before = placed.targets(rng, spec, (STREAMS, len(names)), max(map(abs, spec.product_range)))
    entering = element_products(one, *operands).reshape(*how.shape, -1)
    hits = placed.passed(spec, names, before, entering, first)
    steps = Steps(netlist, library, STREAMS)
    steps.upset(places.upset(before, rng))
    return (steps, output_traffic(one, how, first, last, operands, before)), hits


def _seen(
    one: Instance, netlist: Netlist, library: Library, upset: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Codes of sums [streams, elements] of one beat of quiet products; 0 if none comes out."""
    spec, rows, cols = one.spec, one.options["rows"], one.options["cols"]
    streams = -(-len(upset) // LANES) * LANES
    steps = Steps(netlist, library, streams)
    steps.upset(np.pad(upset, ((0, streams - len(upset)), (0, 0))))
    w, a, z = (np.array([[[code]]]) for code in placed.quiet_product(spec))
    yes = np.ones((1, 1), bool)
    layout = get_unit(one.unit).make(spec, **one.options).i.payload.shape()
    shapes = (1, 1, rows), (1, 1, cols), (1, 1, cols)
    operands = (np.broadcast_to(x, shape) for x, shape in zip((a, w, z), shapes, strict=True))
    beat = packed(layout, beat_fields(one, ~yes, yes, *operands))[0, 0]
    driven = np.zeros((streams, max(at.stop for at in steps.inputs.values())), np.uint8)
    driven[:, steps.inputs["o__ready"]] = 1
    driven[:, steps.inputs["i__payload"]] = beat
    sent, count = np.zeros(streams, bool), np.zeros(streams, np.int64)
    found = np.zeros((streams, rows, cols * spec.acc_width), np.uint8)
    for _ in range(PATIENCE + 4 * (rows + cols)):
        driven[:, steps.inputs["i__valid"].start] = ~sent
        shown = steps.step(driven)
        sent |= shown[:, steps.outputs["i__ready"].start] == 1
        here = np.flatnonzero((shown[:, steps.outputs["o__valid"].start] == 1) & (count < rows))
        sums = shown[:, steps.outputs["o__payload"]][here, 1:]  # behind ``last``
        found[here, count[here]] = sums
        count[here] += 1
    return numbers_of(found[: len(upset)], spec.acc_width).reshape(len(upset), -1)
