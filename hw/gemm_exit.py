"""The exit of a GEMM tile: zero-point correction and requantization of what an array sends out."""

from amaranth import EnableInserter, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from macsmith.hw.array_time import delayed
from macsmith.hw.requantizer import MOST_STAGES, REQUANTIZERS, Requantizer
from macsmith.hw.style import check_stages
from macsmith.sim.requantize import RequantizeSpec

__all__ = ["Exit"]


class Exit(wiring.Component):
    """Rows of sums in, requantized results out.

    ``y[t, n] = requantize(acc[t, n] - za[t] * weight_sum[n])``, with the multiplier, shift and
    zero point of channel n; `macsmith.sim.requantize` has the formula. Rows of ``cols`` sums enter
    in the order in which an array sends them; ``exits`` results leave at a time, in order of
    columns.

    ::

        i.acc --[column]--:------------------------:-------[requantizer]-- o.y
        tile ---[row, column]--:-- za * weight_sum --:-----'      (: a register)

    Throughput is ``exits`` results a cycle; a row takes ``cols / exits`` cycles, and ``i`` is ready
    in the last of them. All that belongs to one tile of ``rows`` rows is one beat of ``tile``,
    which is taken with the last row: whoever sends it keeps it until then, the exit does not.

    Parameters
    ----------
    numbers : RequantizeSpec
        Without correction (width 0) there are no zero points and sums of weights.
    rows, cols : int
    exits : int
        Requantizers side by side; divides ``cols``.
    zero_width, sum_width : int
        Bits of the signed activation zero points, and of the sums of weights.
    style, pipeline
        Of the `Requantizer`.
    sums : bool
        Whether the exact sums come out beside the results.

    Members
    -------
    i : In(stream)
        ``last`` (the last row of a tile), ``acc`` (signed, for each column).
    tile : In(stream)
        ``za`` (signed, for each row) and ``weight_sum`` (signed, for each column), where there is a
        correction; then, for each column, ``multiplier``, ``shift``, ``zero_point``.
    o : Out(stream)
        ``last`` (the last results of a tile), ``y`` (signed, for each exit), and, with ``sums``,
        ``sum``: the corrected accumulator, signed, for each exit.

    Attributes
    ----------
    latency : int
        Rising edges from sums to their results: 2 + pipeline.
    """

    def __init__(
        self,
        numbers: RequantizeSpec,
        rows: int,
        cols: int,
        exits: int = 1,
        *,
        zero_width: int = 0,
        sum_width: int = 0,
        style: str = "plain",
        pipeline: int = 0,
        sums: bool = False,
    ):
        if isinstance(exits, bool) or exits not in range(1, cols + 1) or cols % exits:
            raise ValueError(f"exits must divide {cols} columns, not {exits!r}")
        self.numbers = numbers
        self.rows, self.cols, self.exits = rows, cols, exits
        REQUANTIZERS.get(style, numbers)  # refuses now what could not be built later
        self.style = style
        self.pipeline = check_stages(pipeline, MOST_STAGES)
        self.sums = sums
        self.latency = 2 + pipeline

        def each(shape, count):
            return data.ArrayLayout(shape, count)

        correction = {
            "za": each(signed(max(zero_width, 1)), rows),
            "weight_sum": each(signed(max(sum_width, 1)), cols),
        }
        super().__init__({
            "i": In(
                stream.Signature(
                    data.StructLayout({"last": 1, "acc": each(signed(numbers.acc_width), cols)})
                )
            ),
            "tile": In(
                stream.Signature(
                    data.StructLayout({
                        **(correction if numbers.correction_width else {}),
                        "multiplier": each(unsigned(numbers.multiplier_width), cols),
                        "shift": each(unsigned(numbers.shift_width), cols),
                        "zero_point": each(signed(numbers.out_width), cols),
                    })
                )
            ),
            "o": Out(
                stream.Signature(
                    data.StructLayout({
                        "last": 1,
                        "y": each(signed(numbers.out_width), exits),
                        **({"sum": each(signed(numbers.difference_width), exits)} if sums else {}),
                    })
                )
            ),
        })

    def elaborate(self, platform):
        m = Module()
        core = Module()
        advance = Signal()
        row_done = Signal()
        tile_done = Signal()
        step = Signal(range(self.cols // self.exits))
        row = Signal(range(self.rows))
        entering = Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            entering.eq(self.i.valid & self.tile.valid),
            row_done.eq(entering & (step == self.cols // self.exits - 1)),
            tile_done.eq(row_done & self.i.payload.last),
            self.i.ready.eq(advance & row_done),
            self.tile.ready.eq(advance & tile_done),
        ]
        with core.If(row_done):
            core.d.sync += step.eq(0)
        with core.Elif(entering):
            core.d.sync += step.eq(step + 1)
        with core.If(tile_done):
            core.d.sync += row.eq(0)
        with core.Elif(row_done):
            core.d.sync += row.eq(row + 1)

        for e in range(self.exits):
            core.submodules[f"exit_{e}"] = here = Module()
            self._requantize(here, e, row, step)
        valid = delayed(core, entering, self.latency, "valid", reset_less=False)
        last = delayed(core, tile_done, self.latency, "last")
        m.d.comb += [
            self.o.valid.eq(valid),
            self.o.payload.last.eq(last),
        ]
        m.submodules.core = EnableInserter(advance)(core)
        return m

    def _requantize(self, m: Module, e: int, row: Signal, step: Signal) -> None:
        """Exit ``e``: the columns e, e + exits, ..., one after the other."""

        def column(field) -> Value:
            return _picked([field[c] for c in range(e, self.cols, self.exits)], step)

        tile = self.tile.payload
        m.submodules.requantizer = unit = Requantizer(self.numbers, self.style, self.pipeline)
        acc = delayed(m, column(self.i.payload.acc), 2, "acc")
        m.d.comb += [
            unit.acc.eq(acc),
            unit.multiplier.eq(delayed(m, column(tile.multiplier), 2, "multiplier")),
            unit.shift.eq(delayed(m, column(tile.shift), 2, "shift")),
            unit.zero_point.eq(delayed(m, column(tile.zero_point), 2, "zero_point")),
            self.o.payload.y[e].eq(unit.y),
        ]
        exact = acc
        if self.numbers.correction_width:
            za = delayed(m, _picked([tile.za[r] for r in range(self.rows)], row), 1, "za")
            weight_sum = delayed(m, column(tile.weight_sum), 1, "weight_sum")
            correction = Signal(signed(self.numbers.correction_width), reset_less=True)
            m.d.sync += correction.eq(za * weight_sum)
            m.d.comb += unit.correction.eq(correction)
            exact = acc - correction
        if self.sums:
            m.d.comb += self.o.payload.sum[e].eq(delayed(m, exact, self.pipeline, "sum"))


def _picked(values: list[Value], index: Value) -> Value:
    """``values[index]``, by multiplexers."""
    for bit in index:
        pairs = [values[k : k + 2] for k in range(0, len(values), 2)]
        values = [pair[0] if len(pair) == 1 else Mux(bit, pair[1], pair[0]) for pair in pairs]
    return values[0]
