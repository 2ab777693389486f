"""How often weights are what: normal ones, rounded to a format's levels."""

from statistics import NormalDist

import pytest

from macsmith.hw.likely import SIGMAS, likelihoods, ones
from macsmith.sim.catalog import FORMATS


@pytest.mark.parametrize("name", FORMATS)
def test_likelihoods_are_a_distribution_over_the_levels(name):
    found = likelihoods(FORMATS[name])
    assert set(found) == set(FORMATS[name].levels)
    assert sum(found.values()) == pytest.approx(1)
    assert min(found.values()) >= 0


def test_small_levels_are_likely_by_the_width_of_what_is_rounded_to_them():
    found, normal = likelihoods(FORMATS["dint4_sr"]), NormalDist(0, 12 / SIGMAS)
    assert found[0] == pytest.approx(normal.cdf(0.5) - normal.cdf(-0.5))
    assert found[1] == pytest.approx(normal.cdf(1.5) - normal.cdf(0.5))
    assert found[12] == pytest.approx(1 - normal.cdf(11))
    assert all(found[level] == pytest.approx(found[-level]) for level in found)


def test_a_row_is_as_often_1_as_it_takes_something_by_half():
    fmt = FORMATS["int2"]  # -2, -1, 0, 1
    likely = likelihoods(fmt)
    never, small, always = ones(fmt, lambda level: (0, abs(level) == 1, 4))
    assert never == 0
    assert small == pytest.approx((likely[1] + likely[-1]) / 2)
    assert always == pytest.approx(0.5)
