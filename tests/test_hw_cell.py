"""`hw.cell`: what a flip-flop stores, and when, from its expressions."""

import pytest

from macsmith.hw.boolean import parse
from macsmith.hw.cell import FlipFlop


def flip_flop(next_state, clocked_on="CK"):
    return FlipFlop("IQ", "IQN", parse(clocked_on), parse(next_state), None, None)


@pytest.mark.parametrize(
    ("next_state", "data"),
    [
        ("D", "D"),
        ("!D", "D"),
        ("(D * E) + (IQ * E')", "D"),
        ("(D E') + (IQ E)", "D"),
        ("(D E) + (IQN' E')", "D"),
        ("(D' E) + (IQ E')", None),
        ("(D * E) + (IQN * E')", None),  # it toggles
        ("(D * E) + (IQ * E)", None),
        ("D * R", None),
        ("(D * SE') + (SI * SE)", None),
        ("(D E SE') + (IQ E' SE') + (SI SE)", None),
        ("IQN", None),
        ("1", None),
    ],
)
def test_what_a_flip_flop_stores(next_state, data):
    assert flip_flop(next_state).data == data


@pytest.mark.parametrize(
    ("clocked_on", "falling"), [("CK", False), ("CK'", True), ("!CK", True), ("A & B", None)]
)
def test_when_it_stores(clocked_on, falling):
    assert flip_flop("D", clocked_on).falling is falling
