"""A format's table as logic, which decoders are proven to be."""

from macsmith.hw.aig import Aig, Graph
from macsmith.sim.formats import Format

__all__ = ["table"]


def table(fmt: Format) -> Aig:
    """``level = fmt.levels_at(z)[code]`` for all codes and zero points, with a `Decoder`'s ports.

    Multiplexers from the table's constants, and nothing that a style of decoder has.
    """
    names = ["code", "z"] if fmt.zero_pointed else ["code"]
    inputs = [(name, k) for name in names for k in range(fmt.width)]
    zeros = range(2**fmt.width) if fmt.zero_pointed else [0]
    levels = [level for z in zeros for level in fmt.levels_at(z)]
    graph = Graph(len(inputs))
    lits = []
    for k in range(fmt.level_width):
        column = [level >> k & 1 for level in levels]  # literals: the constants
        for n in range(len(inputs)):
            select = graph.input(n)
            column = [
                graph.any([graph.and_(select ^ 1, low), graph.and_(select, high)])
                for low, high in zip(column[::2], column[1::2], strict=True)
            ]
        lits += column
    return Aig(
        inputs=tuple(inputs),
        registers=(),
        outputs=tuple(("level", k) for k in range(fmt.level_width)),
        input_vars=tuple(range(1, len(inputs) + 1)),
        register_vars=(),
        output_lits=tuple(lits),
        next_lits=(),
        gates=tuple((graph.inputs + n, x, y) for n, (x, y) in enumerate(graph.gates, 1)),
        clock_lits=(),
    )
