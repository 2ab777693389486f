# amaranth: UnusedElaboratable=no
"""The bench bites: every mutant of a MAC fails in it, beside the originals, which pass.

A mutant is the Verilog of another spec under the name of this one, or this one's with a text
replaced; golden always speaks for the original.
"""

from dataclasses import dataclass, replace

from tools import needs

from macsmith.experiments.verify import runner
from macsmith.hw.export import to_verilog_many
from macsmith.hw.mac import Mac
from macsmith.sim.catalog import FORMATS
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

WRAP = MacSpec("dint4", "int4", 10, "wrap")
SATURATE = MacSpec("dint4", "int4", 10, "saturate")
LANES = MacSpec("dint4", "int4", 10, "saturate", lanes=3)
ZERO_POINTED = MacSpec("dint4z", "int4", 10, "wrap")
INT = MacSpec("int4", "int4", 10, "wrap")
WIDE = MacSpec("dint4", "int4", 32, "wrap")


@dataclass(frozen=True)
class Mutant:
    """What is wrong, with which spec, and either another spec's hardware or a text replaced."""

    name: str
    spec: MacSpec
    built: MacSpec | None = None
    old: str = ""
    new: str = ""


def with_levels(name, **changed):
    """The format with other levels for some codes, given as ``_8=...``."""
    fmt = FORMATS[name]
    levels = list(fmt.levels)
    for code, level in changed.items():
        levels[int(code[1:], 16)] = level
    return Format(f"{name}_mutant", fmt.width, tuple(levels), fmt.frac_bits, fmt.affine)


def one_step_off(name):
    """One mutant for each code of a format: its level is greater by one."""
    fmt = FORMATS[name]
    for code, level in enumerate(fmt.levels):
        moved = with_levels(name, **{f"_{code:x}": level + 1 if level <= 0 else level - 1})
        yield Mutant(f"code {code} of {name} off by one", WIDE, replace(WIDE, weights=moved))


SWAPPED = replace(WIDE, weights=with_levels("dint4", _8=-1, _9=+1))
SWAPPED_Z = replace(ZERO_POINTED, weights=with_levels("dint4z", _e=-1, _f=+1))
NO_SPECIALS = replace(WIDE, weights=with_levels("dint4", _8=-16, _9=-14))
MOVED_SPECIALS = Format("moved", 4, FORMATS["dint4z"].levels, 1, frozenset(range(16)))

ADD = "+ $signed(product)"
MUTANTS = [
    Mutant("product subtracted", WIDE, old=ADD, new=ADD.replace("+", "-")),
    Mutant("weight's sign lost", INT, old="$signed(w)", new="$signed({1'b0, w})"),
    Mutant("activation's sign lost", WIDE, old="* $signed(a)", new="* $signed({1'b0, a})"),
    Mutant("wrap dropped: it clamps", WRAP, replace(WRAP, overflow="saturate")),
    Mutant("saturation dropped: it wraps", SATURATE, replace(SATURATE, overflow="wrap")),
    Mutant("upper limit off by one", SATURATE, old="10'h1ff", new="10'h1fe"),
    Mutant("lower limit off by one", SATURATE, old="10'h200", new="10'h201"),
    Mutant("limits exchanged", SATURATE, old="10'h200 : 10'h1ff", new="10'h1ff : 10'h200"),
    Mutant("specials swapped", WIDE, SWAPPED),
    Mutant("specials swapped, zero-pointed", ZERO_POINTED, SWAPPED_Z),
    Mutant("specials are integers", WIDE, NO_SPECIALS),
    Mutant("specials move with z", ZERO_POINTED, replace(ZERO_POINTED, weights=MOVED_SPECIALS)),
    Mutant("z ignored", ZERO_POINTED, old="{ z, 1'h0 }", new="5'h00"),
    Mutant("top bit of z ignored", ZERO_POINTED, old="{ z, 1'h0 }", new="{ 1'b0, z[2:0], 1'h0 }"),
    Mutant("clear ignored", WIDE, old="clear ?", new="1'b0 ?"),
    Mutant("clear ignored, lanes", LANES, old="clear ?", new="1'b0 ?"),
    Mutant("clear without en clears", WIDE, old="en ?", new="(en | clear) ?"),
    Mutant("stall ignored", WIDE, old="en ?", new="1'b1 ?"),
    Mutant("stall ignored, lanes", LANES, old="en ?", new="1'b1 ?"),
    Mutant("reset ignored", WIDE, old="rst ?", new="1'b0 ?"),
    Mutant("reset after en", WIDE, old="rst ?", new="(rst & ~en) ?"),
    Mutant("reset ignored, lanes", LANES, old="rst ? 2'h0", new="1'b0 ? 2'h0"),
    Mutant("every product clamped", LANES, replace(LANES, lanes=1)),
    Mutant("groups of two", LANES, replace(LANES, lanes=2)),
    Mutant("groups of four", LANES, replace(LANES, lanes=4)),
    Mutant("clear does not start a group", LANES, old="clear ? 2'h1 :", new="1'b0 ? 2'h1 :"),
    Mutant("first product of a group not counted", LANES, old="clear ? 2'h1", new="clear ? 2'h0"),
    Mutant("the other edge", WIDE, old="posedge clk", new="negedge clk"),
    Mutant("nothing is driven", WIDE, old="posedge clk", new="negedge rst"),
    *one_step_off("dint4"),
]


def test_every_mutant_fails_and_every_original_passes():
    needs("icarus")
    originals = {f"original_{k}": spec for k, spec in enumerate({m.spec: 0 for m in MUTANTS})}
    mutants = {f"mutant_{k}": mutant for k, mutant in enumerate(MUTANTS)}
    built = {name: Mac(m.built or m.spec) for name, m in mutants.items()}
    built |= {name: Mac(spec) for name, spec in originals.items()}
    verilog = to_verilog_many(built)
    for name, mutant in mutants.items():
        if mutant.old:
            assert mutant.old in verilog[name], f"{mutant.name}: nothing to replace"
            verilog[name] = verilog[name].replace(mutant.old, mutant.new)
    specs = originals | {name: mutant.spec for name, mutant in mutants.items()}
    units = [runner.describe("mac", name, spec, Mac(spec)) for name, spec in specs.items()]

    result = runner.simulate("mac", units, verilog, "icarus")

    alive = [mutants[name].name for name in mutants if not result.modules[name].wrong]
    assert alive == []
    assert set(result.failures) == set(mutants)
    assert not result.ok
    for name, message in result.failures.items():
        assert message.startswith(f"{name} cycle "), message
    print(f"{len(mutants)} mutants killed, {len(originals)} originals alive")
