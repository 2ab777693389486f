# amaranth: UnusedElaboratable=no
"""Formal proofs: what they prove, by which argument, and that a fault is found."""

import time

import pytest
from amaranth import Module, Mux, Signal, signed

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify import proof as proof_module
from macsmith.experiments.verify.proof import PROVABLE, Proofs, decide, pose, prove
from macsmith.experiments.verify.proof_adders import Adders, Form, rewrite
from macsmith.experiments.verify.proof_plan import Task, everything, run
from macsmith.experiments.verify.proof_problem import Problem
from macsmith.experiments.verify.proof_space import Space
from macsmith.experiments.verify.proof_words import Differ, Words, prove_words
from macsmith.hw.aig import FALSE, TRUE, Graph
from macsmith.hw.aig_yosys import to_aigs
from macsmith.hw.cec import Undecided, satisfy
from macsmith.hw.mac import MACS, Mac
from macsmith.hw.multiplier import Multiplier
from macsmith.sim.spec import MacSpec

INT8 = MacSpec("int8", "int8", 32)
DINT4 = MacSpec("dint4", "int8", 20, "saturate")
SOON = 60.0


@pytest.mark.parametrize(
    ("unit", "spec", "styles", "pipelines"),
    [
        ("decoder", MacSpec("dint4z", "int8", 32), None, (0,)),
        ("multiplier", INT8, None, (0,)),
        ("mac", INT8, ["fused-booth4", "carrysave-dadda"], (0, 2)),
        ("mac", DINT4, ["fused-signmag", "isolated-booth4"], (0,)),
        ("mac", MacSpec("dint4", "int4", 12, "saturate", 3), ["fused-dadda"], (0, 1)),
        ("dot", MacSpec("dint4", "int8", 32, "wrap", 2), ["fused-booth4"], (0,)),
        ("dot", MacSpec("int8", "int8", 32, "wrap", 2), ["fused-booth8"], (0,)),
        ("shared", MacSpec("dint4z", "int8", 24), ["fused-dadda"], (0,)),
    ],
)
def test_styles_are_proven(unit, spec, styles, pipelines):
    found = prove(unit, [spec], styles, pipelines, limit_s=SOON)
    assert found.ok, "\n".join(found.lines())
    for proof in found.proofs:
        assert sum(proof.how.values()) >= 1
        assert proof.cases >= (8 if unit not in ("decoder", "multiplier") else 1)


def test_the_plan_of_all_has_every_unit_and_tells_each_proof():
    tasks = everything(None)
    assert {task.unit for task in tasks} == set(PROVABLE)
    for task in tasks:
        assert task.specs
        for spec in task.specs:
            serve = get_unit(task.unit).style_names(spec)
            assert task.styles is None or set(task.styles) & set(serve)
    ranked = [(t.unit, spec) for t in tasks for spec in t.specs if spec.weights.name == "dint4_sr"]
    styles = {unit: get_unit(unit).style_names(spec) for unit, spec in ranked}
    flipped = {unit for unit, names in styles.items() if any("flipped" in n for n in names)}
    assert flipped == {"multiplier", "mac", "dot"}
    told = []
    found = run([Task("decoder", (INT8, DINT4))], None, jobs=1, tell=told.append)
    assert found.ok
    assert tuple(told) == found.proofs
    assert [proof.style for proof in told] == ["plain", "plain", "shaped"]


def test_nothing_proven_is_a_failure():
    assert not Proofs((), 0.0).ok
    assert "nothing was proven" in Proofs((), 0.0).lines()[-1]
    with pytest.raises(ValueError, match=r"^no proofs for unit 'float_mac': decoder, multiplier"):
        prove("float_mac", [INT8])


@pytest.mark.parametrize("style", ["fused-booth4", "carrysave-dadda"])
def test_every_inverted_bit_is_found(style):
    graphs = to_aigs({"plain": Mac(INT8), "unit": Mac(INT8, style)})
    for bit in (0, 17, 31):
        problem = pose(graphs["plain"], graphs["unit"].inverted(bit), Mac(INT8, style))
        proof = decide(problem, ("mac", style, "", 0), time.monotonic(), SOON)
        assert proof.verdict == "differs"
        assert "DIFFERS in next acc" in proof.line or "DIFFERS in acc" in proof.line


def test_a_rare_fault_is_found_and_its_counterexample_is_one():
    """One pair of codes in 65536 gives a wrong product: random values hardly find it."""

    class Wrong(Multiplier):
        def elaborate(self, platform):
            m = Module()
            m.submodules.right = right = Multiplier(self.spec, "booth4")
            rare = (self.w == 0xA7) & (self.a == 0x3C)
            m.d.comb += [
                right.w.eq(self.w),
                right.a.eq(self.a),
                self.product.eq(Mux(rare, right.product ^ 1, right.product)),
            ]
            return m

    graphs = to_aigs({"plain": Multiplier(INT8), "unit": Wrong(INT8)})
    problem = pose(graphs["plain"], graphs["unit"], Wrong(INT8))
    proof = decide(problem, ("multiplier", "wrong", "", 0), time.monotonic(), SOON)
    assert proof.verdict == "differs"
    assert dict(proof.counterexample) == {"w": 0xA7, "a": 0x3C}


def test_a_fault_that_only_the_state_shows_is_found():
    """A carry that is lost where the sum's low half is full."""

    class Wrong(Mac):
        def elaborate(self, platform):
            m = Module()
            m.submodules.right = right = Mac(self.spec, "fused-dadda")
            m.d.comb += [
                right.en.eq(self.en & ~((right.acc[:24] == 0xABCDEF) & (self.w == 5))),
                right.clear.eq(self.clear),
                right.w.eq(self.w),
                right.a.eq(self.a),
                self.acc.eq(right.acc),
            ]
            return m

    graphs = to_aigs({"plain": Mac(INT8), "unit": Wrong(INT8)})
    problem = pose(graphs["plain"], graphs["unit"], Wrong(INT8))
    proof = decide(problem, ("mac", "wrong", "", 0), time.monotonic(), SOON)
    assert proof.verdict == "differs"
    state = next(v for k, v in proof.counterexample.items() if k.startswith("state"))
    assert state & 0xFFFFFF == 0xABCDEF


def test_a_style_defined_here_is_proven_and_a_wrong_one_is_not():
    @MACS.add("test-late", latency=1)
    def late(m, mac, x):
        m.submodules.multiplier = multiplier = Multiplier(mac.spec, "booth8")
        total = Signal(signed(mac.spec.acc_width))
        m.d.comb += [multiplier.w.eq(x.w), multiplier.a.eq(x.a)]
        m.d.comb += total.eq(multiplier.product + Mux(x.clear, 0, mac.acc))
        with m.If(x.en):
            m.d.sync += mac.acc.eq(total)

    @MACS.add("test-wrong", latency=1)
    def wrong(m, mac, x):
        m.submodules.multiplier = multiplier = Multiplier(mac.spec)
        m.d.comb += [multiplier.w.eq(x.w), multiplier.a.eq(x.a)]
        with m.If(x.en | x.clear):
            m.d.sync += mac.acc.eq(multiplier.product + Mux(x.clear, 0, mac.acc))

    try:
        found = prove("mac", [INT8], ["test-late", "test-wrong"], limit_s=SOON)
        assert [proof.verdict for proof in found.proofs] == ["proven", "differs"]
        assert not found.ok
    finally:
        for name in ("test-late", "test-wrong"):
            MACS._by_name.pop(name)


def test_time_that_runs_out_is_no_proof():
    found = prove("mac", [INT8], ["fused-booth4"], limit_s=0.0)
    assert [proof.verdict for proof in found.proofs] == ["undecided"]
    assert not found.ok
    assert "NOT PROVEN" in found.lines()[0]
    assert found.totals()[1:] == ["NOT PROVEN: mac int8 x int8 wrap 32 fused-booth4"]


def test_solver():
    graph = Graph(3)
    a, b, c = map(graph.input, range(3))
    assert satisfy(graph, FALSE, 5) is None
    assert satisfy(graph, graph.and_(a ^ 1, graph.and_(b, c)), 5) == [0, 1, 1]
    assert satisfy(graph, graph.and_(graph.xor(a, b), graph.and_(a, b)), 5) is None


def ripple(graph, x, y, carry=FALSE):
    """Sum bits and carry of two words, one full adder per bit."""
    out = []
    for a, b in zip(x, y, strict=True):
        either = graph.xor(a, b)
        out.append(graph.xor(either, carry))
        carry = graph.any([graph.and_(a, b), graph.and_(either, carry)])
    return [*out, carry]


def test_algebra_takes_adders_apart():
    graph = Graph(36)
    x, y, z = ([graph.input(12 * k + i) for i in range(12)] for k in range(3))
    left = ripple(graph, ripple(graph, x, y)[:12], z)[:12]
    right = ripple(graph, x, ripple(graph, z, y)[:12])[:12]
    assert left != right
    adders = Adders(graph, left + right)
    form = rewrite(Form.of_word(left), adders, 2**12)
    assert form.weights == {lit >> 1: 2**k for word in (x, y, z) for k, lit in enumerate(word)}
    how = prove_words(graph, [Words("sum", tuple(left), tuple(right))], time.monotonic() + SOON)
    assert how["algebra"] == 1
    for k in range(12):
        wrong = list(right)
        wrong[k] ^= TRUE
        with pytest.raises(Differ):
            prove_words(graph, [Words("sum", tuple(left), tuple(wrong))], time.monotonic() + SOON)


def test_bounds_of_large_weights_are_bounds():
    graph = Graph(6)
    bits = [graph.and_(2, 2 * k) >> 1 for k in range(2, 7)]  # all need variable 1
    low, high = Space(graph).bounds(Form(0, dict.fromkeys(bits, 2**61)))
    assert low <= 0
    assert high >= 5 * 2**61
    assert Space(graph).bounds(Form(3, dict.fromkeys(bits, 2))) == (3, 13)


@pytest.mark.parametrize("why", ["false", "not decided"])
def test_without_a_lemma_the_words_themselves_are_proven(why, monkeypatch):
    graph = Graph(60)
    x, y = ([graph.input(30 * k + i) for i in range(30)] for k in range(2))
    left, right = ripple(graph, x, y), ripple(graph, y, x)
    lemma = [Words("inner", tuple(left), (left[0] ^ TRUE, *left[1:]))]
    sums = [Words("sum", tuple(left), tuple(right))]
    asked = []

    def prove_slowly(graph, words, deadline):
        asked.append(words)
        if words is lemma and why == "not decided":
            raise Undecided("out of time")
        return prove_words(graph, words, deadline)

    monkeypatch.setattr(proof_module, "prove_words", prove_slowly)
    problem = Problem(graph, sums, [("x", k) for k in range(60)], lemma, cut=lemma)
    proof = decide(problem, ("", "", "", 0), time.monotonic(), SOON)
    assert proof.verdict == "proven"
    assert asked == [lemma, sums]
