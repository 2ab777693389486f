"""The weight-stationary dataflow of `macsmith.hw.array.SystolicArray`."""

from amaranth import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data

from macsmith.hw.accumulator import clamp
from macsmith.hw.array_element import Element
from macsmith.hw.array_time import busy_after, delayed
from macsmith.sim.spec import MacSpec

__all__ = ["WeightStationary"]


class WeightStationary:
    """Ports and logic; `SystolicArray` says what they mean.

    ::

        load --[edge]--> next weights of row rows-1, .. row 1, row 0
                            | switch, with a beat's wave
        i ----[skew r, c]--> element (r, c) --[unskew c]-- o

    Element (r, c) works r + c cycles after element (0, 0). Next weights enter at the bottom and
    move up, so that row 0 is loaded first. A beat with ``first`` is preceded by its mark, one cycle
    earlier everywhere: in the edge that brings the activation, the element takes the next weight.
    """

    def __init__(self, spec: MacSpec, rows: int, cols: int):
        if spec.overflow == "saturate" and spec.lanes > 1:
            raise ValueError(
                "a weight-stationary array adds one product after the other: it saturates after "
                f"each, and not after groups of {spec.lanes}"
            )
        weights = data.ArrayLayout(unsigned(spec.weights.width), cols)
        sums = data.ArrayLayout(signed(spec.acc_width), cols)
        self.spec, self.rows, self.cols = spec, rows, cols
        self.beat = data.StructLayout({
            "first": 1,
            "last": 1,
            "a": data.ArrayLayout(unsigned(spec.activations.width), rows),
            "acc": sums,
        })
        self.load = data.StructLayout({
            "w": weights,
            **({"z": weights} if spec.weights.zero_pointed else {}),
        })
        self.result = data.StructLayout({"last": 1, "acc": sums})
        # Edge, a row's sum each, and cols - 1 to straighten.
        self.latency = 1 + rows + cols - 1

    def build(self, m: Module, core: Module, advance: Signal, array, element: Element) -> None:
        """Handshakes and loading into ``m``; what ``advance`` enables into ``core``."""
        switch, next_weights = self._load(m, core, advance, array, element)
        sums = self._elements(core, array, element, switch, next_weights)
        accepted = Signal()
        m.d.comb += accepted.eq(array.i.valid & array.i.ready)
        valid = delayed(core, accepted, self.latency, "valid", reset_less=False)
        last = delayed(core, array.i.payload.last, self.latency, "last")
        m.d.comb += [
            array.o.valid.eq(valid),
            array.o.payload.last.eq(last),
            array.o.payload.acc.eq(Cat(sums)),
        ]

    def _load(self, m: Module, core: Module, advance: Signal, array, element: Element):
        """The mark of a switch, and the next weights by row and column."""
        loaded = Signal(range(self.rows + 1))
        full = loaded == self.rows
        switch = Signal()
        # Only after the last element has switched may its next weight change.
        switching = busy_after(core, switch, self.rows + self.cols - 2, "switching")
        m.d.comb += [
            array.load.ready.eq(~full & ~switching),
            array.i.ready.eq(advance & (full | ~array.i.payload.first)),
            switch.eq(array.i.valid & array.i.ready & array.i.payload.first),
        ]
        loading = array.load.valid & array.load.ready
        with m.If(switch):
            m.d.sync += loaded.eq(0)
        with m.Elif(loading):
            m.d.sync += loaded.eq(loaded + 1)

        next_weights = [[] for _ in range(self.rows)]
        for c in range(self.cols):
            z = array.load.payload.z[c] if self.spec.weights.zero_pointed else None
            weight = element.weight_at_edge(m, array.load.payload.w[c], z, f"w_{c}")
            for r in reversed(range(self.rows)):
                register = Signal(weight.shape(), name=f"next_w_{r}_{c}", reset_less=True)
                with m.If(loading):
                    m.d.sync += register.eq(weight)
                next_weights[r].append(register)
                weight = register
        return switch, next_weights

    def _elements(self, core: Module, array, element: Element, switch: Signal, next_weights):
        """The array; the sums that leave it, straightened."""
        beat = array.i.payload
        above = [delayed(core, beat.acc[c], 1 + c, f"acc_{c}") for c in range(self.cols)]
        width = self.spec.acc_width
        sum_width = self.spec.sum_width if self.spec.overflow == "saturate" else width
        for r in range(self.rows):
            a = element.activation_at_edge(core, beat.a[r], f"a_{r}")
            a = delayed(core, a, 1 + r, f"a_{r}")
            mark = delayed(core, switch, r, f"switch_{r}", reset_less=False)
            for c in range(self.cols):
                where = f"{r}_{c}"
                core.submodules[f"element_{where}"] = here = Module()
                weight = Signal.like(next_weights[r][c], name=f"w_{where}", reset_less=True)
                with here.If(mark):
                    here.d.sync += weight.eq(next_weights[r][c])
                acc = Signal(signed(width), name=f"acc_{where}", reset_less=True)
                total = element.add(here, weight, a, above[c], sum_width)
                here.d.sync += acc.eq(clamp(total, width))
                above[c] = acc
                if c + 1 < self.cols:
                    a = delayed(here, a, 1, f"a_{where}")
                    mark = delayed(here, mark, 1, f"switch_{where}", reset_less=False)
        return [delayed(core, above[c], self.cols - 1 - c, f"o_{c}") for c in range(self.cols)]
