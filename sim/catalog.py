"""Every named format, each with the place that defines it; and the user's own, from TOML.

Add a format here and nowhere else.
"""

import tomllib
from pathlib import Path

from macsmith.sim.formats import Format, dint_format, int_format, minifloat
from macsmith.sim.names import suggestion

__all__ = ["FORMATS", "get_format", "load_format"]

DINT = "dINT, arXiv 2311.05161, section 4.2, Eq. 5-6"
OCP_MX = "OCP Microscaling Formats (MX) v1.0, section 5.3"
OCP_FP8 = "OCP 8-bit Floating Point Specification v1.0"

INTS = [int_format(width, source="two's complement") for width in (8, 6, 5, 4, 3, 2)]
INTS_Z = [
    int_format(width, zero_pointed=True, source="arXiv 2311.05161: asymmetric min-max INT")
    for width in (8, 4, 3)
]
DINTS = [
    dint_format(4, source=f"{DINT}; symmetric form and bit patterns are ours"),
    dint_format(3, source=f"{DINT}; symmetric form and bit patterns are ours"),
    dint_format(4, special=0.25, source=f"{DINT}, Table 9: c/s = 1/4; bit patterns are ours"),
    dint_format(4, special=0.125, source=f"{DINT}, Table 9: c/s = 1/8; bit patterns are ours"),
    dint_format(4, sign_magnitude=True, source=f"{DINT}; sign and magnitude are ours"),
    dint_format(4, sign_rank=True, source=f"{DINT}; sign and rank of the magnitude are ours"),
    dint_format(4, radix4=True, source=f"{DINT}; bit patterns by digits of radix 4 are ours"),
    dint_format(4, zero_pointed=True, source=f"{DINT}; c1, c2 follow p"),
    dint_format(3, zero_pointed=True, source=f"{DINT}; c1, c2 follow p"),
    dint_format(4, special=0.25, zero_pointed=True, source=f"{DINT}, Table 9: c/s = 1/4"),
    dint_format(4, special=0.125, zero_pointed=True, source=f"{DINT}, Table 9: c/s = 1/8"),
]
FLOATS = [
    minifloat(3, 0, source="FP4 (1-3-0), arXiv 2311.05161, Table 13"),
    minifloat(2, 1, source=f"FP4 E2M1, {OCP_MX}"),
    minifloat(1, 2, source="FP4 (1-1-2), arXiv 2311.05161, Table 13"),
    minifloat(4, 3, non_finite="nan", source=f"E4M3, {OCP_FP8}"),
    minifloat(5, 2, non_finite="ieee", source=f"E5M2, {OCP_FP8}"),
]

#: QLoRA's quantiles of the normal distribution (arXiv 2305.14314, appendix E), to 7 decimals.
NF4_VALUES = (
    -1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0,
    0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0,
)  # fmt: skip
#: 12 bits put every level within 2**-13 of its quantile, a 650th of the least distance between
#: two, and keep a product with INT8 at 20 bits: a 32-bit accumulator is exact up to 4,095 products.
NF4_FRAC_BITS = 12
NF4 = Format(
    "nf4",
    width=4,
    levels=tuple(round(value * 2**NF4_FRAC_BITS) for value in NF4_VALUES),
    frac_bits=NF4_FRAC_BITS,
    source="NF4, arXiv 2305.14314, appendix E; rounded to the nearest 2**-12",
)
#: The two FP4 lists that DAQ (arXiv 2410.12187) rounds to, both with a least magnitude of 1/16.
FP4_BNB_VALUES = (0, 0.0625, 8, 12, 4, 6, 2, 3)
FP4_DAQ_VALUES = (0, 0.0625, 1, 1.5, 2, 3, 4, 6)
FP4_LISTS = [
    Format(
        name,
        width=4,
        levels=tuple(round(sign * value * 2**4) for sign in (1, -1) for value in values),
        frac_bits=4,
        source=source,
    )
    for name, values, source in (
        ("fp4_bnb", FP4_BNB_VALUES, "bitsandbytes' FP4, csrc/kernels.cu, bit patterns included"),
        (
            "fp4_daq",
            FP4_DAQ_VALUES,
            "E2M1 as DAQ's released code lists it, 1/16 in place of 1/2; bit patterns are E2M1's",
        ),
    )
]

FORMATS: dict[str, Format] = {
    fmt.name: fmt for fmt in (*INTS, *INTS_Z, *DINTS, *FLOATS, NF4, *FP4_LISTS)
}


def get_format(name: str | Format) -> Format:
    """The format called ``name``: a catalogue name, a ``.toml`` file, or a `Format` as it is.

    Raises ValueError naming the nearest known format, or what is wrong with the file.

    >>> get_format("dint4").frac_bits
    1
    """
    if isinstance(name, Format):
        return name
    if not isinstance(name, (str, Path)):
        raise ValueError(f"a format is a name, a .toml file or a Format, not {name!r}")
    if str(name).endswith(".toml"):
        return load_format(name)
    if str(name) not in FORMATS:
        if Path(name).is_dir():
            raise ValueError(f"{name}: a folder, where a format's name or .toml file is wanted")
        hint = suggestion(name, FORMATS)
        raise ValueError(f"unknown format {str(name)!r}; {hint} (or give a .toml file)")
    return FORMATS[str(name)]


def load_format(path: str | Path) -> Format:
    """A user's format from a TOML file.

    ``name`` (word), ``width`` (bits), ``frac_bits``, ``levels`` (one integer per code, in order of
    codes) and, if wanted, ``source`` (text). ValueError, with the file's name, if a key is missing
    or unknown, the table is incomplete, or the name is a catalogue format's with another table.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot read this format: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or nested too deep
        raise ValueError(f"{path}: not a TOML file: {error}") from None
    needed = {"name", "width", "frac_bits", "levels"}
    if unknown := sorted(table.keys() - needed - {"source"}):
        raise ValueError(f"{path}: unknown key {unknown[0]!r}; a format has {sorted(needed)}")
    if missing := sorted(needed - table.keys()):
        raise ValueError(f"{path}: key {missing[0]!r} is missing; a format has {sorted(needed)}")
    if not isinstance(table["levels"], list) or not isinstance(table.get("source", ""), str):
        raise ValueError(f"{path}: levels must be a list of integers, and source a text")
    try:
        fmt = Format(**table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if fmt.name in FORMATS and fmt != FORMATS[fmt.name]:
        raise ValueError(f"{path}: the name {fmt.name!r} is taken by another format")
    return fmt
