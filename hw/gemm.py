# amaranth: UnusedElaboratable=no
"""GEMM tile: a systolic array with its exit, which a whole layer is streamed through."""

from amaranth import Module, Mux, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Out

from macsmith.hw.array import SystolicArray
from macsmith.hw.array_element import ARRAYS
from macsmith.hw.gemm_exit import Exit
from macsmith.sim.formats import signed_width
from macsmith.sim.requantize import MAX_WIDTH, RequantizeSpec
from macsmith.sim.spec import MacSpec

__all__ = ["Gemm"]


class Gemm(wiring.Component):
    """``y[t, n] = clamp(round((acc - za[t] * sum_k u[n, k]) * multiplier * 2**-shift) + zero)``.

    ``acc`` is the sum of `MacSpec` for token t and channel n, the correction is made after it in a
    wider integer, and scale and zero point belong to the channel; `macsmith.sim.requantize` has
    the rounding, and `macsmith.sim.gemm_schedule` the order in which a layer enters and leaves.

    "output"
        A tile is ``rows`` tokens by ``cols`` channels by any number of products. Tiles follow each
        other without a gap: while the sums of one leave, the next one enters.
    "weight"
        ``rows`` products of ``cols`` channels are loaded, and tokens pass. A tile is the results of
        one token. Where a sum has more products than there are rows, its tokens pass once for each
        ``rows`` of them: without ``last`` what a row of sums has come to leaves at ``partial``, and
        whoever drives the tile keeps it and sends it in again, at ``i.acc``, with the next weights.

    ::

              "output"                              "weight"
        i ---> [array] --row--> [exit] ---> o       load --.
        tile -------------------'                   i ---> [array] --row, last--> [exit] ---> o
                                                               |      tile -------'
                                                               '-----row, not last ---> partial

    The streams obey the rules that `SystolicArray` quotes. ``i.ready`` depends on ``o.ready``, on
    ``partial.ready`` and on ``tile.valid`` without a register between.

    Throughput: a tile of "output" with K products takes ``max(K, rows)`` cycles, and
    ``rows * (cols / exits - 1)`` more in which its rows leave and the array stands still; a beat of
    "weight" takes a cycle, and with ``last`` ``cols / exits``. Nothing stands still with
    ``exits = cols``.

    Parameters
    ----------
    spec : MacSpec
        Formats of weights and activations, and the accumulator.
    rows, cols : int
        Elements of the array, 1 to 64 each.
    dataflow : str
        "output" or "weight": which of an element's numbers stays in it.
    depth : int
        The greatest number of products of a sum: it sets the width of the sums of weights and
        of the correction, and has to be exact in the accumulator where the spec says so.
    rounding : str
        Of `RequantizeSpec`.
    exits : int
        Requantizers; divides ``cols``.
    zero_points : bool
        Whether activations have zero points; they are levels of the activations' format, which
        has to be two's complement.
    sums : bool
        Whether the corrected accumulators come out beside the results.
    style : str
        Microarchitecture of the elements.
    decode : str
        "element" or "edge": whether codes travel, and each element decodes its own, or what the
        style makes of each operand alone.
    requantizer : str
        Style of the `Requantizer`.
    pipeline : int
        Of the `Requantizer`, 0 to 3.

    Members
    -------
    clk, rst
        Of the domain ``sync``. ``rst`` is synchronous, active high, and drops what is under way;
        the sums are 0, and of "weight" no weights are loaded. Until something enters again, ``i``
        and ``load`` are ready (only not ``i`` of "weight" for a beat with ``first``), ``tile`` is
        not, and ``o.valid`` and ``partial.valid`` are low.
    i : In(stream)
        That of the `SystolicArray`: a beat is one k of a tile ("output"), which starts from 0 with
        ``first`` and is done with ``last``, or one token ("weight").
    load : In(stream)
        "weight" only: that of the `SystolicArray`.
    tile : In(stream)
        What belongs to a tile, from bit 0 upwards: ``za`` (signed, for each row of "output", or
        one) and ``weight_sum`` (signed, for each column), with zero points only; then
        ``multiplier``, ``shift``, ``zero_point``, for each column. Taken when the last results of
        the tile are on their way.
    o : Out(stream)
        ``last`` (of the tile), ``y`` (signed, for each exit), then, with ``sums``, ``sum`` (signed,
        for each exit). Row after row, and in a row column after column.
    partial : Out(stream)
        "weight" only: ``acc`` (signed, for each column), the sums of a beat without ``last``.

    Attributes
    ----------
    numbers : RequantizeSpec
        What the exit computes, with every width.
    latency : int
        Rising edges, if nothing stalls, from the last beat of a tile to its first result.
        A row at ``partial`` comes ``exit.latency`` edges earlier.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or they do not go together.
    """

    def __init__(
        self,
        spec: MacSpec,
        rows: int = 4,
        cols: int = 4,
        *,
        dataflow: str = "output",
        depth: int = 4096,
        rounding: str = "half-up",
        exits: int = 1,
        zero_points: bool = True,
        sums: bool = False,
        style: str = "plain",
        decode: str = "element",
        requantizer: str = "plain",
        pipeline: int = 0,
    ):
        ARRAYS.require(spec)
        if not isinstance(depth, int) or isinstance(depth, bool) or depth < 1:
            raise ValueError(f"depth must be a positive integer, not {depth!r}")
        spec.check_depth(depth)
        if zero_points and not spec.activations.is_twos_complement:
            raise ValueError(
                f"zero points need activations in two's complement, not {spec.activations.name}"
            )
        if dataflow == "weight" and 0 not in spec.activations.levels:
            raise ValueError(
                f"a weight-stationary tile fills its rows up with activations of level 0, and "
                f"{spec.activations.name} has none"
            )
        zero_width, sum_width, correction_width = _widths(spec, depth) if zero_points else (0, 0, 0)
        if correction_width > MAX_WIDTH:
            raise ValueError(
                f"a depth of {depth} needs corrections of {correction_width} bits, "
                f"more than {MAX_WIDTH}"
            )
        self.numbers = RequantizeSpec(spec.acc_width, correction_width, rounding=rounding)
        self.array = SystolicArray(spec, rows, cols, dataflow, style, decode)
        keeps = dataflow == "output"
        self.exit = Exit(
            self.numbers,
            rows if keeps else 1,
            cols,
            exits,
            zero_width=zero_width,
            sum_width=sum_width,
            style=requantizer,
            pipeline=pipeline,
            sums=sums,
        )
        self.spec = spec
        self.rows, self.cols, self.exits = rows, cols, exits
        self.dataflow, self.depth = dataflow, depth
        self.style, self.decode = style, decode
        self.latency = self.array.latency + self.exit.latency
        array, end = self.array.signature.members, self.exit.signature.members
        sums = data.StructLayout({"acc": data.ArrayLayout(signed(spec.acc_width), cols)})
        super().__init__({
            "i": array["i"],
            **({} if keeps else {"load": array["load"]}),
            "tile": end["tile"],
            "o": end["o"],
            **({} if keeps else {"partial": Out(stream.Signature(sums))}),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = self.array
        m.submodules.exit = self.exit
        wiring.connect(m, wiring.flipped(self.i), self.array.i)
        wiring.connect(m, wiring.flipped(self.tile), self.exit.tile)
        wiring.connect(m, self.exit.o, wiring.flipped(self.o))
        if self.dataflow == "output":
            wiring.connect(m, self.array.o, self.exit.i)
            return m
        wiring.connect(m, wiring.flipped(self.load), self.array.load)
        row, whole = self.array.o, self.array.o.payload.last
        m.d.comb += [
            self.exit.i.valid.eq(row.valid & whole),
            self.exit.i.payload.eq(row.payload),
            self.partial.valid.eq(row.valid & ~whole),
            self.partial.payload.acc.eq(row.payload.acc),
            row.ready.eq(Mux(whole, self.exit.i.ready, self.partial.ready)),
        ]
        return m


def _widths(spec: MacSpec, depth: int) -> tuple[int, int, int]:
    """Bits of an activation's zero point, of a sum of weights' levels, and of their product."""
    zero = spec.activations.level_range
    low, high = spec.weights.level_range
    sums = min(0, depth * low), max(0, depth * high)
    products = [z * s for z in zero for s in sums]
    return signed_width(*zero), signed_width(*sums), signed_width(min(products), max(products))
