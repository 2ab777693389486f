# amaranth: UnusedElaboratable=no
"""`macsmith verify --all`: what it would run, a part of it run, and a bad style found."""

import pytest
from tools import needs

from macsmith.experiments.units import UNITS
from macsmith.experiments.verify import suite
from macsmith.experiments.verify.bench import Effort, Instance
from macsmith.experiments.verify.results import Checked
from macsmith.experiments.verify.runner import Case, prepare, run, simulate
from macsmith.experiments.verify.whole import EFFORTS, Row, Whole, batches, verify_all
from macsmith.hw.mac import MACS
from macsmith.hw.multiplier import MULTIPLIERS, Plain
from macsmith.sim.spec import MacSpec

INT4 = MacSpec("int4", "int8", 32)
NARROW = MacSpec("int4", "int4", 10)


@pytest.fixture
def styles():
    """Two multipliers of a user's own, one of them wrong; gone after the test."""

    @MULTIPLIERS.add("mine")
    class Mine(Plain):
        """A product."""

    @MULTIPLIERS.add("wrong")
    class Wrong(Plain):
        """A product that is wrong for one pair of operands."""

        def product(self, m, weight, activation, name="product"):
            return weight * activation + ((weight == 5) & (activation == -8))

        def rows(self, m, heap, weight, activation, name):
            heap.add(self.product(m, weight, activation))

    yield
    del MULTIPLIERS._by_name["mine"], MULTIPLIERS._by_name["wrong"]


def test_every_unit_style_and_format_is_there():
    cases = suite.all_cases()
    assert {case.unit for case in cases} == set(UNITS)
    for name, unit in UNITS.items():
        mine = [case for case in cases if case.unit == name]
        served = {
            style
            for case in mine
            for style in unit.style_names(
                case.spec, **{k: v for k, v in case.options if k != "style"}
            )
        }
        assert {case.style for case in mine} == served, name
        if name in ("decoder", "multiplier", "mac", "dot", "shared", "array", "gemm"):
            assert {case.spec.weights.name for case in mine} >= set(suite.ALL_FORMATS), name
    macs = [case for case in cases if case.unit == "mac"]
    for style in MACS.names():
        mine = [case for case in macs if case.style == style]
        assert {dict(case.options)["pipeline"] for case in mine} == {0, 1, 2}, style
    assert {(c.spec.overflow, c.spec.lanes) for c in macs} >= {
        ("wrap", 1), ("saturate", 1), ("saturate", 3)}  # fmt: skip


def test_what_takes_turns_is_whole_in_every_style():
    """Per style and dataflow, or rounding: each of many cycles in one module at least."""
    many, had, rarely = range(100), {}, 0
    for case in suite.all_cases(tuple(suite.SHARED)):
        one = Instance("top", case.unit, case.spec, 1, (), (), place=case.place,
                       sharing=case.sharing, effort=EFFORTS["icarus"])  # fmt: skip
        mine = one.in_turn(many)
        rarely += len(mine) < 50
        shared = dict(case.options)[suite.SHARED[case.unit]]
        had.setdefault((case.unit, case.style, shared), set()).update(mine)
    assert rarely > 100
    assert all(found == set(many) for found in had.values())


def test_batches_are_all_cases_and_of_one_unit():
    cases = suite.all_cases()
    cut = batches(cases, 20)
    assert sorted(map(str, cases)) == sorted(str(case) for batch in cut for case in batch)
    assert max(map(len, cut)) <= 20
    assert all(len({case.unit for case in batch}) == 1 for batch in cut)


def test_a_new_style_is_picked_up_and_a_wrong_one_is_found(styles):
    needs("icarus", "verilator")
    cases = [c for c in suite.all_cases(["multiplier"]) if c.spec.weights.name == "int4"]
    cases = [case for case in cases if case.style in ("plain", "mine", "wrong")]
    assert len(cases) == 3
    cases.append(Case("mac", INT4, (("style", "separate-mine"),)))
    found = verify_all(cases, jobs=1, quick=False)
    assert not found.ok
    rows = {(row.unit, row.style): row for row in found.rows}
    for key in (("multiplier", "plain"), ("multiplier", "mine"), ("mac", "separate-mine")):
        simulated = [f for f in rows[key].failures if f.startswith(("icarus", "verilator"))]
        assert simulated == [], key
        assert min(rows[key].results.values()) > 500
        assert rows[key].bins_hit == rows[key].bins > 40
    (failure,) = [f for f in rows["multiplier", "wrong"].failures if f.startswith("verilator")]
    assert "w=0x5 a=0xf8: product -39 != -40" in failure
    text = "\n".join(found.lines())
    assert "FAILED" in text
    assert found.as_dict()["modules"] == 4


@pytest.mark.parametrize("unit", ["array", "gemm"])
def test_a_users_style_is_verified_with_a_handshake_too(styles, unit):
    """Of which a simulator's process, where the bench runs, knows nothing."""
    needs("icarus")
    brief = Effort(random=20, exhaustive=2**6, sample=2**6, runs=1, long=0, stalls=3)
    for style, wrong in (("fused-mine", 0), ("fused-wrong", 1)):
        found = run(unit, [NARROW], "icarus", effort=brief, style=style, rows=2, cols=2)
        assert sum(bool(module.wrong) for module in found.modules.values()) == wrong, style
        assert min(module.results for module in found.modules.values()) > 100


def test_a_build_by_verilator_lints():
    needs("verilator")
    prepared = prepare([Case("decoder", INT4)])
    instances = prepared.instances(Effort(random=10))
    assert simulate("decoder", instances, prepared.verilog, "verilator").clean
    (name,) = prepared.verilog
    # right, and two bits narrower than what is assigned to it
    warned = prepared.verilog[name].replace("endmodule", "  wire [1:0] narrow = code;\nendmodule")
    found = simulate("decoder", instances, {name: warned}, "verilator")
    assert found.ok
    assert not found.clean


def test_what_was_not_compared_or_said_is_a_failure():
    row = Row("mac", "plain", 1, {"icarus": 5, "verilator": 7}, 3, 3, [], 1.0)
    both = ("icarus", "verilator")
    assert Whole([row], both, 1.0, 2).ok
    assert not Whole([], both, 1.0, 2).ok
    silent = Row("mac", "plain", 1, {"icarus": 5}, 3, 3, [], 1.0)
    assert not Whole([silent], both, 1.0, 2).ok
    warned = Row("mac", "plain", 1, row.results, 3, 3, ["m: icarus: warning"], 1.0)
    assert not Whole([warned], both, 1.0, 2).ok
    assert "mac plain: m: icarus: warning" in Whole([warned], both, 1.0, 2).lines()
    assert Checked(5, 0, "", {"stall": 0}).failure == "1 bins missed: stall"
    with pytest.raises(ValueError, match=r"^nothing to verify: there is no case$"):
        verify_all([])
