"""Systolic array: elements that multiply, add, and pass their operands on."""

from amaranth import EnableInserter, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from macsmith.hw.array_element import ARRAYS, DECODES
from macsmith.hw.array_output import OutputStationary
from macsmith.hw.array_weight import WeightStationary
from macsmith.hw.style import check_count
from macsmith.sim.spec import MacSpec

__all__ = ["DATAFLOWS", "SystolicArray"]

DATAFLOWS = {"output": OutputStationary, "weight": WeightStationary}
MOST_ELEMENTS = 64  # of a row or a column


class SystolicArray(wiring.Component):
    """A tile of a matrix product: what `MacSpec` says, for every output.

    "output"
        Output-stationary: element (r, c) keeps the sum of output (t=r, n=c). A beat is one k: an
        activation for every row and a weight for every column. ``first`` starts new sums with
        this beat; ``last`` sends, after this beat, all sums out, one row a beat, row 0 first. A
        beat that is neither only adds; without ``first`` after a ``last`` the sums go on.
    "weight"
        Weight-stationary: element (r, c) keeps the weight of k=r and n=c. A beat is one t: an
        activation for every row and a partial sum for every column, to which the products of the
        column's rows are added in order of k, overflow after each. ``first`` switches, for this
        beat and the following ones, to the weights loaded last: ``load`` takes a row a beat, row
        0 first, while the array works with the weights before.

    ::

                 "output"                               "weight"
                   w[0] w[1]                         acc[0] acc[1]  (partial sums)
                    |   |                               |   |
            a[0] --(0,0)(0,1)                   a[0] --(0,0)(0,1)
                    |   |                               |   |
            a[1] --(1,0)(1,1)                   a[1] --(1,0)(1,1)
                    |   |     one row a beat            |   |
                    '---'----> o                        '---'----> o

    Row r and column c are delayed by r and c inside; at the ports a beat is straight. Streams obey
    Amaranth's rules: once ``valid`` is up, it and ``payload`` stay until ``ready``; ``valid`` does
    not wait for ``ready``; ``ready`` may depend on ``valid`` and on the payload. Here ``i.ready``
    depends on ``o.ready`` without a register between.

    Throughput is a beat a cycle. The whole array stands still while ``o`` is valid and not ready.
    "output" takes beats with ``last`` at least ``rows`` cycles apart, which is the time that the
    sums take to leave. "weight" takes no beat with ``first`` before all rows are loaded, and loads
    the next row ``rows + cols - 1`` cycles after it, which is the time that the switch takes to
    pass: with ``2 * rows + cols - 1`` beats or more between two of them nothing ever waits.

    Parameters
    ----------
    spec : MacSpec
        "exact" is built as "wrap": that the width suffices is checked where the depth is known.
        "weight" adds one product after the other and serves "saturate" for ``lanes`` = 1 only; to
        "wrap" groups make no difference.
    rows, cols : int
        1 to 64.
    dataflow : str
        "output" or "weight".
    style : str
        Of the elements.
    decode : str
        "element": codes travel, and each element decodes both of its own. "edge": what the style
        makes of each operand alone (a level, Booth digits, multiples) is made once for a row or a
        column, and travels.

    Members
    -------
    clk, rst
        Of the domain ``sync``. ``rst`` is synchronous, active high: nothing is under way and no
        weights are loaded afterwards; the sums are 0. Until something enters again, ``o.valid``
        is low, and ``i`` and ``load`` are ready: only not ``i`` of "weight" for a beat with
        ``first``.
    i : In(stream)
        Payload, from bit 0 upwards: ``first``, ``last``, then ``a`` (a code for each row, row 0
        lowest), then, for "output", ``w`` and, where the weights are zero-pointed, ``z`` (a code
        for each column), or, for "weight", ``acc`` (a signed sum for each column).
    load : In(stream)
        "weight" only: ``w`` and, where the weights are zero-pointed, ``z`` for each column.
    o : Out(stream)
        ``last``, then ``acc``, signed, for each column, in units of ``2**-spec.frac_bits``.
        ``last`` marks the last row of a tile ("output"), or comes through from ``i`` ("weight").

    Attributes
    ----------
    latency : int
        Rising edges, if nothing stalls, from the one at which ``i`` takes a beat (``i.valid`` and
        ``i.ready``; for "output" the beat with ``last``) to the one at which ``o`` gives its row
        (``o.valid`` and ``o.ready``; for "output" the first of the tile): cols + 2 for "output",
        rows + cols for "weight".

    Raises
    ------
    ValueError
        If rows, cols, dataflow, decode or style is none of these, or cannot serve this spec.
    """

    def __init__(
        self,
        spec: MacSpec,
        rows: int = 4,
        cols: int = 4,
        dataflow: str = "output",
        style: str = "plain",
        decode: str = "element",
    ):
        ARRAYS.require(spec)
        for what, number in (("rows", rows), ("cols", cols)):
            check_count(what, number, MOST_ELEMENTS)
        if dataflow not in DATAFLOWS:
            raise ValueError(f"dataflow must be one of {', '.join(DATAFLOWS)}, not {dataflow!r}")
        if decode not in DECODES:
            raise ValueError(f"decode must be one of {', '.join(DECODES)}, not {decode!r}")
        self._flow = DATAFLOWS[dataflow](spec, rows, cols)
        self._style = ARRAYS.get(style, spec)
        self.spec = spec
        self.rows = rows
        self.cols = cols
        self.dataflow = dataflow
        self.style = style
        self.decode = decode
        self.latency = self._flow.latency
        super().__init__({
            name: flow(stream.Signature(layout))
            for name, (flow, layout) in {
                "i": (In, self._flow.beat),
                **({"load": (In, self._flow.load)} if self._flow.load else {}),
                "o": (Out, self._flow.result),
            }.items()
        })

    def elaborate(self, platform):
        m = Module()
        core = Module()
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        self._flow.build(m, core, advance, self, self._style.build(self.spec, self.decode))
        m.submodules.core = EnableInserter(advance)(core)
        return m
