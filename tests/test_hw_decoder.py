# amaranth: UnusedElaboratable=no
"""Decoders: every code at every zero point in Amaranth's simulator, and each style proven."""

import time

import pytest
from amaranth.sim import Simulator

from macsmith.experiments.verify.proof import decide, pose
from macsmith.experiments.verify.proof_levels import table
from macsmith.hw.aig_yosys import to_aigs
from macsmith.hw.decoder import DECODERS, Decoder
from macsmith.sim.catalog import FORMATS
from macsmith.sim.formats import Format, dint_format, int_format, minifloat

DINTS = [fmt for fmt in FORMATS.values() if fmt.name.startswith("dint")]
ODD = [  # what no catalogue has
    Format("one_bit", 1, (0, -1)),
    Format("positive", 2, (0, 3, 5, 6)),
    Format("negative", 2, (-3, -7, -1, -5)),
    Format("one_affine", 2, (0, 1, -1, 4), affine=frozenset({1})),
    int_format(1),
    int_format(6, zero_pointed=True),
    dint_format(6, special=0.125),
    dint_format(5, zero_pointed=True, special=0.25),
    minifloat(5, 6),
]


def decode_all(decoder):
    """Levels by (zero point, code): every one, or 17 zero points where there are many."""
    fmt, seen = decoder.fmt, {}

    async def testbench(ctx):
        for z in fmt.zero_points[:: max(1, len(fmt.zero_points) // 16)]:
            for code in range(2**fmt.width):
                ctx.set(decoder.code, code)
                if fmt.zero_pointed:
                    ctx.set(decoder.z, z)
                await ctx.delay(1e-9)
                seen[z, code] = ctx.get(decoder.level)

    sim = Simulator(decoder)
    sim.add_testbench(testbench)
    sim.run()
    return seen


@pytest.mark.parametrize("fmt", [*FORMATS.values(), *ODD], ids=lambda fmt: fmt.name)
def test_every_code_at_every_zero_point(fmt):
    for style in DECODERS.names(fmt):
        seen = decode_all(Decoder(fmt, style))
        assert len(seen) >= 2**fmt.width
        for (z, code), level in seen.items():
            assert level == fmt.levels_at(z)[code], f"{style} z={z} code={code:#x}"


def proof(fmt, decoder):
    """Of the decoder against the table of a format."""
    problem = pose(table(fmt), to_aigs({"unit": decoder})["unit"], decoder)
    return decide(problem, ("decoder", decoder.style, fmt.name, 0), time.monotonic())


@pytest.mark.parametrize("fmt", [*DINTS, *ODD], ids=lambda fmt: fmt.name)
def test_every_style_is_proven_to_be_the_table(fmt):
    for style in DECODERS.names(fmt):
        assert proof(fmt, Decoder(fmt, style)).verdict == "proven"


def test_a_proof_that_must_fail_gives_the_code():
    levels = list(FORMATS["dint4"].levels)
    levels[8], levels[9] = levels[9], levels[8]
    swapped = Format("swapped", 4, tuple(levels), 1)
    found = proof(FORMATS["dint4"], Decoder(swapped, "shaped"))
    assert found.verdict == "differs"
    assert found.counterexample["code"] in (8, 9)
    with pytest.raises(ValueError, match=r"^ports differ: "):
        proof(FORMATS["dint4"], Decoder(FORMATS["dint3"]))


def test_every_dint_of_the_catalogue_but_two_has_the_shaped_style():
    styles = {fmt.name: DECODERS.names(fmt) for fmt in DINTS}
    for name in ("dint4_r4", "dint4_sr"):  # made for multipliers without a decoder
        assert styles.pop(name) == ["plain"]
    assert len(styles) == 9
    assert set(map(tuple, styles.values())) == {("plain", "shaped")}


@pytest.mark.parametrize(
    ("fmt", "reason"),
    [
        (FORMATS["int4"], "int4 does not have two special levels, [+]1 and -1"),
        (FORMATS["fp4_e2m1"], "the special codes .* differ|the integers of fp4_e2m1 are in no"),
        (
            Format("far", 3, (1, 2, 4, 6, -8, -6, -4, -1), 1),
            "the special codes of far differ in more than one bit",
        ),
        (
            Format("shuffled", 3, (0, 4, 2, 6, 1, -1, -4, -2), 1),
            "the integers of shuffled are in no coding of unsigned, twos_complement, sign_magn",
        ),
        (
            Format("part", 3, (0, 2, 4, 6, 8, 10, 1, -1), 1, frozenset({0, 1})),
            "not every integer of part moves with its zero point",
        ),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_shaped_says_why_it_cannot_serve(fmt, reason):
    with pytest.raises(ValueError, match=f"^decoder style 'shaped' cannot serve this: {reason}"):
        Decoder(fmt, "shaped")


def test_unknown_style():
    with pytest.raises(ValueError, match=r"^unknown decoder style 'shape'; the nearest is 'sha"):
        Decoder(FORMATS["dint4"], "shape")


def test_int8z_is_a_subtraction_and_not_a_table():
    from macsmith.hw.export import to_verilog

    text = to_verilog(Decoder(FORMATS["int8z"]), name="top")
    assert "assign level = code - z;" in text
    assert len(text) < 500
