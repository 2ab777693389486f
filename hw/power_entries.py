"""Which entries of a cell's internal energy an event counts, and in which part (see `hw.power`)."""

from dataclasses import replace

import numpy as np

from macsmith.hw.cell import Cell, PowerArc
from macsmith.hw.liberty_power import grounded
from macsmith.hw.nldm import Table

__all__ = ["shares"]

RISE, FALL = 0, 1


def shares(cell: Cell, pins: tuple[str, ...], seen: np.ndarray) -> list[tuple]:
    """(pin, input pin that moved, its edge, table, weights): how often, in each event of `seen`
    (see `Activity.events`), a table of the cell applies. float64 [events]."""
    count = len(pins)
    before = _states(cell, pins, seen >> count)
    after = _states(cell, pins, seen & (2**count - 1))
    edges = {  # [RISE], [FALL]: in which events the pin has that edge
        pin: (~before[pin] & after[pin], before[pin] & ~after[pin])
        for pin in cell.pins
        if pin in before
    }
    output_moved = np.zeros(len(seen), bool)
    for pin in cell.outputs:
        output_moved |= edges[pin][RISE] | edges[pin][FALL] if pin in edges else False
    found = []
    for name, pin in cell.pins.items():
        if name not in edges:
            continue
        own = [arc for arc in pin.power if arc.related in ("", name)]
        caused = [arc for arc in pin.power if arc.related in edges and arc not in own]
        if pin.direction == "output":
            inputs = [other for other in cell.inputs if other in edges]
            groups = [caused, [replace(arc, related=other) for arc in own for other in inputs]]
        else:
            groups = [caused]
            for arcs in _by_rail(own):
                found += _own(name, arcs, edges, (before, after), output_moved)
        for arcs in (each for group in groups for each in _by_rail(group)):
            found += _caused(name, arcs, edges, (before, after))
    return [share for share in found if share[-1].any()]


def _by_rail(arcs: list[PowerArc]) -> list[list[PowerArc]]:
    rails = dict.fromkeys(arc.rail for arc in arcs)
    return [[arc for arc in arcs if arc.rail == rail] for rail in rails]


def _own(name: str, arcs: list[PowerArc], edges, states, output_moved: np.ndarray) -> list[tuple]:
    """Shares of the entries of a rail that an input pin has of itself."""
    held, holding = (_holding(arcs, env, len(output_moved)) for env in states)
    holding = holding & (held | ~output_moved)
    return [
        (name, name, edge, table, (edges[name][edge] & holds[edge]).astype(float))
        for arc, holds in zip(arcs, holding, strict=True)
        for edge, table in _tables(arc)
    ]


def _caused(name: str, arcs: list[PowerArc], edges, states) -> list[tuple]:
    """Shares of the entries of a rail that name the input pin which moved."""
    shares = []
    given = np.array([[arc.rise is not None, arc.fall is not None] for arc in arcs])
    moving = np.stack([edges[arc.related][RISE] | edges[arc.related][FALL] for arc in arcs])
    candidates = possible = moving[:, None] & given[:, :, None]
    for env in states:  # the last word is "after"
        holding = possible & _holding(arcs, env, moving.shape[1])
        candidates = np.where(holding.any(axis=0), holding, candidates)
    share = candidates / np.maximum(candidates.sum(axis=0), 1)
    for arc, part in zip(arcs, share, strict=True):
        for edge, table in _tables(arc):
            for source_edge in (RISE, FALL):
                weights = part[edge] * edges[name][edge] * edges[arc.related][source_edge]
                shares.append((name, arc.related, source_edge, table, weights))
    return shares


def _tables(arc: PowerArc) -> list[tuple[int, Table]]:
    """Edges of which the entry has an energy, each with its table."""
    return [(edge, t) for edge, t in ((RISE, arc.rise), (FALL, arc.fall)) if t is not None]


def _holding(arcs: list[PowerArc], env: dict[str, np.ndarray], states: int) -> np.ndarray:
    """In which states the condition of each entry of a pin holds, for either edge.

    One without a condition is the default: it holds where none with the same related pin does that
    has a table for the edge. bool [entries, edges, states].
    """
    held = np.ones((len(arcs), 2, states), bool)
    covered: dict[str, np.ndarray] = {}
    for arc, holds in zip(arcs, held, strict=True):
        if arc.when is not None:
            holds[:] = arc.when.evaluate(env)
            states_of = covered.setdefault(arc.related, np.zeros((2, states), bool))
            for edge, _ in _tables(arc):
                states_of[edge] |= holds[edge]
    for arc, holds in zip(arcs, held, strict=True):
        if arc.when is None and arc.related in covered:
            holds &= ~covered[arc.related]
    return held


def _states(cell: Cell, pins: tuple[str, ...], codes: np.ndarray) -> dict[str, np.ndarray]:
    """Values of every pin (and flip-flop state) of the cell; unconnected inputs are low. What a
    condition names besides (its supplies, pins inside) is high, and low if it is called a ground.
    """
    env = {pin: np.zeros(len(codes), bool) for pin in cell.inputs}
    for position, pin in enumerate(reversed(pins)):
        env[pin] = (codes >> position & 1).astype(bool)
    if cell.ff:
        env[cell.ff.inverse] = ~env[cell.ff.state]
    for pin in cell.outputs:
        if cell.pins[pin].function is not None:
            env[pin] = np.broadcast_to(cell.pins[pin].function.evaluate(env), len(codes))
    for arc in (arc for pin in cell.pins.values() for arc in pin.power if arc.when is not None):
        for name in arc.when.variables():
            env.setdefault(name, np.full(len(codes), not grounded(name)))
    return env
