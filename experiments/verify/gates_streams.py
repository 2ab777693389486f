"""A mapped netlist with a handshake, bit-parallel, against golden: the bench's agent, and traffic.

The netlist says when it takes a beat and when it gives one, so it is simulated cycle by cycle
(`hw.gatesim_steps`): first with the agent that a simulator's bench has, with all its bins; then in
many streams (64 of large units, up to 512 of small ones) with random beats, at paces of their own,
through resets; and sums of output-stationary arrays are placed where no run gets.
"""

from dataclasses import replace

import numpy as np

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.agent import make_agent
from macsmith.experiments.verify.arrays import drive_array
from macsmith.experiments.verify.bench import RESET_CYCLES, Effort, Instance
from macsmith.experiments.verify.gemm import drive_gemm
from macsmith.experiments.verify.many import MOST
from macsmith.experiments.verify.many_arrays import many_array
from macsmith.experiments.verify.many_gemm import many_gemm
from macsmith.experiments.verify.placed_arrays import place_array
from macsmith.experiments.verify.results import Checked, together
from macsmith.experiments.verify.traffic import Player, play
from macsmith.hw.gatesim_steps import Steps
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import Netlist

__all__ = ["check_streams", "followed"]

#: By what drives a unit, what draws many beats of it at once.
MANY = {drive_array: many_array, drive_gemm: many_gemm}


def check_streams(
    one: Instance, netlist: Netlist, library: Library, effort: Effort, most: int = MOST
) -> tuple[Checked, int]:
    """What a netlist answers to the bench's agent, and to beats with ``most`` products or more.

    Returns the verdict and the cycles of the longer of both.
    """
    agent, cycles = followed(replace(one, effort=effort), Steps(netlist, library))
    streams, traffic = MANY[get_unit(one.unit).driver()](one, most)
    whole = np.flatnonzero(traffic.cut == 0)
    traffic.require_golden(whole[[0, len(whole) // 2, -1]].tolist())
    played = play(Steps(netlist, library, streams), traffic)
    many = _checked(one, "random products", played)
    enough = {"many: every product": int(many.events["random products"] >= most)}
    parts = [agent, replace(many, bins={**played.cover.bins, **enough})]
    if one.unit == "array" and one.options["dataflow"] == "output":
        placed, bins = place_array(one, netlist, library)
        if placed:
            placed[1].require_golden([0, len(placed[1].cut) - 1])
            found = _checked(one, "products from placed sums", play(*placed))
            parts.append(replace(found, bins=bins))
        else:
            parts.append(Checked(0, 0, "", bins))
    return together(parts), max(cycles, played.cycles)


def _checked(one: Instance, what: str, run: Player) -> Checked:
    """Of the segments that came out whole; ``what`` their products are called."""
    traffic = run.traffic
    results = int(traffic.results[run.finished].sum())
    return Checked(
        results,
        run.wrong,
        f"{one.module} {run.first}" if run.wrong else "",
        {},
        {**run.cover.events, what: int(traffic.products[run.finished].sum())},
        results if traffic.in_arrays else 0,
    )


def followed(one: Instance, steps: Steps, *, until_wrong: bool = False) -> tuple[Checked, int]:
    """The agent's verdict, and cycles, of one stream; the others do the same."""
    agent, cycles = make_agent(one), 0
    taken = [bit for port in one.inputs for bit in _bits(steps.inputs[port.name])]
    given = [bit for port in one.outputs for bit in _bits(steps.outputs[port.name])]
    width = max(at.stop for at in steps.inputs.values())
    while not (agent.done or (until_wrong and agent.wrong)):
        word = agent.stim() if cycles >= RESET_CYCLES else one.reset_word
        bits = np.frombuffer(word.to_bytes(one.stim_bytes, "little"), np.uint8)
        driven = np.zeros((steps.streams, width), np.uint8)
        driven[:, taken] = np.unpackbits(bits, bitorder="little")[: len(taken)]
        shown = steps.step(driven)[0, given]
        if cycles >= RESET_CYCLES:
            agent.see("".join("01"[bit] for bit in reversed(shown.tolist())))
        cycles += 1
    cover = agent.cover
    return Checked(agent.results, agent.wrong, agent.first, cover.bins, cover.events), cycles


def _bits(at: slice) -> range:
    return range(at.start, at.stop)
