"""Fused multiply-accumulate of FP16 or BF16 products in float32: a reference for integer units."""

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macsmith.hw.float_parts import Unpacked, leading_zeros, shift_right_sticky, unpack
from macsmith.hw.style import Styles, check_stages
from macsmith.sim.floating import FLOAT32, FloatFormat, get_float
from macsmith.sim.formats import signed_width

__all__ = ["FLOAT_MACS", "FloatMac"]

FLOAT_MACS = Styles("float_mac", FloatFormat)


class FloatMac(wiring.Component):
    """``acc = (0 if clear else acc) + w * a`` in float32, rounded once, to nearest, ties to even.

    IEEE 754's fusedMultiplyAdd with subnormals, infinities and signed zeros; every NaN that comes
    out is the canonical quiet one, 0x7fc00000. No flags. Throughput is one product per cycle in
    which ``en`` is high.

    Parameters
    ----------
    fmt : FloatFormat or str
        Of ``w`` and ``a``: "fp16" or "bf16". Its products have at most 24 bits, so that they are
        exact in the accumulator's precision.
    style : str
        Microarchitecture: a name of the table of styles; all compute the same.
    pipeline : int
        Registers before the accumulator's adder, 0..2: first one behind the normalised product,
        then one behind the multiplier.

    Members
    -------
    clk, rst
        Of the domain ``sync``. ``rst`` is synchronous, active high, and comes before ``en``: it
        sets ``acc`` to +0 and drops what is under way.
    en : In(1)
        A product enters in this cycle. While it is low, ``w``, ``a`` and ``clear`` may be
        anything.
    clear : In(1)
        With ``en``: start a new sum, from +0, with this product. Alone it does nothing.
    w, a : In(unsigned(fmt.width))
        Codes.
    acc : Out(unsigned(32))
        Code of float32; shows a product ``latency`` rising edges after it entered.

    Attributes
    ----------
    latency : int
        1 + pipeline.

    Raises
    ------
    ValueError
        If there is no such format or style, the format's products are wider than 24 bits, or the
        pipeline is out of range.
    """

    def __init__(self, fmt: FloatFormat | str, style: str = "plain", pipeline: int = 0):
        self.fmt = get_float(fmt)
        if 2 * self.fmt.precision > FLOAT32.precision:
            raise ValueError(
                f"a {self.fmt.name} product has {2 * self.fmt.precision} bits, more than the "
                f"{FLOAT32.precision} of a float32"
            )
        self._style = FLOAT_MACS.get(style, self.fmt)
        self.style = style
        self.pipeline = check_stages(pipeline, 2)
        self.latency = self._style.latency + pipeline
        super().__init__({
            "en": In(1),
            "clear": In(1),
            "w": In(unsigned(self.fmt.width)),
            "a": In(unsigned(self.fmt.width)),
            "acc": Out(unsigned(FLOAT32.width)),
        })

    def elaborate(self, platform):
        m = Module()
        self._style.build(m, self)
        return m


@FLOAT_MACS.add("plain", latency=1)
def plain(m: Module, mac: FloatMac) -> None:
    """One path: exact product, normalised; align the smaller; add; normalise; round.

    ::

        w --.                                 .-- acc <-------------------------.
            (*)--:--[normalise]--:--[swap]----+--[align]--(+)--[normalise]--[round]
        a --'   2nd             1st                                  (: a register)

    After the swap the sum has the greater exponent, and the other operand is shifted right. Two
    more bits and a sticky one are enough for that: where it is shifted by two or more, no more
    than one leading bit of the difference can cancel.
    """
    fmt = mac.fmt
    w, a = unpack(m, mac.w, fmt, "w"), unpack(m, mac.a, fmt, "a")
    strobes = [mac.en, mac.clear]
    raw = Signal(unsigned(2 * fmt.precision))
    exponents = Signal(unsigned(fmt.exponent_bits + 1))
    m.d.comb += [
        raw.eq(w.significand * a.significand),
        exponents.eq(w.exponent + a.exponent),
    ]
    flags = Cat(
        w.sign ^ a.sign,
        w.infinite | a.infinite,
        w.nan | a.nan | (w.infinite & a.zero) | (a.infinite & w.zero),
    )
    *strobes, raw, exponents, flags = _stage(
        m, "raw", mac.pipeline >= 2, *strobes, raw, exponents, flags
    )

    normal, exponent = _normalised(m, fmt, raw, exponents)
    *strobes, normal, exponent, flags = _stage(
        m, "product", mac.pipeline >= 1, *strobes, normal, exponent, flags
    )
    en, clear = strobes
    sign, infinite, nan = flags
    significand = Cat(Const(0, FLOAT32.precision - len(normal)), normal)
    # The first bit is 0 for a product of 0 only.
    product = Unpacked(sign, exponent, significand, ~normal[-1], infinite, nan)

    base = Signal(unsigned(FLOAT32.width))
    m.d.comb += base.eq(Mux(clear, 0, mac.acc))
    total = _add(m, product, unpack(m, base, FLOAT32, "base"))
    with m.If(en):
        m.d.sync += mac.acc.eq(total)


def _normalised(m: Module, fmt: FloatFormat, raw: Value, exponents: Value) -> tuple[Value, Value]:
    """The product's significand, its first bit 1 unless it is 0, and its exponent.

    The exponent is biased as float32's, but may be beyond its range on either side.
    """
    zeros = leading_zeros(m, raw, "raw_zeros")
    # Of a product with its first bit set, which is worth 2: hence one more than the biases say.
    offset = FLOAT32.bias - 2 * fmt.bias + 1
    least, greatest = 2 + offset - (2 * fmt.precision - 1), 2 * (fmt.max_exponent - 1) + offset
    # Beyond that are infinities, NaNs and products of 0, whose exponent does not count.
    shape = signed(signed_width(least, greatest)) if least < 0 else range(greatest + 1)
    exponent = Signal(shape, name="product_exponent")
    normal = Signal(unsigned(len(raw)), name="product_significand")
    m.submodules.product = part = Module()
    part.d.comb += [
        exponent.eq(exponents + offset - zeros),
        normal.eq((raw << zeros)[: len(raw)]),
    ]
    return normal, exponent


def _add(m: Module, product: Unpacked, base: Unpacked) -> Value:
    """Code of the sum, rounded."""
    precision, fraction_bits = FLOAT32.precision, FLOAT32.fraction_bits
    m.submodules.swap = swap = Module()
    difference = Signal(signed(len(product.exponent) + 1))
    ahead = Signal()  # the product has the greater exponent, or none is greater
    greater = Signal(unsigned(precision))
    exponent = Signal(unsigned(len(product.exponent)))
    behind = Signal(unsigned(precision + 2))
    distance = Signal(unsigned(len(difference) - 1))
    # The distance of a product that is behind is ~difference + 1; the 1 is shifted here already.
    # A product of 0 is behind by any distance.
    late_base, late_product = base.significand << 2, product.significand << 1
    swap.d.comb += [
        difference.eq(product.exponent - base.exponent),
        ahead.eq(~difference[-1] & ~product.zero),
        greater.eq(Mux(ahead, product.significand, base.significand)),
        exponent.eq(Mux(ahead, product.exponent, base.exponent)),
        behind.eq(Mux(ahead, late_base, late_product)),
        distance.eq(difference[:-1] ^ difference[-1].replicate(len(distance))),
    ]
    aligned, sticky = shift_right_sticky(m, behind, distance, 32, "aligned")

    # The difference is negative only where the exponents are equal, or where it is subnormal.
    m.submodules.adder = adder = Module()
    subtract = Signal()
    negative = Signal()
    width = precision + 3
    total = Signal(unsigned(width + 1))
    magnitude = Signal(unsigned(width + 1))
    smaller = Cat(sticky, aligned) ^ subtract.replicate(width)
    adder.d.comb += [
        subtract.eq(product.sign ^ base.sign),
        total.eq((greater << 3) + smaller + subtract),
        negative.eq(subtract & ~total[-1]),
        magnitude.eq(Mux(negative, (-total)[:width], Cat(total[:-1], total[-1] & ~subtract))),
    ]

    # No further to the left than the least exponent allows: what begins with a 0 then is subnormal.
    zeros = leading_zeros(m, magnitude, "sum_zeros")
    m.submodules.normalise = normalise = Module()
    shift = Signal(unsigned(len(zeros)))
    normal = Signal(unsigned(width + 1))
    field = Signal(unsigned(len(exponent) + 1))
    normalise.d.comb += [
        shift.eq(Mux(zeros > exponent, exponent, zeros)),
        normal.eq((magnitude << shift)[: len(normal)]),
        field.eq(Mux(normal[-1], exponent + 1 - shift, 0)),
    ]

    m.submodules.round = pack = Module()
    kept, below = normal[-precision:], normal[:-precision]
    up = below[-1] & (below[:-1].any() | kept[0])
    rounded = Signal(unsigned(len(field) + fraction_bits))
    finite = Signal(unsigned(FLOAT32.width))
    over = rounded[fraction_bits:] >= FLOAT32.max_exponent
    leading = Mux(ahead, product.sign, base.sign) ^ negative
    sign = Mux(magnitude.any(), leading, product.sign & base.sign)
    pack.d.comb += [
        rounded.eq(Cat(kept[:-1], field) + up),  # a carry goes on into the exponent
        finite.eq(Cat(Mux(over, FLOAT32.infinity, rounded)[: FLOAT32.width - 1], sign)),
    ]

    infinity = Cat(
        Const(FLOAT32.infinity, FLOAT32.width - 1), Mux(product.infinite, product.sign, base.sign)
    )
    infinite = product.infinite | base.infinite
    nan = product.nan | base.nan | (product.infinite & base.infinite & subtract)
    return Mux(nan, FLOAT32.nan, Mux(infinite, infinity, finite))


def _stage(m: Module, name: str, registered: bool, en: Value, *values: Value) -> list[Value]:
    """``en`` and what belongs to it, through one register each if ``registered``."""
    if not registered:
        return [en, *values]
    late = []
    for k, value in enumerate((en, *values)):
        register = Signal(value.shape(), name=f"{name}_{k}", reset_less=k > 0)
        m.d.sync += register.eq(value)
        late.append(register)
    return late
