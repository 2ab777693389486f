"""Bench of the systolic array: beats in, rows of sums out, in both dataflows."""

import itertools
import random
from dataclasses import replace
from functools import partial

from macsmith.experiments.verify.array_outputs import OutputModel
from macsmith.experiments.verify.array_weights import WeightModel
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.handshake import StreamAgent
from macsmith.experiments.verify.paces import Pace, before_reset, long_holds, paces, places
from macsmith.experiments.verify.rhythm import make_rhythm

__all__ = ["drive_array"]

MODELS = {"output": OutputModel, "weight": WeightModel}


def drive_array(instance: Instance) -> StreamAgent:
    """Sums after a reset, corners of every element, extremes in all directions, random tiles at
    many paces, a long one, resets under way and while ``o`` waits, stalls at every place and long
    ones."""
    rng = random.Random(f"{instance.unit} {instance.spec} {instance.inputs}")
    kind = MODELS[instance.options["dataflow"]]
    model, runs = kind(instance, rng), []
    ports = (*kind.ports, "o")

    def run(pace: Pace) -> None:
        model.seen()
        runs.append(replace(model.take(), pace=pace))

    def reset_run(pace: Pace, after: int) -> None:
        runs.append(replace(model.take(), pace=pace, reset_after=after))
        model.start()
        model.after_reset()

    def sent_through(pace: Pace) -> None:
        model.tile(2)
        model.tile(model.rows)
        run(pace)

    model.after_reset()
    run(Pace())
    model.corners()
    run(Pace())
    model.extremes()
    run(Pace({"o": 0.7}))
    for pace in paces(rng, kind.ports, ("o",), instance.effort.runs):
        for k in range(max(6, instance.effort.random // 200)):
            model.random(k)
        run(pace)
    if instance.effort.long:
        model.tile(instance.effort.long)
        run(Pace(name="a long tile"))
    for k in range(4):
        for j in range(4):
            model.random(j)
        reset_run(Pace(dict.fromkeys(ports, 0.8)), 3 + 5 * k + rng.randrange(5))
        run(Pace())
    cycles = 2 * (model.rows + model.cols) + 8
    for after in instance.in_turn(range(1, cycles)):
        model.tile(2)
        model.tile(model.rows)
        model.tile(model.rows + model.cols + 4)  # so that beats wait when the first rows do
        pace = before_reset(("o",), after) if after % 2 else Pace()
        reset_run(replace(pace, name=f"reset after {after} cycles"), after)
        run(Pace())
    for turn, k in itertools.product(range(4), range(2)):
        if turn and model.settled:  # all directions only where one is too slow
            continue
        model.tile(cycles + 2)  # one k of two finds each element within a group
        reset_run(Pace(name=f"reset within a tile, {k}"), cycles + k)
        run(Pace())
        model.from_reset(turn)
        run(Pace())
    held = Pace(holds={"o": range(cycles + 1)})  # until every port waits
    for pace, after in ((held, cycles), (Pace(), cycles // 2)):
        for beats in (2, 2, cycles):  # two sums in the way of the third's beats
            model.tile(beats)
        reset_run(pace, after)
    for pace in (*long_holds(kind.ports, ("o",)), *instance.in_turn(places(ports, cycles))):
        sent_through(pace)
    cover = Cover(model.bins())
    model.cover(cover)
    # The weights of a single row are one beat, and the next waits until they are in use.
    never = ["load beats in a row"] if model.rows == 1 else []
    per_beat = {"o": model.cols}
    rhythm = partial(make_rhythm, instance.plain())
    return StreamAgent(instance, runs, cover, model.ready, per_beat, rhythm, never)
