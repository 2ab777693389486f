# amaranth: UnusedElaboratable=no
"""The MAC in Amaranth's simulator against golden, cycle by cycle."""

import random

import pytest
from amaranth import ResetInserter, Shape, Signal
from amaranth.back import rtlil
from amaranth.sim import Simulator

from macsmith.hw.mac import Mac
from macsmith.sim import golden
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

ONE_BIT = Format("one_bit", 1, (0, -1))
POSITIVE = Format("positive", 2, (0, 3, 5, 6))


def narrow(weights, activations, overflow, lanes=1, spare=1):
    """A spec whose accumulator a few products overflow."""
    width = MacSpec(weights, activations, 48).product_width + spare
    return MacSpec(weights, activations, width, overflow, lanes)


SPECS = [
    MacSpec("int8", "int8"),
    MacSpec("dint4", "int8", 20, "exact"),
    narrow("int8", "int8", "wrap"),
    narrow("int8", "int8", "saturate"),
    narrow("int4", "int4", "saturate", lanes=2),
    narrow("dint4", "int8", "wrap", lanes=3),
    narrow("dint4", "int8", "saturate", lanes=3),
    narrow("dint4_sm", "int8", "saturate", lanes=16),
    narrow("dint4z", "int8", "saturate", lanes=5),
    narrow("int8z", "int8", "wrap"),
    narrow("dint3z", "int4", "saturate"),
    narrow("fp8_e5m2", "int8", "saturate", lanes=7),
    narrow("nf4", "fp8_e4m3", "saturate"),
    narrow(ONE_BIT, "int8", "saturate", lanes=3, spare=0),
    narrow(ONE_BIT, ONE_BIT, "saturate", lanes=2, spare=0),
    narrow(POSITIVE, POSITIVE, "saturate", spare=0),
    narrow(POSITIVE, ONE_BIT, "saturate", lanes=3, spare=0),
]


def simulate(dut, testbench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def put(ctx, dut, w, a, z=0, *, en=1, clear=0):
    ctx.set(dut.en, en)
    ctx.set(dut.clear, clear)
    ctx.set(dut.w, w)
    ctx.set(dut.a, a)
    if dut.spec.weights.zero_pointed:
        ctx.set(dut.z, z)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.weights.name}-{s.overflow}-{s.lanes}")
def test_matches_golden(spec):
    rng = random.Random(0)
    dut = Mac(spec)
    compared = 0

    async def testbench(ctx):
        nonlocal compared
        for _ in range(4):  # sums, each started with `clear`
            z = rng.choice(spec.weights.zero_points)
            n = rng.randrange(1, 60)
            w = [rng.randrange(2**spec.weights.width) for _ in range(n)]
            a = [rng.randrange(2**spec.activations.width) for _ in range(n)]
            for k, expected in enumerate(golden.trace(a, w, spec, z)):
                put(ctx, dut, w[k], a[k], z, clear=int(k == 0))
                await ctx.tick()
                assert ctx.get(dut.acc) == expected, f"product {k}: w={w[k]:#x} a={a[k]:#x} z={z}"
                compared += 1
                while rng.random() < 0.3:
                    put(ctx, dut, w[0], a[0], z, en=0, clear=rng.randrange(2))
                    await ctx.tick()
                    assert ctx.get(dut.acc) == expected, f"stall after product {k}"

    simulate(dut, testbench)
    assert dut.latency == 1  # the loop reads right after the edge
    assert compared > 0


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("sign", [+1, -1])
def test_overflow_on_purpose(overflow, sign):
    spec = MacSpec("int8", "int8", 18, overflow, lanes=3)
    codes = [0x80] * 40, [0x80 if sign > 0 else 0x7F] * 40
    expected = golden.trace(*codes, spec)
    plain = MacSpec("int8", "int8", 32)
    assert expected != golden.trace(*codes, plain)  # it did overflow
    dut = Mac(spec)

    async def testbench(ctx):
        for k in range(40):
            put(ctx, dut, codes[1][k], codes[0][k], clear=int(k == 0))
            await ctx.tick()
            assert ctx.get(dut.acc) == expected[k], f"product {k}"

    simulate(dut, testbench)


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("lanes", [1, 3])
def test_reset_in_the_middle_of_a_group(overflow, lanes):
    spec = MacSpec("int4", "int4", 8, overflow, lanes)
    codes = [0x8] * 9, [0x8] * 9  # 64 each in 8 bits: whether a group starts here is soon seen
    mac, rst = Mac(spec), Signal()

    async def testbench(ctx):
        for start in (2, 4, 0):
            for k, expected in enumerate(golden.trace(*codes, spec)):
                put(ctx, mac, codes[1][k], codes[0][k])
                await ctx.tick()
                assert ctx.get(mac.acc) == expected, f"product {k} after a reset"
            put(ctx, mac, 8, 8, clear=1)
            for _ in range(start):
                await ctx.tick()
            ctx.set(rst, 1)  # before `en`, which is still high
            await ctx.tick()
            assert ctx.get(mac.acc) == 0
            ctx.set(rst, 0)

    simulate(ResetInserter(rst)(mac), testbench)


def test_ports():
    members = Mac(MacSpec("dint4z", "int8", 24)).signature.members
    assert {name: Shape.cast(member.shape).width for name, member in members.items()} == {
        "en": 1, "clear": 1, "w": 4, "a": 8, "z": 4, "acc": 24,
    }  # fmt: skip
    assert Shape.cast(members["acc"].shape).signed
    assert "z" not in Mac(MacSpec("dint4", "int8")).signature.members


def test_group_counter_only_where_groups_matter():
    def registers(spec):
        return rtlil.convert(Mac(spec), emit_src=False).count("attribute \\init")

    assert registers(MacSpec("int8", "int8")) == 1
    assert registers(MacSpec("int8", "int8", overflow="saturate")) == 1
    assert registers(MacSpec("int8", "int8", lanes=4)) == 1
    assert registers(MacSpec("int8", "int8", overflow="saturate", lanes=4)) == 2


def test_unknown_style():
    with pytest.raises(ValueError, match=r"^unknown mac style 'plane'; the nearest is 'plain'$"):
        Mac(MacSpec("int8", "int8"), style="plane")


def test_too_narrow_is_refused_by_the_spec():
    with pytest.raises(ValueError, match=r"^accumulator of 15 bits cannot hold one int8 x int8 "):
        Mac(MacSpec("int8", "int8", acc_width=15))
