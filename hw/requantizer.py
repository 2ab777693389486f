"""Requantizer: from an accumulator back to a short integer."""

from collections.abc import Callable

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macsmith.hw.accumulator import clamp
from macsmith.hw.bits import only_if
from macsmith.hw.style import Styles, check_stages
from macsmith.sim.requantize import RequantizeSpec

__all__ = ["MOST_STAGES", "REQUANTIZERS", "Requantizer", "datapath"]

MOST_STAGES = 3
REQUANTIZERS = Styles("requantizer", RequantizeSpec)


class Requantizer(wiring.Component):
    """``y = clamp(round((acc - correction) * multiplier * 2**-shift) + zero_point)``, exact.

    Takes a value in every cycle and has no enable: what enters is at ``y`` ``latency`` rising
    edges later, in the same cycle where the latency is 0. All operands belong to their value and
    enter with it.

    ::

        acc --------(-)--:--(*)--:--[shift right]--:--[+ zero_point]--[clamp]-- y
        correction --'  3rd  |  1st      |        2nd   round up
        multiplier ----------'           |
        shift ---------------------------'              (: a register, by pipeline)

    Parameters
    ----------
    numbers : RequantizeSpec
        Widths of all operands, the greatest shift, and the rounding.
    style : str
        Microarchitecture: a name of the table of styles; all compute the same.
    pipeline : int
        Registers on the way, 0..3: first one after the product, then one after the shifter, then
        one after the subtractor. The result is not registered.

    Members
    -------
    clk, rst
        Of the domain ``sync``, where there is a pipeline. ``rst`` is synchronous, active high, and
        sets the registers to 0: ``y`` is 0 then until what enters next has come through.
    acc : In(signed(numbers.acc_width))
        The accumulator.
    correction : In(signed(numbers.correction_width))
        Taken from ``acc`` first; only where its width is not 0.
    multiplier : In(unsigned(numbers.multiplier_width))
        The scale's digits.
    shift : In(unsigned(numbers.shift_width))
        Places that the product moves right, 0 to ``numbers.max_shift``.
    zero_point : In(signed(numbers.out_width))
        Added after the rounding.
    y : Out(signed(numbers.out_width))
        The result, clamped to its width.

    Attributes
    ----------
    latency : int
        ``pipeline``.

    Raises
    ------
    ValueError
        If there is no such style, or the pipeline is out of range.
    """

    def __init__(self, numbers: RequantizeSpec, style: str = "plain", pipeline: int = 0):
        self._style = REQUANTIZERS.get(style, numbers)
        self.numbers = numbers
        self.style = style
        self.pipeline = check_stages(pipeline, MOST_STAGES)
        self.latency = pipeline + self._style.latency
        width = numbers.correction_width
        super().__init__({
            "acc": In(signed(numbers.acc_width)),
            **({"correction": In(signed(width))} if width else {}),
            "multiplier": In(unsigned(numbers.multiplier_width)),
            "shift": In(unsigned(numbers.shift_width)),
            "zero_point": In(signed(numbers.out_width)),
            "y": Out(signed(numbers.out_width)),
        })

    def elaborate(self, platform):
        m = Module()
        self._style.build(m, self)
        return m


@REQUANTIZERS.add("plain")
def plain(m: Module, unit: Requantizer) -> None:
    """Subtractor, ``*``, and a barrel shifter that drops what only says "too large"."""
    datapath(m, unit, lambda x, y, addend: x * y + addend)


def datapath(m: Module, unit: Requantizer, multiply: Callable) -> None:
    """All of a requantizer, with a style's own multiplier.

    ``multiply(x, y, addend)`` gives ``x * y + addend`` for x signed and the others unsigned, in
    ``numbers.product_width`` bits at least.

    Rounding twice ("tflite", and a shift beyond the multiplier's width m) takes no second rounder:
    half up at 2**-m adds half of 2**m to the product and drops the m bits below, and what is left
    is rounded as in "half-away".
    """
    numbers = unit.numbers

    difference = Signal(signed(numbers.difference_width))
    m.d.comb += difference.eq(unit.acc - unit.correction if numbers.correction_width else unit.acc)
    difference, multiplier, shift, zero_point = _stage(
        m,
        "difference",
        unit.pipeline >= 3,
        difference,
        unit.multiplier,
        unit.shift,
        unit.zero_point,
    )

    rounds_twice = numbers.rounding == "tflite" and numbers.max_shift > numbers.multiplier_width
    twice = half = Const(0)
    if rounds_twice:
        twice = Signal()
        m.d.comb += twice.eq(shift > numbers.multiplier_width)
        # The greatest product, (2**(d - 1) - 1) * (2**m - 1), leaves room for 2**(m - 1).
        half = twice << (numbers.multiplier_width - 1)
    product = Signal(signed(numbers.product_width))
    m.d.comb += product.eq(multiply(difference, multiplier, half))
    if rounds_twice:
        below = Signal(unsigned(numbers.multiplier_width))
        m.d.comb += below.eq(only_if(~twice, product[: len(below)]))
        product = Cat(below, product[len(below) :])
    product, shift, zero_point, twice = _stage(
        m, "product", unit.pipeline >= 1, product, shift, zero_point, twice
    )

    shifted, sticky, beyond = _shift_right(m, product, shift, numbers.out_width + 1)
    negative = product[-1]
    shifted, sticky, beyond, negative, zero_point, twice = _stage(
        m, "shifted", unit.pipeline >= 2, shifted, sticky, beyond, negative, zero_point, twice
    )

    half, floor = shifted[0], shifted[1:].as_signed()
    away = sticky | ~negative  # the half of a negative number is already rounded down
    up = {
        "half-up": Const(1),
        "half-even": sticky | floor[0],
        "half-away": away,
        "tflite": ~twice | away,
    }[numbers.rounding]
    total = Signal(signed(numbers.out_width + 3))  # floor: out_width + 1; zero point; one carry
    low, high = numbers.out_range
    m.d.comb += [
        total.eq(floor + zero_point + (half & up)),
        unit.y.eq(Mux(beyond, Mux(negative, low, high), clamp(total, numbers.out_width))),
    ]


def _shift_right(m: Module, x: Value, shift: Value, width: int) -> tuple[Value, Value, Value]:
    """``x * 2**-shift`` as (floor to a half, whether anything was below, whether it is beyond).

    The first has ``width`` bits of integer and one of fraction; it means nothing if the integer is
    beyond, that is, needs more bits. Adding a number of ``width`` - 1 bits and a carry cannot bring
    it back into ``width`` - 1 bits: the sum is clamped, whatever it is.

    Great shifts first. After the stage that shifts by 2**k at most 2**k - 1 are still to come, so
    bits that even these cannot bring into the result say only that it is beyond, and are not
    shifted any further: 123 multiplexers instead of 390 for a product of 64 bits.
    """
    m.submodules.shifter = part = Module()
    sign, body = x[-1], Cat(Const(0, 1), x[:-1])
    sticky, beyond = Const(0, 1), Const(0, 1)
    for k in reversed(range(len(shift))):
        by = 2**k
        sticky = sticky | (shift[k] & (body[:by].any() | (sign if by > len(body) else 0)))
        down = Cat(body[by:], sign.replicate(min(by, len(body))))
        kept = width + by - 1  # bits beside the sign; by - 1 are still to come
        upper = Mux(shift[k], down[kept:], body[kept:])
        beyond = beyond | (upper ^ sign.replicate(len(upper))).any()
        stage = Signal(unsigned(min(kept, len(body))), name=f"shifted_by_{by}")
        part.d.comb += stage.eq(Mux(shift[k], down[:kept], body[:kept]))
        body = stage
    shifted = Signal(signed(width + 1))
    below, above = Signal(name="sticky"), Signal(name="beyond")
    part.d.comb += [
        shifted.eq(Cat(body, sign).as_signed()),
        below.eq(sticky),
        above.eq(beyond),
    ]
    return shifted, below, above


def _stage(m: Module, name: str, registered: bool, *values: Value) -> list[Value]:
    """The values, through one register each if ``registered``."""
    if not registered:
        return list(values)
    registers = []
    for k, value in enumerate(values):
        register = Signal(value.shape(), name=f"{name}_reg{k or ''}")
        m.d.sync += register.eq(value)
        registers.append(register)
    return registers
