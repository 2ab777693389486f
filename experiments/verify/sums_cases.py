"""Benches of the units that sum products at a fixed latency: what they are driven with."""

import itertools
import random

from macsmith.experiments.verify.corners import CODE_BITS, Corners, corner_zero_points, sweep
from macsmith.experiments.verify.stimulus import Stream
from macsmith.experiments.verify.sums import Driver, can_overflow, extreme

__all__ = ["drive_sums"]

#: Products of the sum that all pairs go on with: 2**12 of them make it longer than a counter's.
LEAD = 2**6
STALLS = range(1, 21)


def drive_sums(stream: Stream, rng: random.Random) -> None:
    """Reset, then the given products; or corners, all pairs, random ones, and runs to overflow."""
    drive = Driver(stream, rng)
    for _ in range(2):
        drive.cycle(*drive.operands(), en=1, clear=rng.randrange(2), rst=1)
    for w, a, z, clear in stream.instance.given:
        drive.cycle([w], [a], [z], clear=clear)
    if not stream.instance.given:
        _cases(drive)
    for _ in range(stream.instance.latency + 4):  # until the last product shows, in every style
        drive.cycle(*drive.all_lanes(0, 0, 0), en=0)
    drive.finish()


def _cases(drive: Driver) -> None:
    effort, rng = drive.stream.instance.effort, drive.rng
    _corners(drive)
    _strobes(drive)
    _stalls(drive)
    lanes = {"w": drive.w_lanes, "a": drive.a_lanes, "z": drive.z_lanes}
    cases = sweep(drive.spec, effort.exhaustive, effort.sample, rng, **lanes)
    for k in range(LEAD):
        drive.cycle(*drive.operands(), clear=k == 0)
    for k, operands in enumerate(cases, 1):
        # A new sum only where this one is clamped, so that its products do not show. What counts
        # products and is wrong after so many shows in the others.
        drive.cycle(*operands, clear=k % 1000 == 0 and drive.clamped)
    drive.stream.cover.hit("all pairs")
    while drive.in_a_row < effort.long:
        drive.cycle(*drive.operands())
    for _ in range(effort.random):
        en, clear, rst = (int(rng.random() < p) for p in (0.75, 0.08, 0.01))
        drive.cycle(*drive.operands(), en=en, clear=clear, rst=rst)
    near = can_overflow(drive.spec, drive.per_sum)
    for sign, possible in drive.overflows().items():
        if near[sign]:
            for turn in range(effort.runs):
                _overflow_run(drive, sign, turn)
        elif possible:  # far away: once, from a reset upwards and from a clear downwards
            _overflow_run(drive, sign, int(sign < 0))


def _corners(drive: Driver) -> None:
    """Every class of weights with every class of activations, and every code, in each lane."""
    spec = drive.spec
    a_codes = Corners(spec.activations).codes()
    for z in corner_zero_points(spec.weights):
        w_codes = Corners(spec.weights).codes(z)
        for j, i in itertools.product(range(len(a_codes)), range(len(w_codes))):
            ws = [w_codes[(i + k) % len(w_codes)] for k in range(drive.w_lanes)]
            as_ = [a_codes[(j + k) % len(a_codes)] for k in range(drive.a_lanes)]
            drive.cycle(ws, as_, [z] * drive.z_lanes, clear=(i + j) % 7 == 0)
        if spec.weights.width <= CODE_BITS:
            for code in range(2**spec.weights.width):
                ws = [(code + k) % 2**spec.weights.width for k in range(drive.w_lanes)]
                drive.cycle(ws, drive.operands()[1], [z] * drive.z_lanes)


def _strobes(drive: Driver) -> None:
    """Every combination of strobes, twice in a row, at the first and last places of a group."""
    places = {0, 1, drive.spec.lanes - 1} if drive.serial else {1}
    for place, en, clear, rst in itertools.product(sorted(places), (0, 1), (0, 1), (0, 1)):
        drive.cycle(*drive.operands(), clear=1)
        while drive.serial and drive.models[0].place != place:
            drive.cycle(*drive.operands())
        for _ in range(2):
            drive.cycle(*drive.operands(), en=en, clear=clear, rst=rst)
        for _ in range(2):
            drive.cycle(*drive.operands())


def _stalls(drive: Driver) -> None:
    """Between two products each, with garbage at the operands and `clear`, stalls of every length
    up to 20 and one of 100, as far as the effort goes."""
    for length in (*STALLS, 100):
        if length <= drive.stream.instance.effort.stalls:
            for _ in range(length):
                drive.cycle(*drive.operands(), en=0, clear=drive.rng.randrange(2))
            drive.cycle(*drive.operands())


def _overflow_run(drive: Driver, sign: int, turn: int) -> None:
    """A new sum, extreme products until it has overflowed and a little beyond, then random ones.

    The sum starts with a reset or with `clear`, at any place in a group; what comes after the
    overflow shows whether the groups since then are where they should be.
    """
    rng, forth, back = drive.rng, *(drive.all_lanes(*extreme(drive.spec, s)) for s in (sign, -sign))
    for _ in range(rng.randrange(1 + drive.spec.lanes)):
        drive.cycle(*drive.operands())
    drive.cycle(*forth, clear=turn % 2, rst=1 - turn % 2)
    after = 0
    while after < 3 + turn + drive.spec.lanes:
        drive.cycle(*forth)
        after += after > 0 or drive.models[0].overflowed == sign
        if rng.random() < 0.1:
            drive.cycle(*drive.operands(), en=0, clear=rng.randrange(2))
    for _ in range(20):
        drive.cycle(*rng.choice([forth, back, drive.operands()]))
