"""A Yosys that failed: by its design, or because it was not let finish."""

import pytest

from macsmith.hw.yosys import AbcError, YosysError, YosysKilled, _failure

ABC = 'ERROR: ABC: execution of script "./yosys-abc-x/abc.script" failed: return code {} (errno=0).'


@pytest.mark.parametrize(
    ("log", "status"),
    [("", -9), ("", -15), ("ERROR: whatever", -9), (ABC.format(137), 1), (ABC.format(143), 1)],
)
def test_a_killed_one_says_nothing_about_the_design(log, status):
    found = _failure(log, status)
    assert isinstance(found, YosysKilled)
    assert not isinstance(found, ValueError)
    assert "run again" in str(found)


@pytest.mark.parametrize(
    ("log", "status", "kind"),
    [
        (ABC.format(1), 1, AbcError),
        ("ABC: Error: no such cell", 1, AbcError),
        ("ERROR: syntax error", 1, YosysError),
        ("", -11, YosysError),  # it crashed, and will again
        ("", 1, YosysError),
    ],
)
def test_a_failure_is_the_designs(log, status, kind):
    assert type(_failure(log, status)) is kind
