"""Small helpers on bits: sign extension, selection, tables."""

from collections.abc import Iterable, Sequence

from amaranth import Cat, Const, Module, Mux, Signal, Value

from macsmith.sim.formats import Format

__all__ = ["even_bits", "extended", "look_up", "only_if", "selected"]


def look_up(m: Module, code: Value, words: Sequence[int], width: int) -> Value:
    """The low ``width`` bits of ``words[code]``, unsigned; one word for each value of ``code``.

    Each bit is a tree of multiplexers with the code's top bit at its root; a subtree that is
    needed twice, in one bit or in several, is made once.
    """
    made: dict[tuple[int, int], Value] = {}

    def tree(column: int, bits: int) -> Value:
        """The bit whose value for code ``c`` of ``bits`` bits is bit ``c`` of ``column``."""
        if column in (0, 2**2**bits - 1):
            return Const(column & 1, 1)
        if (column, bits) not in made:
            half = 2 ** (bits - 1)
            high, low = divmod(column, 2**half)
            if high == low:
                bit = tree(low, bits - 1)
            elif {high, low} == {0, 2**half - 1}:
                bit = code[bits - 1] ^ (low & 1)
            else:
                bit = Signal(name="")  # private: one of very many
                m.d.comb += bit.eq(Mux(code[bits - 1], tree(high, bits - 1), tree(low, bits - 1)))
            made[column, bits] = bit
        return made[column, bits]

    columns = [sum((word >> k & 1) << c for c, word in enumerate(words)) for k in range(width)]
    return Cat(tree(column, len(code)) for column in columns)


def extended(number: Value, width: int) -> Value:
    """The bits of ``number``, a signed value, as ``width`` bits, at least its own."""
    return Cat(number, number[-1].replicate(width - len(number)))


def only_if(bit: Value, bits: Value) -> Value:
    """``bits``, as they are, or all 0 where ``bit`` is 0."""
    return Cat(bits) & bit.replicate(len(bits))  # Cat: of a signed number, & makes one bit more


def selected(choices: Iterable[tuple[Value, Value]], width: int) -> Value:
    """The number whose bit is 1, of (bit, signed number of ``width`` bits at most); 0 without one.

    A multiplexer of AND and OR: no two of the bits may be 1.
    """
    found = Const(0, width)
    for bit, number in choices:
        found = only_if(bit, extended(number, width)) | found
    return found


def even_bits(fmt: Format) -> int:
    """Low bits that are 0 in every level of ``fmt``, at any zero point: not worth a row."""
    levels = 2**fmt.frac_bits if fmt.zero_pointed else 0
    for level in fmt.levels:
        levels |= level
    return (levels & -levels).bit_length() - 1
