"""Circuits with falling-edge registers and gated clocks, as circuits of one clock.

From one rising edge of ``clk`` to the next, with inputs that do not change in between: registers on
the falling edge take what the others give them, and at the rising edge a register behind a gate
takes its next value if the gate is open, which what the falling edge took decides::

    state --rising edge--> state', clk high --falling edge--> enables, clk low --rising edge--> ..

So the state is that of the rising-edge registers alone. An enable is a function of it, and a gated
register keeps its value where its enable is 0.
"""

from collections.abc import Callable, Mapping

from macsmith.hw.aig import FALSE, TRUE, Aig, Bit, Graph

__all__ = ["CLOCK", "one_clock"]

CLOCK = "clk"


def one_clock(aig: Aig) -> Aig:
    """The same circuit with every register on the rising edge of ``clk``.

    ValueError, one line, where that is not known to be the same: a clock that can rise while
    ``clk`` is low or stays, one gated by something else than falling-edge registers, a
    falling-edge register that an input decides or that anything else than a gate uses, logic that
    depends on ``clk``.
    """
    port = next((v for v, bit in zip(aig.input_vars, aig.inputs, strict=True) if _is_clock(bit)), 0)
    if (port and set(aig.clock_lits) <= {2 * port}) or not aig.clock_lits:
        return aig
    kinds = {2 * port: "rising", 2 * port + 1: "falling"} if port else {}
    kind = [kinds.get(lit, "gated") for lit in aig.clock_lits]
    _check(aig, kind)
    inputs = [bit for bit in aig.inputs if not _is_clock(bit)]
    kept = [k for k, word in enumerate(kind) if word != "falling"]
    graph = Graph(len(inputs) + len(kept))
    values = {bit: graph.input(k) for k, bit in enumerate(inputs)}
    state = {k: graph.input(len(inputs) + n) for n, k in enumerate(kept)}
    before = _lits(graph, aig, values, state, FALSE)
    taken = {k: before(aig.next_lits[k]) for k, word in enumerate(kind) if word == "falling"}
    after = _lits(graph, aig, values, state | taken, TRUE)
    steps = []
    for k in kept:
        step = after(aig.next_lits[k])
        if kind[k] == "gated":
            enable = after(aig.clock_lits[k])
            held = graph.and_(enable ^ 1, state[k])
            step = graph.any([graph.and_(enable, step), held])
        steps.append(step)
    outputs = tuple(after(lit) for lit in aig.output_lits)
    # the clock is an input still, which nothing reads
    clock = graph.inputs + len(graph.gates) + 1
    return Aig(
        (*inputs, (CLOCK, 0)),
        tuple(aig.registers[k] for k in kept),
        aig.outputs,
        (*(values[bit] >> 1 for bit in inputs), clock),
        tuple(state[k] >> 1 for k in kept),
        outputs,
        tuple(steps),
        tuple((graph.inputs + n, x, y) for n, (x, y) in enumerate(graph.gates, 1)),
        (2 * clock,) * len(kept),
    )


def _check(aig: Aig, kind: list[str]) -> None:
    """ValueError unless the circuit is one that `one_clock` can take."""
    inputs = [bit for bit in aig.inputs if not _is_clock(bit)]
    graph = Graph(len(inputs) + len(kind))
    values = {bit: graph.input(k) for k, bit in enumerate(inputs)}
    state = {k: graph.input(len(inputs) + k) for k in range(len(kind))}
    low = _lits(graph, aig, values, state, FALSE)
    high = _lits(graph, aig, values, state, TRUE)
    falling = {state[k] >> 1 for k, word in enumerate(kind) if word == "falling"}
    rising = {lit >> 1 for lit in state.values()} - falling

    def free(lit: int) -> set[int]:
        return {var for var in graph.cone([lit]) if var <= graph.inputs}

    def refuse(bit: Bit, why: str) -> None:
        raise ValueError(f"{bit[0]}[{bit[1]}] {why}")

    for bit, lit in zip(aig.outputs, aig.output_lits, strict=True):
        if low(lit) != high(lit):
            refuse(bit, f"depends on {CLOCK}")
        if free(low(lit)) & falling:
            refuse(bit, "shows a register of the falling edge")
    for k, (bit, lit) in enumerate(zip(aig.registers, aig.next_lits, strict=True)):
        clock, sources = aig.clock_lits[k], free(low(lit))
        if low(lit) != high(lit):
            refuse(bit, f"takes what depends on {CLOCK}")
        if sources & falling:
            refuse(bit, "takes a register of the falling edge, which may drive clock gates only")
        if kind[k] == "falling" and sources - rising:
            refuse(bit, f"is on the falling edge of {CLOCK} and depends on an input")
        if kind[k] == "gated" and low(clock) != FALSE:
            refuse(bit, f"has a clock that is not 0 while {CLOCK} is")
        if kind[k] == "gated" and (high(clock) < 2 or free(high(clock)) - falling):
            refuse(bit, f"has a clock that more than {CLOCK} and falling-edge registers decide")


def _is_clock(bit: Bit) -> bool:
    return bit == (CLOCK, 0)


def _lits(
    graph: Graph, aig: Aig, values: Mapping[Bit, int], state: dict[int, int], clock: int
) -> Callable[[int], int]:
    """The circuit in the graph: the function from its literals to the graph's.

    Registers without a literal in ``state`` are 0 there.
    """
    lits = {0: FALSE}
    for var, bit in zip(aig.input_vars, aig.inputs, strict=True):
        lits[var] = clock if _is_clock(bit) else values[bit]
    for k, var in enumerate(aig.register_vars):
        lits[var] = state.get(k, FALSE)
    for var, x, y in aig.gates:
        lits[var] = graph.and_(lits[x >> 1] ^ (x & 1), lits[y >> 1] ^ (y & 1))
    return lambda lit: lits[lit >> 1] ^ (lit & 1)
