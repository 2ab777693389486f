"""Code-to-level decoder."""

from collections.abc import Sequence

from amaranth import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macsmith.hw.bits import look_up
from macsmith.hw.style import Styles
from macsmith.sim.formats import Format, signed_width

__all__ = ["DECODERS", "Decoder"]

DECODERS = Styles("decoder", Format)


class Decoder(wiring.Component):
    """Combinational: ``level = fmt.levels_at(z)[code]``.

    Parameters
    ----------
    fmt : Format
        Of the codes.
    style : str
        Microarchitecture: a name of the table of styles; all compute the same.

    Members
    -------
    code : In(unsigned(fmt.width))
        The pattern as it is stored.
    z : In(unsigned(fmt.width))
        Zero point; only where ``fmt.zero_pointed``. Constant per output channel in use, but the
        decoder does not rely on it.
    level : Out(signed(fmt.level_width))
        In units of ``2**-fmt.frac_bits``.

    Attributes
    ----------
    latency : int
        0.

    Raises
    ------
    ValueError
        If there is no such style, or it cannot serve this format.
    """

    def __init__(self, fmt: Format, style: str = "plain"):
        self._style = DECODERS.get(style, fmt)
        self.fmt = fmt
        self.style = style
        self.latency = self._style.latency
        z = {"z": In(unsigned(fmt.width))} if fmt.zero_pointed else {}
        super().__init__({
            "code": In(unsigned(fmt.width)),
            **z,
            "level": Out(signed(fmt.level_width)),
        })

    def elaborate(self, platform):
        m = Module()
        self._style.build(m, self)
        return m


@DECODERS.add("plain")
def plain(m: Module, dec: Decoder) -> None:
    """The table at z = 0, less the zero point for the codes that move with it."""
    fmt = dec.fmt
    at_zero = _levels(m, dec.code, fmt.levels)
    if not fmt.zero_pointed:
        m.d.comb += dec.level.eq(at_zero)
        return

    offset = Signal(unsigned(fmt.width + fmt.frac_bits))
    m.d.comb += [
        offset.eq(dec.z << fmt.frac_bits),
        dec.level.eq(at_zero - offset),
    ]
    fixed = sorted(set(range(2**fmt.width)) - fmt.affine)
    if fixed:
        with m.Switch(dec.code), m.Case(*fixed):
            m.d.comb += offset.eq(0)


def _levels(m: Module, code: Value, levels: Sequence[int]) -> Value:
    """``levels[code]``: wires if the table is a multiple of the code, else multiplexers."""
    shift = _power_of_two(levels[1])
    for wired in (code, code.as_signed()):
        if list(levels) == [_as_int(wired, c) << shift for c in range(len(levels))]:
            return wired << shift

    return look_up(m, code, levels, signed_width(min(levels), max(levels))).as_signed()


def _as_int(wired: Value, code: int) -> int:
    """The integer that ``wired`` (a code, signed or not) is when its bits are ``code``."""
    shape = wired.shape()
    return code - 2**shape.width if shape.signed and code >> (shape.width - 1) else code


def _power_of_two(x: int) -> int:
    """log2 of the largest power of two that divides ``x``; 0 for 0."""
    return (x & -x).bit_length() - 1 if x else 0


class _Dint:
    """The structure of dINT, found in a format's table; ``reason`` says why it is not there.

    Two codes hold +-1. They differ in one bit, ``sign_bit``, and all their other bits, ``mask``,
    equal ``match``, which no other code does. The other codes are integers shifted by ``shift``,
    coded as ``coding`` says: "unsigned" (less z), "twos_complement" or "sign_magnitude".
    """

    def __init__(self, fmt: Format):
        self.reason = ""
        self.shift = fmt.frac_bits
        specials = [code for code, level in enumerate(fmt.levels) if abs(level) == 1]
        regular = [code for code in range(2**fmt.width) if code not in specials]
        if self.shift == 0 or sorted(fmt.levels[c] for c in specials) != [-1, 1]:
            self.reason = f"{fmt.name} does not have two special levels, +1 and -1"
            return
        self.plus = next(c for c in specials if fmt.levels[c] == 1)
        minus = next(c for c in specials if fmt.levels[c] == -1)
        self.sign_bit = (self.plus ^ minus).bit_length() - 1
        self.mask = 2**fmt.width - 1 - 2**self.sign_bit
        self.match = self.plus & self.mask
        if self.plus ^ minus != 2**self.sign_bit:
            self.reason = f"the special codes of {fmt.name} differ in more than one bit"
            return
        if fmt.zero_pointed and fmt.affine != frozenset(regular):
            self.reason = f"not every integer of {fmt.name} moves with its zero point"
            return
        for self.coding, integer in CODINGS.items():
            if all(fmt.levels[c] == integer(c, fmt.width) << self.shift for c in regular):
                return
        self.reason = f"the integers of {fmt.name} are in no coding of {', '.join(CODINGS)}"


CODINGS = {
    "unsigned": lambda c, width: c,
    "twos_complement": lambda c, width: c - 2**width if c >> (width - 1) else c,
    "sign_magnitude": lambda c, width: -(c - 2 ** (width - 1)) if c >> (width - 1) else c,
}


@DECODERS.add("shaped", refuses=lambda fmt: _Dint(fmt).reason)
def shaped(m: Module, dec: Decoder) -> None:
    """dINT by hand; where the special codes are and what sign they have comes from the table.

    ::

        code --+-- << shift [- z << shift] ------------------ 0
               |                                              |-- level
               +-- (code & mask) == match -- special -------- 1
               +-- code[sign_bit] -- {-1 or +1} --------------'

    Sign and magnitude: the multiplexer is before the sign, where it chooses the magnitude 1.
    """
    fmt, dint = dec.fmt, _Dint(dec.fmt)
    special = Signal()
    m.d.comb += special.eq((dec.code & dint.mask) == dint.match)

    if dint.coding == "sign_magnitude":
        magnitude = Signal(unsigned(fmt.level_width - 1))
        shifted = dec.code[:-1] << dint.shift
        m.d.comb += [
            magnitude.eq(Mux(special, 1, shifted)),
            dec.level.eq(Mux(dec.code[-1], -magnitude, magnitude)),
        ]
        return

    integer = dec.code.as_signed() if dint.coding == "twos_complement" else dec.code
    if fmt.zero_pointed:
        integer = integer - dec.z
    negative = Signal()
    # Which of the two specials has the bit set is the table's choice.
    m.d.comb += negative.eq(dec.code[dint.sign_bit] ^ (dint.plus >> dint.sign_bit & 1))
    one = Cat(1, negative.replicate(fmt.level_width - 1))
    m.d.comb += dec.level.eq(Mux(special, one, integer << dint.shift))
