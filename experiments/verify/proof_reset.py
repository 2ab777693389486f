"""Two circuits that show the same from their reset on, whatever is driven and for however long.

    clk           1           2 ..
    rst         : 1 1 : free  : free      one clock of reset, whatever was before
    registers   : any : init  :           each circuit's own; "any" where nothing resets them

Weaker than what styles are proven by, which holds from every state: what differs only in states
that no sequence of inputs leads to is the same here. What a register without a reset holds at first
may be anything, but the same in both circuits; a payload counts where its ``valid`` is high.
"""

from collections.abc import Iterator

from macsmith.experiments.verify.proof_problem import Lits, free_words, require_same_ports
from macsmith.hw.aig import TRUE, Aig, Graph
from macsmith.hw.cec import reach

__all__ = ["RESET", "first_difference"]

RESET = "rst"
_OVER = "clock 0 is over"


def first_difference(plain: Aig, unit: Aig, timeout_s: float) -> int | None:
    """Clocks from the reset to the first in which outputs can differ; None if they never do.

    ValueError where the ports differ, or there is no `RESET`; `cec.Undecided` where that cannot be
    told in ``timeout_s`` seconds.
    """
    require_same_ports(plain, unit)
    if RESET not in plain.input_widths:
        raise ValueError(f"no port {RESET!r} that would reset it")
    machines = {"plain": plain, "unit": unit}
    kept: dict[str, int] = {}
    for name, n in (pair for aig in machines.values() for pair in aig.register_widths.items()):
        kept[name] = max(n, kept.get(name, 0))
    words = [
        *plain.input_widths.items(),
        *((f"at first {name}", n) for name, n in kept.items()),
        *(
            (f"{which} {name}", n)
            for which, aig in machines.items()
            for name, n in aig.register_widths.items()
        ),
        (_OVER, 1),
    ]
    variables = [(name, k) for name, n in words for k in range(n)]
    lits, graph = free_words(variables), Graph(len(variables))
    next_lits, shown = [], {}
    for which, aig in machines.items():
        # A register that is reset to 1 is kept inverted, since all begin with 0 here.
        first = _after_reset(Graph(len(variables)), aig, lits, which)
        kept_as = {
            name: [
                lit ^ (bit == TRUE) for lit, bit in zip(lits[f"{which} {name}"], bits, strict=True)
            ]
            for name, bits in first.items()
        }
        state = {
            name: [
                _mux(graph, lits[_OVER][0], later, lits[f"at first {name}"][k])
                if bit > TRUE
                else later
                for k, (bit, later) in enumerate(zip(bits, kept_as[name], strict=True))
            ]
            for name, bits in first.items()
        }
        shown[which], after, _ = graph.copy(aig, lits, state)
        next_lits += [
            x ^ (bit == TRUE)
            for name, bits in first.items()
            for x, bit in zip(after[name], bits, strict=True)
        ]
    differ = graph.any(_differences(graph, shown["plain"], shown["unit"]))
    return reach(graph, differ, [*next_lits, TRUE], timeout_s)


def _after_reset(graph: Graph, aig: Aig, lits: Lits, which: str) -> Lits:
    """Every register after one clock of reset: constants where it is reset."""
    state = {name: lits[f"{which} {name}"] for name in aig.register_widths}
    _, after, _ = graph.copy(aig, lits | {RESET: [TRUE]}, state)
    return after


def _differences(graph: Graph, wanted: Lits, got: Lits) -> Iterator[int]:
    """Where outputs differ that mean something."""
    for name, bits in got.items():
        port, _, member = name.rpartition("__")
        valid = wanted.get(f"{port}__valid") if member == "payload" else None
        differ = graph.any(graph.xor(x, y) for x, y in zip(bits, wanted[name], strict=True))
        yield graph.and_(differ, valid[0]) if valid else differ


def _mux(graph: Graph, select: int, high: int, low: int) -> int:
    return graph.any([graph.and_(select, high), graph.and_(select ^ 1, low)])
