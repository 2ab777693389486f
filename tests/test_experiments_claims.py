"""Verdicts, from results made up to be good, middling and bad."""

import pytest

from macsmith.experiments.claims import (
    AREA_RATIO,
    CLAIMS,
    PAPER_MACS,
    POWER_RATIO,
    STATUSES,
    nearest_claim,
)
from macsmith.experiments.hardware import ratios
from macsmith.experiments.report import Report, judge


def hardware(area, energy):
    ratio = {
        "library": "lib", "condition": "equal", "weights": "dint4",
        "area_ratio": area, "energy_ratio": energy,
    }  # fmt: skip
    return {"hardware": {"ratios": [ratio]}}


def test_the_papers_ratios():
    """86.33 / 44.57 and 0.1595 / 0.0624; what the paper prints is within its rounding."""
    for k, printed in enumerate((AREA_RATIO, POWER_RATIO)):
        assert PAPER_MACS["int8"][k] / PAPER_MACS["dint4"][k] == pytest.approx(printed, abs=0.01)


@pytest.mark.parametrize(
    ("area", "status"),
    [(1.93, 2), (1.75, 2), (1.70, 1), (1.47, 1), (1.46, 0), (0.99, 0), (None, None)],
)
def test_area(area, status):
    verdict = CLAIMS["area"].judge(hardware(area, None))
    assert verdict.status == ("not measured" if status is None else STATUSES[status])


def test_a_wrong_netlist_supports_no_ratio():
    results = hardware(1.93, 2.56)
    results["hardware"]["rows"] = [{"netlist_different": 0}, {"netlist_different": 7}]
    for claim in ("area", "power"):
        verdict = CLAIMS[claim].judge(results)
        assert (verdict.status, verdict.finding[:9]) == (STATUSES[0], "7 results")


def accuracy(full, int4, dint4):
    rows = [{"recipe": None, "execution": "float", "ppl": full}]
    for fmt, ppl in (("int4", int4), ("dint4", dint4), ("int4z", int4), ("dint4z", dint4)):
        rows.append({"recipe": f"w4a8-rtn-{fmt}", "execution": "exact", "ppl": ppl})
    return {"model": "m", "rows": rows}


@pytest.mark.parametrize(
    ("models", "status"),
    [([(10, 12, 11)], 2), ([(10, 12, 11), (10, 11, 12)], 1), ([(10, 11, 12)], 0)],
)
def test_accuracy(models, status):
    results = {"accuracy": {"models": [accuracy(*m) for m in models]}}
    assert CLAIMS["accuracy"].judge(results).status == STATUSES[status]


def equality_row(backend, mismatches=0, products=10):
    return {"weights": "int8", "backend": backend, "mismatches": mismatches, "products": products}


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([equality_row("netlist x"), equality_row("RTL icarus")], 2),
        ([equality_row("netlist x"), equality_row("RTL icarus", products=0)], None),
        ([equality_row("netlist x"), equality_row("RTL icarus", mismatches=1)], 0),
        ([equality_row("netlist x"), equality_row("RTL icarus", mismatches=1, products=0)], 0),
        ([], 0),
    ],
)
def test_equality(rows, status):
    expected = "not measured" if status is None else STATUSES[status]
    assert CLAIMS["equality"].judge({"equality": {"rows": rows}}).status == expected


def test_worse_than_recorded_is_a_regression():
    results = {"definition": [{"mismatches": 1, "points": 10}]}
    report = Report(True, 0.0, judge(results, ["definition"]), results, {})
    assert len(report.regressions) == 1
    assert (
        "claim 'definition' is not reproduced, but reproduced is recorded" in report.regressions[0]
    )
    results = hardware(1.5, None)  # "partly" is what is recorded
    assert not Report(True, 0.0, judge(results, ["area"]), results, {}).regressions


def test_nothing_compared_is_not_reproduced():
    assert CLAIMS["definition"].judge({"definition": []}).status == STATUSES[0]


def test_unknown_claim():
    with pytest.raises(ValueError, match=r"^unknown claim 'powr'; the nearest is 'power'$"):
        nearest_claim("powr")


def mac(weights, **more):
    row = {
        "library": "lib", "condition": "equal", "weights": weights, "clock_ps": 1.0, "met": True,
        "area_um2": 10.0, "area_nand2": 5.0, "dynamic_pj": 2.0, "leakage_pj": 0.0,
    }  # fmt: skip
    return row | more


def test_ratios_count_only_where_both_clocks_are_met():
    found = ratios([mac("int8", area_um2=20.0), mac("int4"), mac("dint4", met=False)])
    assert [r["area_ratio"] for r in found] == [2.0, None]
    assert [r["energy_ratio"] for r in found] == [1.0, None]


def test_ratios_without_a_library_are_of_nand2():
    bare = {"library": None, "met": None, "area_um2": None, "dynamic_pj": None, "leakage_pj": None}
    found = ratios([mac("int8", area_nand2=15.0, **bare), mac("int4", **bare)])
    assert (found[0]["area_ratio"], found[0]["energy_ratio"]) == (3.0, None)
