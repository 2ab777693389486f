"""Levels as sums of few signed powers of two: every level is made, and by the cheapest rows."""

from itertools import combinations, product

import pytest

from macsmith.hw.digit_plan import MOST_BITS, Row, plan
from macsmith.sim.catalog import FORMATS

SMALL = [fmt for fmt in FORMATS.values() if not fmt.zero_pointed and fmt.level_width <= MOST_BITS]


@pytest.mark.parametrize("fmt", SMALL, ids=lambda fmt: fmt.name)
def test_the_digits_of_a_level_are_its_rows_and_add_up(fmt):
    found = plan(frozenset(fmt.levels))
    if found is None:
        assert fmt.name == "int8"
        return
    words = set()
    for level in fmt.levels:
        digits = found.digits[level]
        assert sum(digits) == level
        word, read = found.word(level), []
        words.add(word)
        for row in found.rows:
            code, word = word % 2**row.width, word >> row.width
            sign = -1 if row.signed and code >> len(row.choices) else 1
            chosen = [x for k, x in enumerate(row.choices) if code >> k & 1]
            assert len(chosen) <= 1  # a multiplexer of AND and OR
            assert sign == 1 or chosen  # 0 has no sign: it would turn a whole row
            read.append(sign * sum(chosen))
        assert tuple(read) == digits
        assert word == 0
    assert len(words) == len(set(fmt.levels))
    assert max(words) < 2**found.width


@pytest.mark.parametrize("fmt", SMALL, ids=lambda fmt: fmt.name)
def test_lowest_are_the_digits_with_a_bit_in_their_rows_lowest_place(fmt):
    found = plan(frozenset(map(abs, fmt.levels)))
    if found is None:
        assert fmt.name == "int8"
        return
    seen = set()
    for digits in found.digits.values():
        reach = [abs(d) >> row.low for d, row in zip(digits, found.rows, strict=True)]
        assert found.lowest(digits) == [x % 2 == 1 for x in reach]
        seen |= set(found.lowest(digits))
    assert seen == {True, False}


def test_the_main_formats_take_two_rows_and_dint4_one_choice_more():
    rows = {name: plan(frozenset(FORMATS[name].levels)).rows for name in ("int4", "dint4")}
    assert [len(r) for r in rows.values()] == [2, 2]
    choices = {name: sum(len(row.choices) for row in r) for name, r in rows.items()}
    assert choices == {"int4": 7, "dint4": 7}  # INT4 needs -8, for which dINT4 has no use
    assert all(not row.signed for r in rows.values() for row in r)


def test_no_other_pair_of_rows_is_cheaper():
    """Every pair of rows of a small space, tried without any bound."""
    levels = frozenset({0, 2, 4, 6, 1, -1, -4, -2})  # dINT3's
    powers = (1, 2, 4, 8)
    either = (*powers, *(-x for x in powers))
    rows = [Row(c, True) for n in range(1, 5) for c in combinations(powers, n)]
    rows += [Row(tuple(sorted(c)), False) for n in range(1, 5) for c in combinations(either, n)]
    costs = [
        a.cost + b.cost
        for a, b in product(rows, rows)
        if levels <= {x + y for x in a.digits for y in b.digits}
    ]
    assert sum(row.cost for row in plan(levels).rows) == min(costs)


def test_what_has_no_plan():
    assert plan(frozenset(range(-128, 128))) is None
    assert plan(frozenset({0, 2**MOST_BITS})) is None
    assert plan(frozenset({0, 1})).rows == (Row((1,), False),)
