"""The output-stationary dataflow of `macsmith.hw.array.SystolicArray`."""

from functools import reduce
from operator import or_

from amaranth import Module, Signal, signed, unsigned
from amaranth.lib import data

from macsmith.hw.accumulator import accumulate
from macsmith.hw.array_element import Element
from macsmith.hw.array_time import busy_after, delayed
from macsmith.hw.bits import only_if
from macsmith.hw.operands import Operands
from macsmith.sim.spec import MacSpec

__all__ = ["OutputStationary"]


class OutputStationary:
    """Ports and logic; `SystolicArray` says what they mean.

    ::

        i --[edge]--[skew r, c]--> element (r, c) --[row that is done]--[unskew c]-- o

    Element (r, c) works r + c cycles after element (0, 0), on operands that its neighbours above
    and to the left had a cycle before. So the rows of a column are done one after the other, and
    each column needs no more than an AND-OR of its sums at the moment they are done: no register
    holds a sum but the accumulator itself.
    """

    def __init__(self, spec: MacSpec, rows: int, cols: int):
        weights = data.ArrayLayout(unsigned(spec.weights.width), cols)
        self.spec, self.rows, self.cols = spec, rows, cols
        self.beat = data.StructLayout({
            "first": 1,
            "last": 1,
            "a": data.ArrayLayout(unsigned(spec.activations.width), rows),
            "w": weights,
            **({"z": weights} if spec.weights.zero_pointed else {}),
        })
        self.load = None
        self.result = data.StructLayout({
            "last": 1,
            "acc": data.ArrayLayout(signed(spec.acc_width), cols),
        })
        # Edge, accumulator of (0, 0), its column's output register, and cols - 1 to straighten.
        self.latency = 3 + cols - 1

    def build(self, m: Module, core: Module, advance: Signal, array, element: Element) -> None:
        """Handshakes into ``m``; what ``advance`` enables into ``core``."""
        accepted = self._admit(m, core, advance, array)
        sums, done = self._elements(core, array, element, accepted)
        self._drain(m, core, array, sums, done)

    def _admit(self, m: Module, core: Module, advance: Signal, array) -> Signal:
        """Whether a beat enters; sums that are leaving hold up the next ``last``."""
        accepted = Signal()
        last = array.i.payload.last
        leaving = busy_after(core, accepted & last, self.rows - 1, "leaving")
        m.d.comb += [
            array.i.ready.eq(advance & ~(last & leaving)),
            accepted.eq(array.i.valid & array.i.ready),
        ]
        return accepted

    def _elements(self, core: Module, array, element: Element, accepted: Signal):
        """The array: ([row][column] sums, strobes in the cycle in which they are done)."""
        beat = array.i.payload
        below = []  # what travels downwards, by column
        for c in range(self.cols):
            z = beat.z[c] if self.spec.weights.zero_pointed else None
            weight = element.weight_at_edge(core, beat.w[c], z, f"w_{c}")
            below.append(delayed(core, weight, 1 + c, f"w_{c}"))
        sums, done = [], []
        for r in range(self.rows):
            a = element.activation_at_edge(core, beat.a[r], f"a_{r}")
            a = delayed(core, a, 1 + r, f"a_{r}")
            en = delayed(core, accepted, 1 + r, f"en_{r}", reset_less=False)
            first = delayed(core, beat.first, 1 + r, f"first_{r}")
            last = delayed(core, beat.last, 1 + r, f"last_{r}")
            sums.append([])
            done.append([])
            for c in range(self.cols):
                where = f"{r}_{c}"
                core.submodules[f"element_{where}"] = here = Module()
                acc = Signal(signed(self.spec.acc_width), name=f"acc_{where}")
                x = Operands(en, first)
                accumulate(
                    here,
                    self.spec,
                    acc,
                    x,
                    lambda base, width, m=here, w=below[c], a=a: element.add(m, w, a, base, width),
                )
                sums[r].append(acc)
                done[r].append(delayed(here, en & last, 1, f"done_{where}", reset_less=False))
                if c + 1 < self.cols:
                    a = delayed(here, a, 1, f"a_{where}")
                    en = delayed(here, en, 1, f"en_{where}", reset_less=False)
                    first = delayed(here, first, 1, f"first_{where}")
                    last = delayed(here, last, 1, f"last_{where}")
                if r + 1 < self.rows:
                    below[c] = delayed(here, below[c], 1, f"w_{where}")
        return sums, done

    def _drain(self, m: Module, core: Module, array, sums, done) -> None:
        """Rows that are done, straightened."""
        for c in range(self.cols):
            chosen = reduce(or_, (only_if(done[r][c], sums[r][c]) for r in range(self.rows)))
            straight = delayed(core, chosen, self.cols - c, f"o_{c}")
            m.d.comb += array.o.payload.acc[c].eq(straight)
        any_row = reduce(or_, (done[r][0] for r in range(self.rows)))
        valid = delayed(core, any_row, self.cols, "o_valid", reset_less=False)
        last = delayed(core, done[-1][0], self.cols, "o_last")
        m.d.comb += [
            array.o.valid.eq(valid),
            array.o.payload.last.eq(last),
        ]
