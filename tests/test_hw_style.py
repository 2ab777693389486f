# amaranth: UnusedElaboratable=no
"""The registry of styles."""

import pytest

import macsmith.hw.styles
from macsmith.hw import style
from macsmith.hw.array import SystolicArray
from macsmith.hw.decoder import Decoder
from macsmith.hw.dot import DotProduct
from macsmith.hw.gemm import Gemm
from macsmith.hw.mac import MACS, Mac
from macsmith.hw.multiplier import Multiplier
from macsmith.hw.requantizer import Requantizer
from macsmith.hw.shared import SharedMultiples
from macsmith.hw.style import Styles


def test_styles_by_name_and_by_what_they_serve():
    styles = Styles("widget", int)

    @styles.add("plain")
    def plain(m, unit):
        """Any."""

    @styles.add("even", latency=2, refuses=lambda n: f"{n} is odd" if n % 2 else "")
    def even(m, unit):
        """Even only."""

    assert styles.names() == ["plain", "even"]
    assert styles.names(3) == ["plain"]
    assert styles.get("plain", 3).build is plain
    assert styles.get("even", 4).latency == 2
    with pytest.raises(ValueError, match=r"^widget style 'even' cannot serve this: 3 is odd$"):
        styles.get("even", 3)
    with pytest.raises(ValueError, match=r"^unknown widget style 'evn'; the nearest is 'even'$"):
        styles.get("evn", 4)
    with pytest.raises(ValueError, match=r"^unknown widget style 'xyzzy'; there are plain, even$"):
        styles.get("xyzzy", 4)
    with pytest.raises(ValueError, match=r"^widget style 'even' exists already$"):
        styles.add("even")


UNITS = (
    Decoder, Multiplier, Mac, DotProduct, SharedMultiples, SystolicArray, Gemm, Requantizer,
)  # fmt: skip


@pytest.mark.parametrize("make", UNITS)
@pytest.mark.parametrize("subject", ["int8", 8, None])
def test_what_a_unit_is_not_made_from_is_refused_in_one_line(make, subject):
    with pytest.raises(TypeError, match=rf"^\w+ is made from a \w+, not from {subject!r}$"):
        make(subject)


def test_a_file_of_styles_that_cannot_be_imported_is_named(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.setattr(macsmith.hw.styles, "__path__", [str(tmp_path)])
    style._discover.cache_clear()
    with pytest.raises(ValueError, match=r"^macsmith\.hw\.styles\.broken: ModuleNotFoundError: No"):
        list(MACS)
    monkeypatch.undo()
    assert MACS.names()
