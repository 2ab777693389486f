# amaranth: UnusedElaboratable=no
"""No unit is built from a format of which a bit decides nothing; from every other one it is."""

import pytest

from macsmith.experiments.units import make_unit
from macsmith.hw.decoder import Decoder
from macsmith.hw.idle_bits import idle_bits
from macsmith.sim.catalog import FORMATS
from macsmith.sim.formats import Format, int_format
from macsmith.sim.spec import MacSpec

ONE = Format("one", 1, (5, 5))
UPPER = Format("upper", 3, (3, 3, -3, -3, 0, 0, 1, 1))
TERNARY = Format("ternary", 2, (0, 1, -1, 0))


def test_no_format_of_the_catalogue_has_one():
    for name, fmt in FORMATS.items():
        assert idle_bits(fmt) == (), name
    for fmt in (TERNARY, int_format(2, zero_pointed=True), Format("sign", 1, (-1, 1))):
        assert idle_bits(fmt) == ()


@pytest.mark.parametrize("unit", ["multiplier", "mac", "dot", "shared", "array", "gemm"])
def test_a_unit_says_which_bit(unit):
    message = r"^bit 0 of upper's code decides nothing: every code has the same level without"
    lanes = 2 if unit == "dot" else 1
    for formats in ((UPPER, "int4"), ("int4", UPPER)):
        spec = MacSpec(*formats, 32, lanes=lanes)
        options = {"zero_points": False} if unit == "gemm" else {}
        with pytest.raises(ValueError, match=message):
            make_unit(unit, spec, **options)


def test_a_decoder_and_formats_of_one_level():
    with pytest.raises(ValueError, match=r"^bit 0 of one's code decides nothing: "):
        Decoder(ONE)
    with pytest.raises(ValueError, match=r"^bit 0, bit 1 of twos's code decides nothing: "):
        Decoder(Format("twos", 2, (2, 2, 2, 2)))
    Decoder(TERNARY)
