"""`hw.boolean`: what Liberty's expressions mean, and what is none."""

import pytest

from macsmith.hw.boolean import parse


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("!A", "A'"),
        ("A B", "A & B"),
        ("A*B+C", "(A & B) | C"),
        ("A^B*C", "(A ^ B) & C"),  # XOR binds tighter than AND
        ("!(A+B)", "A' B'"),
        ("(A B)'", "!A + !B"),
        ("A + 1", "1"),
        ("A & 0", "0"),
        ("!(A & \\\n  B)", "!(A & B)"),  # a line continued
        ("A \\\r\n | B", "A + B"),
    ],
)
def test_boolean_expressions(text, same):
    for code in range(8):
        env = {name: bool(code >> bit & 1) for bit, name in enumerate("ABC")}
        assert parse(text).evaluate(env) == parse(same).evaluate(env), (text, env)


@pytest.mark.parametrize("text", ["A +", "(A", "A)", "", "A & $"])
def test_boolean_expression_that_makes_no_sense(text):
    with pytest.raises(ValueError, match=r"^Boolean expression .*: wanted .*, got "):
        parse(text)


def test_parentheses_may_be_as_deep_as_they_like():
    assert parse("(" * 5000 + "!(A&B)" + ")" * 5000) == parse("!(A&B)")


def test_operators_may_not():
    with pytest.raises(ValueError, match=r"^Boolean expression '!!!.*: more than 200 deep"):
        parse("!" * 5000 + "A")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("A * B ^ C", "A*(B^C)"),
        ("A' + B C", "!A+(B*C)"),
        ("!(A B)'", "!!(A*B)"),
        ("A + B + 0", "(A+B)+0"),
        ("(IQ)", "IQ"),
    ],
)
def test_what_is_written_reads_the_same(text, written):
    assert str(parse(text)) == written
    assert parse(written) == parse(text)
