"""Benches of the units without a register: decoder and multiplier."""

import itertools
import random

from macsmith.experiments.verify.corners import (
    CODE_BITS,
    Corners,
    corner_zero_points,
    levels_at,
    pair_count,
    sweep,
    zero_point_plan,
)
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.stimulus import Stream
from macsmith.experiments.verify.sums import operand_bins, operand_hits

__all__ = ["drive_decoder", "drive_multiplier"]


def drive_decoder(stream: Stream, rng: random.Random) -> None:
    """All codes at every zero point, or at a few of very many."""
    one, fmt = stream.instance, stream.instance.spec.weights
    plan = zero_point_plan(fmt, 0, one.effort.exhaustive)
    every = corner_zero_points(fmt) if not plan else [z for z in plan if z is not None]
    few = rng.sample(fmt.zero_points, 8) if None in plan else []
    corners = Corners(fmt)
    stream.cover = Cover([*(f"w {name}" for name in corners.classes), *corners.code_bins()])
    for z in [*every, *few]:
        for code, level in enumerate(levels_at(fmt, z)):
            stream.add(one.pack_results(level=level), code=code, z=z)
            stream.cover.mark(f"w {name}" for name in corners.of(code, z))
            stream.cover.mark((f"w={code:#x}", f"z={z:#x}", f"w={code:#x} z={z:#x}"))
    stream.cover.hit("codes", len(stream))


def drive_multiplier(stream: Stream, rng: random.Random) -> None:
    """All corners, then all pairs or a sample of them."""
    one, spec = stream.instance, stream.instance.spec
    a_corners, w_corners = Corners(spec.activations), Corners(spec.weights)
    exhaustive = pair_count(spec, one.effort.exhaustive, 0)
    stream.cover = Cover([*operand_bins(spec), *(["all pairs"] if exhaustive else [])])
    entered = set()

    def drive(w: int, a: int, z: int) -> None:
        product = levels_at(spec.weights, z)[w] * spec.activations.levels[a]
        stream.add(one.pack_results(product=product), w=w, a=a, z=z)
        entered.add((w, a, z))

    for z in corner_zero_points(spec.weights):
        for w, a in itertools.product(w_corners.codes(z), a_corners.codes()):
            drive(w, a, z)
        for w in range(2**spec.weights.width if spec.weights.width <= CODE_BITS else 0):
            drive(w, rng.getrandbits(spec.activations.width), z)
    effort = one.effort
    for (w,), (a,), (z,) in sweep(spec, effort.exhaustive, effort.sample, rng, in_gray=True):
        drive(w, a, z)
    stream.cover.hit("all pairs")
    stream.cover.mark(operand_hits(spec, entered))
