"""Kept rows: what is damaged is measured again."""

import json

import pytest

from macsmith.experiments.kept_rows import measured, row_in

POINTS = ("one", "two")


def measure(point):
    return {"name": point, "area": 2.5}


def keep(folder):
    files = [(point, folder / f"{point}.json") for point in POINTS]
    assert sorted(measured(measure, files, 1, "fork")) == [
        (k, measure(p)) for k, p in enumerate(POINTS)
    ]
    return [file for _, file in files]


def test_rows_are_read_as_they_were_written(tmp_path):
    assert [row_in(file) for file in keep(tmp_path)] == [measure(point) for point in POINTS]
    assert row_in(tmp_path / "none.json") is None


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "3", "null", '{"label": "x"}', '{"row": 1}'])
def test_what_is_no_row_is_none(tmp_path, text):
    file, _ = keep(tmp_path)
    file.write_text(text)
    assert row_in(file) is None


def test_a_changed_number_is_noticed(tmp_path):
    file, other = keep(tmp_path)
    kept = json.loads(file.read_text())
    kept["row"]["area"] = 1.0
    file.write_text(json.dumps(kept))
    assert row_in(file) is None
    kept["row"]["area"] = 2.5
    file.write_text(json.dumps(kept))
    assert row_in(file) == measure("one")
    file.write_text(other.read_text())  # whole, but of another point: its name tells, not this
    assert row_in(file) == measure("two")
