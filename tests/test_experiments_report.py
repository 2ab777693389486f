"""Reports: whole, self-contained, and honest about what was not measured."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from macsmith.experiments import hardware, reproduce
from macsmith.experiments.claims import CLAIMS
from macsmith.experiments.report import Report, judge, write
from macsmith.experiments.store import provenance
from macsmith.sim.engine import PATHS, int8_is_exact

FILES = ("report.html", "report.json", "report.md")


def external(html):
    """What a browser would have to fetch."""
    return [
        url
        for url in re.findall(r"(?:src|href)\s*=\s*[\"']?([^\"'>\s]+)", html)
        if not url.startswith(("data:", "#"))
    ]


def test_one_claim(tmp_path):
    report = reproduce.reproduce(["definition"], quick=True, output=tmp_path / "r", quiet=True)
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == sorted(FILES)
    assert [c["status"] for c in report.claims] == ["reproduced"]
    data = json.loads((tmp_path / "r" / "report.json").read_text())
    assert data["provenance"]["versions"]["torch"]
    assert sum(row["points"] for row in data["results"]["definition"]) > 1000
    html = (tmp_path / "r" / "report.html").read_text()
    assert external(html) == []
    assert "dint4_sm" in html


def test_without_any_library(tmp_path):
    rows = [hardware.Job(None, "equal", weights).run() for weights in ("int8", "dint4")]
    results = {"hardware": {"rows": rows, "ratios": hardware.ratios(rows)}}
    claims = judge(results, ["area", "power"])
    write(Report(True, 1.0, claims, results, provenance()), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "NAND2 equivalents (transistors over 4" in text
    assert "generic gates" in text
    assert not (tmp_path / "pareto.png").exists()


def test_unwritable_output_is_found_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "_run", lambda *_: pytest.fail("worked first"))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        reproduce.reproduce([], quick=True, output=tmp_path / "file", quiet=True)


def test_numbers_of_the_paper_stay_out_of_what_measures():
    """Only `claims` knows them."""
    import macsmith.experiments as package

    folder = next(iter(package.__path__))
    for path in Path(folder).glob("*.py"):
        if path.name != "claims.py":
            text = path.read_text()
            assert not re.search(r"\b(86\.33|44\.57|0\.1595|0\.0624)\b", text), path


@pytest.mark.slow
def test_the_main_job(tmp_path):
    """`macsmith reproduce --quick` as on a fresh machine: every claim, a whole report, status 0."""
    env = {name: value for name, value in os.environ.items() if name != "MACSMITH_PDK_PATH"}
    run = subprocess.run(
        [
            Path(sys.executable).with_name("macsmith"),
            "reproduce",
            "--quick",
            "-o",
            tmp_path,
            "--json",
        ],
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    assert run.returncode == 0, run.stderr
    data = json.loads(run.stdout)
    assert {c["id"] for c in data["claims"]} == {c.id for c in CLAIMS.values() if not c.long}
    status = {c["id"]: c["status"] for c in data["claims"]}
    assert status["equality"] == status["definition"] == "reproduced"
    backends = {row["backend"] for row in data["results"]["equality"]["rows"] if row["products"]}
    paths = {f"engine {path}" for path in PATHS if path != "int8" or int8_is_exact()}
    assert paths | {"torch"} <= backends
    for model in data["results"]["accuracy"]["models"]:
        ppl = {(r["recipe"], r["execution"]): r["ppl"] for r in model["rows"]}
        assert ppl[None, "float"] < model["bigram"] < model["unigram"]
        for recipe in ("w8a8-rtn", "w4a8-rtn-int4", "w4a8-rtn-dint4"):
            assert ppl[recipe, "exact"] == pytest.approx(ppl[recipe, "float"], rel=2e-3)
    html = (tmp_path / "report.html").read_text()
    assert external(html) == []
    assert (tmp_path / "pareto.png").exists() == any(
        row["dynamic_pj"] for row in data["results"]["hardware"]["rows"]
    )
