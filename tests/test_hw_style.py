"""The registry of styles."""

import pytest

from macsmith.hw.style import Styles


def test_styles_by_name_and_by_what_they_serve():
    styles = Styles("widget")

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
