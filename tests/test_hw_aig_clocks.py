"""Gated clocks as enables: what becomes of them, and each circuit that is refused."""

from dataclasses import replace

import pytest

from macsmith.hw.aig import FALSE, Aig, Graph
from macsmith.hw.aig_clocks import one_clock

CLK, EN, D, ENABLE, ACC, SEEN, GATE, MORE = (2 * var for var in range(1, 9))  # literals
REGISTERS = ("enable", "acc", "seen")

#: seen takes en at the rising edge, enable takes seen at the falling one, acc takes d if enabled.
GATED = Aig(
    (("clk", 0), ("en", 0), ("d", 0)),
    tuple((name, 0) for name in REGISTERS),
    (("q", 0),),
    (1, 2, 3),
    (4, 5, 6),
    (ACC,),
    (SEEN, D, EN),
    ((GATE >> 1, CLK, ENABLE),),
    (CLK ^ 1, GATE, CLK),
)


def changed(register, *, takes=None, clock=None, gates=GATED.gates):
    """The circuit with another next state or clock of a register."""
    k = REGISTERS.index(register)
    nexts, clocks = list(GATED.next_lits), list(GATED.clock_lits)
    nexts[k] = nexts[k] if takes is None else takes
    clocks[k] = clocks[k] if clock is None else clock
    return replace(GATED, next_lits=tuple(nexts), clock_lits=tuple(clocks), gates=gates)


def test_a_gated_register_keeps_its_value_or_takes_the_next():
    made = one_clock(GATED)
    assert made.registers == (("acc", 0), ("seen", 0))  # enable is no state
    assert set(made.clock_lits) == {made.clock_lits[0]}
    for code in range(16):
        en, d, acc, seen = (code >> k & 1 for k in range(4))
        # constants fold: literals 0 and 1 are the values
        shown, after, _ = Graph(0).copy(
            made, {"en": [en], "d": [d]}, {"acc": [acc], "seen": [seen]}
        )
        assert shown == {"q": [acc]}
        assert after == {"acc": [d if seen else acc], "seen": [en]}


def test_a_circuit_of_one_clock_stays():
    plain = replace(
        GATED, clock_lits=(CLK, CLK, CLK), next_lits=(SEEN, ENABLE, EN), output_lits=(ENABLE,)
    )
    assert one_clock(plain) is plain


@pytest.mark.parametrize(
    ("circuit", "why"),
    [
        (replace(GATED, output_lits=(CLK,)), r"q\[0\] depends on clk"),
        (replace(GATED, output_lits=(ENABLE,)), r"q\[0\] shows a register of the falling edge"),
        (
            changed("acc", takes=MORE, gates=(*GATED.gates, (MORE >> 1, CLK, D))),
            r"acc\[0\] takes what depends on clk",
        ),
        (changed("acc", takes=ENABLE), r"acc\[0\] takes a register of the falling edge"),
        (changed("seen", takes=ENABLE), r"seen\[0\] takes a register of the falling edge"),
        (changed("enable", takes=EN), r"enable\[0\] is on the falling edge .* depends on an input"),
        (changed("acc", clock=ENABLE), r"acc\[0\] has a clock that is not 0 while clk is"),
        (
            changed("acc", gates=((GATE >> 1, CLK, D),)),
            r"acc\[0\] has a clock that more than clk and falling-edge registers decide",
        ),
        (
            changed("acc", gates=((GATE >> 1, CLK, SEEN),)),
            r"acc\[0\] has a clock that more than clk and falling-edge registers decide",
        ),
        (changed("acc", clock=FALSE), r"acc\[0\] has a clock that more than clk"),
    ],
)
def test_refusals(circuit, why):
    with pytest.raises(ValueError, match=rf"^{why}") as caught:
        one_clock(circuit)
    assert "\n" not in str(caught.value)
