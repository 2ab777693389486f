# amaranth: UnusedElaboratable=no
"""Proofs of decoders against tables, of pipelines, and of units register by register."""

import time
from dataclasses import replace

import pytest
from amaranth import Module

from macsmith.experiments.verify.proof import decide, pose, prove
from macsmith.experiments.verify.proof_adders import Adders, Form, rewrite
from macsmith.experiments.verify.proof_levels import table
from macsmith.experiments.verify.proof_machine import pipelined
from macsmith.experiments.verify.proof_plan import plan, run
from macsmith.experiments.verify.proof_polynomials import Polynomials
from macsmith.experiments.verify.proof_space import Space
from macsmith.hw.aig import FALSE, Graph
from macsmith.hw.aig_yosys import to_aigs
from macsmith.hw.array import SystolicArray
from macsmith.hw.decoder import DECODERS, Decoder
from macsmith.hw.requantizer import Requantizer
from macsmith.sim.catalog import FORMATS
from macsmith.sim.requantize import RequantizeSpec
from macsmith.sim.spec import MacSpec

DINT4 = MacSpec("dint4", "int8", 20)
DINT4Z = MacSpec("dint4z", "int8", 20)
WHAT = ("", "", "", 0)
SOON = 60.0


def decided(problem):
    return decide(problem, WHAT, time.monotonic(), SOON)


@pytest.mark.parametrize("name", ["int4", "int3z", "dint4z", "nf4", "fp8_e4m3"])
def test_a_table_as_logic_is_the_table(name):
    fmt = FORMATS[name]
    aig = table(fmt)
    words = 2**fmt.width
    for z in {0, 1, words - 1} if fmt.zero_pointed else {0}:
        for code, level in enumerate(fmt.levels_at(z)):
            graph = Graph(0)
            inputs = {"code": [code >> k & 1 for k in range(fmt.width)]}
            inputs["z"] = [z >> k & 1 for k in range(fmt.width)]
            (shown, *_) = graph.copy(aig, inputs, {})
            assert shown["level"] == [level >> k & 1 for k in range(fmt.level_width)]


def test_a_plain_decoder_that_forgets_its_zero_point_is_found():
    class Forgetful(Decoder):
        def elaborate(self, platform):
            m = Module()
            m.submodules.right = right = Decoder(self.fmt)
            m.d.comb += [
                right.code.eq(self.code),
                right.z.eq(self.z[:3]),
                self.level.eq(right.level),
            ]
            return m

    fmt = FORMATS["dint4z"]
    proof = decided(pose(table(fmt), to_aigs({"unit": Forgetful(fmt)})["unit"], Forgetful(fmt)))
    assert proof.verdict == "differs"
    code, z = proof.counterexample["code"], proof.counterexample["z"]
    assert proof.wanted == fmt.levels_at(z)[code] & (2**fmt.level_width - 1)
    assert proof.got == fmt.levels_at(z & 7)[code] & (2**fmt.level_width - 1)


def test_decoders_are_proven_with_the_units_that_have_them():
    found = run(plan("mac", ["dint4z"], "fp8_e4m3", 32, "wrap"), ["fused-booth4"], jobs=1)
    assert found.ok
    assert [(proof.unit, proof.spec, proof.style) for proof in found.proofs] == [
        ("decoder", "dint4z", "plain"),
        ("decoder", "fp8_e4m3", "plain"),
        ("mac", "dint4z x fp8_e4m3 wrap 32", "fused-booth4"),
    ]
    found = prove("decoder", [DINT4Z], limit_s=SOON)
    assert [proof.style for proof in found.proofs] == DECODERS.names(DINT4Z.weights)


def test_a_requantizer_of_32_bits_is_proven_and_its_faults_are_found():
    spec = MacSpec("int2", "int2", 32)
    found = prove("requantizer", [spec], None, (0, 2), limit_s=SOON, rounding="tflite")
    assert found.ok, "\n".join(found.lines())
    assert len(found.proofs) == 3
    assert found.proofs[0].what == "requantizer 32 rounding tflite plain, pipeline 2"
    assert any(proof.how.get("algebra") for proof in found.proofs)

    numbers = RequantizeSpec(32, 32)
    unit = Requantizer(numbers, "booth4", 1)
    graphs = to_aigs({"plain": Requantizer(numbers), "unit": unit}, {"plain": "product"})
    for bit in (0, 7):
        proof = decided(pose(graphs["plain"], graphs["unit"].inverted(bit), unit))
        assert proof.verdict == "differs"
        assert proof.word == "y"
    late = to_aigs({"unit": Requantizer(numbers, "booth4", 2)})["unit"]
    assert decided(pipelined(graphs["plain"], late, 1)).verdict == "differs"


@pytest.mark.parametrize("dataflow", ["output", "weight"])
@pytest.mark.parametrize("spec", [DINT4Z, MacSpec("int8", "int8", 20, "saturate")], ids=str)
def test_arrays_are_proven_register_by_register(spec, dataflow):
    size = {"rows": 2, "cols": 2, "dataflow": dataflow}
    found = prove("array", [spec], ["separate-booth8", "fused-dadda"], limit_s=SOON, **size)
    assert found.ok, "\n".join(found.lines())
    assert all(proof.how.get("algebra", 0) >= 4 for proof in found.proofs)


def test_every_fault_of_an_array_is_found():
    size = {"rows": 1, "cols": 2}
    unit = SystolicArray(DINT4, **size, style="fused-booth4")
    graphs = to_aigs({"plain": SystolicArray(DINT4, **size), "unit": unit}, {"plain": "total"})
    right = pose(graphs["plain"], graphs["unit"], unit, handshake=True)
    assert decided(right).verdict == "proven"
    for bit in range(0, len(graphs["unit"].outputs), 7):
        wrong = pose(graphs["plain"], graphs["unit"].inverted(bit), unit, handshake=True)
        assert decided(wrong).verdict == "differs"


def test_a_gemm_tile_is_proven():
    spec = MacSpec("dint4", "int8", 20)
    size = {"rows": 1, "cols": 2, "depth": 16}
    found = prove("gemm", [spec], ["fused-digits"], limit_s=SOON, **size)
    assert found.ok, "\n".join(found.lines())


def test_other_registers_are_said_and_no_proof():
    found = prove("array", [DINT4], ["fused-booth4"], limit_s=SOON, rows=1, cols=1, decode="edge")
    assert [proof.verdict for proof in found.proofs] == ["undecided"]
    assert "not the same registers" in found.lines()[0]
    assert not found.ok


def rows(graph, x, y):
    """Product of two unsigned words, by a chain of adders for each bit of ``y``."""
    total = [FALSE] * (len(x) + len(y))
    for i, select in enumerate(y):
        carry = FALSE
        for k in range(i, len(total)):
            bit = graph.and_(x[k - i], select) if k - i < len(x) else FALSE
            either = graph.xor(total[k], bit)
            both = graph.and_(total[k], bit)
            total[k], carry = (
                graph.xor(either, carry),
                graph.any([both, graph.and_(either, carry)]),
            )
    return total


def test_polynomials_know_that_products_commute():
    n = 20  # together 40 inputs: too many to go through
    graph = Graph(2 * n)
    x, y = ([graph.input(n * word + k) for k in range(n)] for word in range(2))
    left, right = rows(graph, x, y), rows(graph, y, x)
    adders = Adders(graph, left + right)
    forms = [rewrite(Form.of_word(side), adders, 2 ** (2 * n)) for side in (left, right)]
    polynomials = Polynomials(Space(graph), adders)
    differ = forms[0].plus(forms[1], -1)
    assert polynomials.vanishes(differ, 2 ** (2 * n))
    assert not polynomials.vanishes(differ.plus(Form(1, {}), 1), 2 ** (2 * n))
    assert not polynomials.vanishes(differ.plus(Form(0, {x[0] >> 1: 1}), 1), 2 ** (2 * n))
    either = graph.any([x[0], y[0]])  # 1 - (1 - x)(1 - y)
    assert sorted(polynomials.of(either >> 1).values()) in ([-1, 1, 1], [-1, -1, 1, 1])


def test_an_output_that_is_missing_is_no_wire_of_the_inside():
    numbers = RequantizeSpec(8, 8)
    plain = to_aigs({"plain": Requantizer(numbers)})["plain"]
    more = replace(
        plain, outputs=(*plain.outputs, ("extra", 0)), output_lits=(*plain.output_lits, 0)
    )
    unit = Requantizer(numbers, "booth4", 1)
    for one in (Requantizer(numbers, "booth4"), unit):
        with pytest.raises(ValueError, match=r"^ports differ: "):
            pose(more, to_aigs({"unit": one})["unit"], one)


def test_styles_are_named_before_anything_is_proven():
    told = []
    with pytest.raises(ValueError, match=r"^unknown mac style 'nosuch'"):
        run(plan("mac", ["int4"], "int8", 32, "wrap"), ["nosuch"], jobs=1, tell=told.append)
    assert not told
