# amaranth: UnusedElaboratable=no
"""The search over code maps, and what becomes of its result."""

import pytest

from macsmith.experiments.rearrange import rearrange, toml_of
from macsmith.hw.codemap import search, transistors
from macsmith.sim.catalog import get_format, load_format
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

#: INT3 with its codes thrown about: the search has something to gain.
SHUFFLED = Format("shuffled", 3, (3, -1, 0, -4, 2, -3, 1, -2))


def test_a_bad_map_is_improved_and_the_levels_stay():
    spec = MacSpec(SHUFFLED, "int4", 20)
    found = search(spec, "booth4", rounds=2, batch=12)
    assert sorted(found.best.fmt.levels) == sorted(SHUFFLED.levels)
    assert found.own.fmt is SHUFFLED
    assert found.best.transistors < found.own.transistors
    assert found.best.area < found.own.area
    assert found.tried > 4
    # Two's complement needs no decoder, and the search starts from it as well.
    plain = transistors([(MacSpec("int3", "int4"), "booth4")])
    assert found.best.transistors <= plain[0]


def test_the_same_seed_finds_the_same():
    spec = MacSpec("int2", "int4")
    once = search(spec, "dadda", rounds=1, batch=3, seed=5)
    assert search(spec, "dadda", rounds=1, batch=3, seed=5) == once


def test_the_own_map_wins_where_nothing_is_better():
    found = search(MacSpec("int3", "int4"), "plain", rounds=1, batch=8)
    assert found.own.transistors == 0  # a two's-complement code is its level
    assert found.best.area <= found.own.area


def test_the_result_is_a_format_file(tmp_path):
    path = tmp_path / "best.toml"
    result = rearrange("dint3", "int4", "digits", pdk="none", rounds=1, output=path)
    fmt = load_format(path)
    assert fmt.levels == result.found.best.fmt.levels
    assert sorted(fmt.levels) == sorted(get_format("dint3").levels)
    assert (fmt.width, fmt.frac_bits) == (3, 1)
    assert toml_of(fmt) == path.read_text()
    assert str(path) in result.lines()[-1]
    assert result.as_dict()["best"]["fmt"]["levels"] == list(fmt.levels)


def test_what_cannot_be_searched():
    with pytest.raises(ValueError, match=r"^the codes of int4z are distances from a zero point"):
        search(MacSpec("int4z", "int8"))
    with pytest.raises(ValueError, match=r"^multiplier style 'digits' cannot serve this: some"):
        search(MacSpec("int8", "int8"), "digits")
    with pytest.raises(ValueError, match=r"^rounds must be a positive integer, not 0$"):
        rearrange("dint3", rounds=0)
    one_bit = Format("one_bit", 1, (0, -1))
    with pytest.raises(ValueError, match=r"^one_bit has 2 codes: nothing to search$"):
        search(MacSpec(one_bit, "int8"), "plain")
