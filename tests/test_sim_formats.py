"""The catalogue against tables typed a second time, by hand, from the papers and standards.

RTL, kernels and model share one table, so a wrong sign in it agrees with itself everywhere else.
"""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macsmith.sim import golden
from macsmith.sim.catalog import FORMATS, NF4_VALUES, get_format, load_format
from macsmith.sim.formats import Format, dint_format, int_format, minifloat, signed_width

RETYPED = {
    "int2": [0, 1, -2, -1],
    "int3": [0, 1, 2, 3, -4, -3, -2, -1],
    "int4": [0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1],
    "dint4": [0, 1, 2, 3, 4, 5, 6, 7, 0.5, -0.5, -6, -5, -4, -3, -2, -1],
    "dint4_c4": [0, 1, 2, 3, 4, 5, 6, 7, 0.25, -0.25, -6, -5, -4, -3, -2, -1],
    "dint4_c8": [0, 1, 2, 3, 4, 5, 6, 7, 0.125, -0.125, -6, -5, -4, -3, -2, -1],
    "dint3": [0, 1, 2, 3, 0.5, -0.5, -2, -1],
    "dint4_r4": [0, 1, -2, -1, 4, 5, 2, 3, 0.5, -0.5, 6, 7, -4, -3, -6, -5],
    "dint4_sm": [0, 1, 2, 3, 4, 5, 6, 0.5, 0, -1, -2, -3, -4, -5, -6, -0.5],
    "dint4_sr": [0, 0.5, 1, 2, 3, 4, 5, 6, 0, -0.5, -1, -2, -3, -4, -5, -6],
    "fp4_e3m0": [0, 0.25, 0.5, 1, 2, 4, 8, 16, 0, -0.25, -0.5, -1, -2, -4, -8, -16],
    "fp4_e2m1": [0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6],
    "fp4_bnb": [0, 0.0625, 8, 12, 4, 6, 2, 3, 0, -0.0625, -8, -12, -4, -6, -2, -3],
    "fp4_daq": [0, 0.0625, 1, 1.5, 2, 3, 4, 6, 0, -0.0625, -1, -1.5, -2, -3, -4, -6],
    "fp4_e1m2": [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 0, -0.5, -1, -1.5, -2, -2.5, -3, -3.5],
}
RETYPED_AT_Z = {
    ("int3z", 3): [-3, -2, -1, 0, 1, 2, 3, 4],
    ("int4z", 8): [-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7],
    ("dint3z", 2): [-2, -1, 0, 1, 2, 3, 0.5, -0.5],
    ("dint4z", 0): [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0.5, -0.5],
    ("dint4z_c4", 0): [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0.25, -0.25],
    ("dint4z_c4", 13): [-13, -12, -11, -10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0, 0.25, -0.25],
    ("dint4z_c8", 6): [-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 0.125, -0.125],
    ("dint4z", 6): [-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 0.5, -0.5],
}
formats = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)


@pytest.mark.parametrize("name", RETYPED)
def test_retyped(name):
    assert [FORMATS[name].value(code) for code in range(2 ** FORMATS[name].width)] == RETYPED[name]


@pytest.mark.parametrize(("name", "z"), RETYPED_AT_Z)
def test_retyped_at_a_zero_point(name, z):
    fmt = FORMATS[name]
    assert [fmt.value(code, z) for code in range(2**fmt.width)] == RETYPED_AT_Z[name, z]


@pytest.mark.parametrize("width", [8, 6, 5])
def test_wide_integers(width):
    codes = range(2**width)
    assert FORMATS[f"int{width}"].levels == tuple(c - 2**width * (c >> (width - 1)) for c in codes)


def test_int8z():
    assert FORMATS["int8z"].levels_at(200) == tuple(range(-200, 56))


def test_fp8_against_the_standards_values():
    """Table 1 and 2 of the OCP FP8 specification."""
    e4m3, e5m2 = FORMATS["fp8_e4m3"], FORMATS["fp8_e5m2"]
    for fmt, code, value in (
        (e4m3, 0b0_1111_110, 448),
        (e4m3, 0b0_0001_000, 2**-6),
        (e4m3, 0b0_0000_111, 0.875 * 2**-6),
        (e4m3, 0b0_0000_001, 2**-9),
        (e4m3, 0b0_0111_100, 1.5),
        (e4m3, 0b0_1111_111, 448),  # NaN
        (e5m2, 0b0_11110_11, 57344),
        (e5m2, 0b0_00001_00, 2**-14),
        (e5m2, 0b0_00000_11, 0.75 * 2**-14),
        (e5m2, 0b0_00000_01, 2**-16),
        (e5m2, 0b0_01111_10, 1.5),
        (e5m2, 0b0_11111_00, 57344),  # infinity
        (e5m2, 0b0_11111_01, 57344),  # NaN
    ):
        assert fmt.value(code) == value
        assert fmt.value(code | 0x80) == -value


def test_nf4_is_within_half_a_unit_of_its_quantiles():
    nf4 = FORMATS["nf4"]
    assert len(NF4_VALUES) == 16
    for code, value in enumerate(NF4_VALUES):
        assert abs(nf4.value(code) - value) <= 2.0 ** -(nf4.frac_bits + 1)


@pytest.mark.parametrize(
    ("name", "c"),
    [
        *((name, Fraction(1, 2)) for name in ("dint4", "dint4_sm", "dint4_sr", "dint4_r4")),
        *((name, Fraction(1, 2)) for name in ("dint3", "dint4z", "dint3z")),
        *((name, Fraction(1, 4)) for name in ("dint4_c4", "dint4z_c4")),
        *((name, Fraction(1, 8)) for name in ("dint4_c8", "dint4z_c8")),
    ],
)
def test_equation_5_follows_from_nearest_levels(name, c):
    """Thresholds c/2 and (c + s)/2, of the paper's c = s/2 those of its Eq. 5: s/4 and 3s/4.

    Their ties go toward zero; half-to-even elsewhere.
    """
    fmt = FORMATS[name]
    z = 2 if fmt.zero_pointed else 0  # integers of both signs around it
    values = [fmt.value(code, z) for code in range(2**fmt.width)]
    tiny, low, high = Fraction(1, 2**20), c / 2, (c + 1) / 2
    for x, value in (
        (low, 0), (low + tiny, c), (high, c), (high + tiny, 1),
        (-low, 0), (-low - tiny, -c), (-high, -c), (-high - tiny, -1),
        (Fraction(3, 2), 2), (Fraction(3, 2) - tiny, 1),
    ):  # fmt: skip
        assert golden.encode(x, fmt, z) == values.index(value), x
    sweep = [Fraction(k, 2000) for k in range(-2200, 2200)]  # Eq. 5, typed again
    for x in sweep:
        if low < x <= high:
            expected = c
        elif -high <= x < -low:
            expected = -c
        else:
            expected = round(x)
        assert fmt.value(golden.encode(x, fmt, z), z) == expected


@formats
def test_every_level_fits_its_width(fmt):
    lo, hi = fmt.level_range
    for z in (fmt.zero_points[0], fmt.zero_points[-1]):
        assert all(lo <= level <= hi for level in fmt.levels_at(z))
    assert -(2 ** (fmt.level_width - 1)) <= lo
    assert hi < 2 ** (fmt.level_width - 1)
    assert fmt.source


def test_only_integers_are_twos_complement():
    names = {name for name, fmt in FORMATS.items() if fmt.is_twos_complement}
    assert names == {"int8", "int6", "int5", "int4", "int3", "int2"}


@given(st.integers(-(2**70), 2**70), st.integers(-(2**70), 2**70))
def test_signed_width_is_tight(lo, hi):
    width = signed_width(lo, hi)
    assert all(-(2 ** (width - 1)) <= x < 2 ** (width - 1) for x in (lo, hi))
    below = width - 1
    assert not below or any(not -(2**below) // 2 <= x < 2**below // 2 for x in (lo, hi))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Format("x", 2, (0, 1, 2)), r"^format 'x' has 3 levels, but 2 bits need 4$"),
        (lambda: Format("x", 1, (0, 0)), r"^format 'x' has no level but 0$"),
        (lambda: Format("a b", 1, (0, 1)), r"^format name 'a b' is not a word"),
        (lambda: Format("x", 0, (0,)), r"^format 'x': width must be an integer in 1\.\.16, not 0"),
        (lambda: Format("x", 1, (0, 0.5)), r"^format 'x': level of code 1 must be an integer"),
        (lambda: Format("x", 1, (0, 1), -1), r"^format 'x': frac_bits must be an integer in 0"),
        (
            lambda: FORMATS["int4z"].levels_at(16),
            r"^zero point of int4z must be in 0\.\.15, not 16",
        ),
        (lambda: FORMATS["int4"].levels_at(1), r"^zero point of int4 must be in 0 \(it has none\)"),
        (lambda: dint_format(2), r"^dINT needs a width in 3\.\.16, not 2"),
        (lambda: dint_format(3, radix4=True), r"^dINT of radix 4 has 4 bits, not 3$"),
        (
            lambda: dint_format(4, radix4=True, sign_magnitude=True),
            r"^dINT is zero-pointed, sign and magnitude, sign and rank, or of radix 4: one$",
        ),
        (lambda: dint_format(4, special=0.3), r"^dINT's special value must be 1/2, 1/4 or 1/8"),
        (lambda: int_format(0), r"^INT needs a width in 1\.\.16, not 0"),
        (lambda: minifloat(0, 3), r"^a minifloat needs e >= 1"),
        (lambda: get_format("dint44"), r"^unknown format 'dint44'; the nearest is 'dint4'"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()


GOOD = 'name = "tern"\nwidth = 2\nfrac_bits = 0\nlevels = [0, 1, -1, 0]\n'


def test_a_users_format(tmp_path):
    path = tmp_path / "tern.toml"
    path.write_text(GOOD + 'source = "ours"\n')
    assert get_format(str(path)) == Format("tern", 2, (0, 1, -1, 0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace(", 0]", "]"), "has 3 levels, but 2 bits need 4"),
        (GOOD + "bias = 1\n", "unknown key 'bias'"),
        (GOOD.replace("frac_bits = 0\n", ""), "key 'frac_bits' is missing"),
        (GOOD.replace("[0, 1, -1, 0]", '"0 1"'), "levels must be a list of integers"),
        (GOOD.replace("-1", "-1.5"), "level of code 2 must be an integer"),
        (GOOD.replace("tern", "int2"), "the name 'int2' is taken by another format"),
        ("name = ", "not a TOML file"),
    ],
)
def test_bad_files(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        load_format(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"none\.toml: cannot read this format: No such file"):
        get_format(str(tmp_path / "none.toml"))


def test_a_folder_is_no_format(tmp_path):
    with pytest.raises(ValueError, match=r": a folder, where a format's name or \.toml file is "):
        get_format(str(tmp_path))
