"""Cells kept on disk: what is read again equals what was built, and nothing damaged is read."""

import pytest
from technology import needs_osu018

from macsmith.hw import liberty_cache, pdk
from macsmith.hw.liberty import Library
from macsmith.hw.liberty_text import read


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder of caches, empty, and cells of every file kept there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(liberty_cache, "LEAST", 0)
    return lambda: sorted(path for path in tmp_path.rglob("*") if path.is_file())


def library():
    """The library as a process that has read nothing yet reads it."""
    found = pdk.find("osu018")
    return Library([read(file) for file in found.files], found.name, found.dont_use)


@pytest.fixture
def no_build(monkeypatch):
    """Any cell that is built, and not read, fails the test."""
    return lambda: monkeypatch.setattr(
        "macsmith.hw.liberty.build_cell", lambda *_: pytest.fail("built again")
    )


@needs_osu018
def test_a_second_process_reads_what_the_first_one_built(kept, no_build):
    built = {name: library().cell(name) for name in library().names}
    assert len(kept()) == len(built) > 20
    no_build()
    again = library()
    assert {name: again.cell(name) for name in again.names} == built


@needs_osu018
@pytest.mark.parametrize("damage", ["cut", "bit", "empty"])
def test_a_damaged_cell_is_built_again(kept, damage, no_build):
    cell = library().cell("NAND2X1")
    (file,) = kept()
    content = file.read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    file.write_bytes({"cut": content[:-9], "bit": flipped, "empty": b""}[damage])
    assert liberty_cache.recall(library().texts[0].sha256, "NAND2X1") is None
    assert library().cell("NAND2X1") == cell
    assert file.read_bytes() == content
    no_build()
    assert library().cell("NAND2X1") == cell


@needs_osu018
def test_other_content_and_other_code_have_other_cells(kept, tmp_path, monkeypatch):
    source = pdk.find("osu018").files[0]
    library().cell("INVX1")
    changed = tmp_path / "changed.lib"
    text = read(source).text
    at = text.index("area", text.index("INVX1"))
    changed.write_text(text[:at] + text[at:].replace("area : 16", "area : 17", 1))
    assert Library([read(changed)], "changed").cell("INVX1") != library().cell("INVX1")
    monkeypatch.setattr(liberty_cache, "_code", lambda: "edited")
    assert liberty_cache.recall(library().texts[0].sha256, "INVX1") is None


@needs_osu018
def test_without_a_folder_to_write_nothing_is_kept_and_nothing_fails(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(liberty_cache, "LEAST", 0)
    assert library().cell("INVX1").name == "INVX1"


@needs_osu018
def test_small_files_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(liberty_cache, "LEAST", 10**9)
    library().cell("INVX1")
    assert list(tmp_path.iterdir()) == []
