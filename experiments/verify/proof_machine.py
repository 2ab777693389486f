"""Circuits that are compared register by register, and pipelines without a state of their own."""

from macsmith.experiments.verify.proof_problem import (
    Case,
    Lits,
    Problem,
    cut_at_sums,
    free_words,
    require_same_ports,
)
from macsmith.experiments.verify.proof_words import Words
from macsmith.hw.aig import FALSE, Aig, Graph

__all__ = ["pipelined", "same_machine"]


def same_machine(plain: Aig, unit: Aig) -> Problem:
    """The same outputs and next states, register by register, for every input in every state.

    Without registers: the same outputs for every input. ValueError where they do not have the same
    ports and registers.
    """
    require_same_ports(plain, unit)
    for name in sorted({*plain.register_widths, *unit.register_widths}):
        left, right = plain.register_widths.get(name, 0), unit.register_widths.get(name, 0)
        if left != right:
            raise ValueError(
                f"register {name!r} has {right} bits and not {left}: not the same registers"
            )
    words = [
        *plain.input_widths.items(),
        *((f"state {name}", n) for name, n in plain.register_widths.items()),
    ]
    variables = [(name, k) for name, n in words for k in range(n)]
    graph = Graph(len(variables))
    lits = free_words(variables)
    state = {name: lits[f"state {name}"] for name in plain.register_widths}
    shown, after, _ = graph.copy(unit, lits, state)

    def build(instead=None) -> tuple[list[Words], list[list[int]]]:
        wanted, stepped, _ = graph.copy(plain, lits, state, instead)
        inner = [wanted.pop(name) for name in list(wanted) if name not in shown]
        return [*_pairs("", wanted, shown), *_pairs("next ", stepped, after)], inner

    return _problem(graph, variables, build)


def pipelined(plain: Aig, unit: Aig, latency: int) -> Problem:
    """A pipeline of ``latency`` edges shows what the combinational ``plain`` does, from any state.

    Nothing resets it on the way: `rst` drops what it holds. ValueError where the ports differ, or
    the plain unit has a register.
    """
    clocked = {name: n for name, n in unit.input_widths.items() if name != "rst"}
    if plain.register_widths:
        raise ValueError("a pipeline is compared with a combinational unit, not one with registers")
    require_same_ports(plain, unit, besides=("rst",))
    words = [(f"state {name}", n) for name, n in unit.register_widths.items()]
    words += [(f"{name} at edge {t}", n) for t in range(latency + 1) for name, n in clocked.items()]
    variables = [(name, k) for name, n in words for k in range(n)]
    graph = Graph(len(variables))
    lits = free_words(variables)
    frames = [
        {"rst": [FALSE], **{name: lits[f"{name} at edge {t}"] for name in clocked}}
        for t in range(latency + 1)
    ]
    state = {name: lits[f"state {name}"] for name in unit.register_widths}
    for frame in frames[:-1]:
        _, state, _ = graph.copy(unit, frame, state)
    shown, _, _ = graph.copy(unit, frames[-1], state)

    def build(instead=None) -> tuple[list[Words], list[list[int]]]:
        wanted, *_ = graph.copy(plain, frames[0], {}, instead)
        inner = [wanted.pop(name) for name in list(wanted) if name not in shown]
        return list(_pairs("", wanted, shown)), inner

    return _problem(graph, variables, build)


def _problem(graph: Graph, variables, build) -> Problem:
    pairs, inner = build()
    lemmas, cut = cut_at_sums(graph, [Case(pairs, inner, lambda instead: build(instead)[0])])
    return Problem(graph, pairs, variables, lemmas, cut)


def _pairs(prefix: str, left: Lits, right: Lits) -> list[Words]:
    return [
        Words(f"{prefix}{name}", tuple(bits), tuple(right[name])) for name, bits in left.items()
    ]
