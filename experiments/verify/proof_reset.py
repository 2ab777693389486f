"""Two circuits that show the same from their reset on, whatever is driven and for however long.

    clk           1           2 ..
    rst         : 1 1 : free  : free      one clock of reset, whatever was before
    registers   : any : init  :           each circuit's own

Weaker than what styles are proven by, which holds from every state: what differs only in states
that no sequence of inputs leads to is the same here.
"""

from macsmith.experiments.verify.proof_problem import Lits, free_words, require_same_ports
from macsmith.hw.aig import TRUE, Aig, Graph
from macsmith.hw.cec import reach

__all__ = ["RESET", "first_difference"]

RESET = "rst"


def first_difference(plain: Aig, unit: Aig, timeout_s: float) -> int | None:
    """Clocks from the reset to the first in which outputs can differ; None if they never do.

    ValueError where the ports differ, there is no `RESET`, or it leaves a register as it was;
    `cec.Undecided` where that cannot be told in ``timeout_s`` seconds.
    """
    require_same_ports(plain, unit)
    if RESET not in plain.input_widths:
        raise ValueError(f"no port {RESET!r} that would reset it")
    machines = {"plain": plain, "unit": unit}
    words = [
        *plain.input_widths.items(),
        *(
            (f"{which} {name}", n)
            for which, aig in machines.items()
            for name, n in aig.register_widths.items()
        ),
    ]
    variables = [(name, k) for name, n in words for k in range(n)]
    lits = free_words(variables)
    first = {which: _after_reset(Graph(len(variables)), aig, lits, which)
             for which, aig in machines.items()}  # fmt: skip
    graph = Graph(len(variables))
    next_lits, shown = [], {}
    for which, aig in machines.items():
        begun = first[which]
        # A register that is reset to 1 is kept inverted, since all begin with 0 here.
        state = {name: _xor(lits[f"{which} {name}"], bits) for name, bits in begun.items()}
        shown[which], after, _ = graph.copy(aig, lits, state)
        next_lits += [x for name, bits in begun.items() for x in _xor(after[name], bits)]
    wanted, got = shown["plain"], shown["unit"]
    differ = graph.any(
        graph.xor(x, y)
        for name, bits in got.items()
        for x, y in zip(bits, wanted[name], strict=True)
    )
    return reach(graph, differ, next_lits, timeout_s)


def _after_reset(graph: Graph, aig: Aig, lits: Lits, which: str) -> Lits:
    """Every register after one clock of reset: constants."""
    state = {name: lits[f"{which} {name}"] for name in aig.register_widths}
    _, after, _ = graph.copy(aig, lits | {RESET: [TRUE]}, state)
    for name, bits in after.items():
        if any(lit > TRUE for lit in bits):
            raise ValueError(f"register {name!r} is not reset")
    return after


def _xor(bits: list[int], constants: list[int]) -> list[int]:
    return [x ^ c for x, c in zip(bits, constants, strict=True)]
