"""How the tables' rows are judged: orderings, checks and a claim's status."""

import pytest

from macsmith.experiments.quantized import compare, judge
from macsmith.experiments.quantized.checks import CHECKS
from macsmith.experiments.quantized.tables import TABLES


def made(*losses):
    """Rows as measured: a list of losses of pieces for each seed."""
    return [{"losses": list(line), "seed": k} for k, line in enumerate(losses)]


@pytest.mark.parametrize(
    ("better", "worse", "verdict"),
    [
        (made((1.0, 2.0), (1.1, 2.1)), made((1.2, 2.2), (1.3, 2.3)), "holds"),
        (made((1.2, 2.2), (1.3, 2.3)), made((1.0, 2.0), (1.1, 2.1)), "reversed"),
        (made((1.0, 2.0), (1.4, 2.4)), made((1.2, 2.2), (1.3, 2.3)), "within the spread"),
        (made((1.0, 2.4)), made((1.2, 2.3)), "within the spread"),  # pieces disagree
        (made((1.0,)), made((2.0,)), "within the spread"),  # one piece says nothing
        (made((1.0, 2.0)), made((1.0, 2.0)), "within the spread"),
    ],
)
def test_verdicts(better, worse, verdict):
    assert compare.compared(better, worse)["verdict"] == verdict


def result(*verdicts, points=1):
    return {
        "orderings": [{"verdict": v, "point": k < points} for k, v in enumerate(verdicts)],
        "checks": [],
    }


@pytest.mark.parametrize(
    ("verdicts", "points", "status"),
    [
        (("holds", "holds"), 1, 2),
        (("holds", "within the spread"), 1, 2),
        (("holds", "holds", "reversed"), 1, 1),
        (("within the spread", "holds"), 1, None),  # what the table is about does not show
        (("within the spread", "holds", "reversed", "reversed"), 1, 0),
        (("holds", "within the spread"), 2, 1),
        (("holds", "reversed", "reversed"), 1, 0),
        (("reversed", "holds", "holds"), 1, 0),
        (("within the spread", "reversed"), 1, 0),
        (("within the spread", "within the spread"), 1, None),
        ((), 0, None),
    ],
)
def test_status(verdicts, points, status):
    assert judge.status(result(*verdicts, points=points)) == status


def test_orderings_are_those_of_all_columns():
    """Table 3, OPT: SmoothQuant's is above AQAS' with OPTQ but for one column; LLaMA: for all."""
    pair = ("aqas-gptq-int4z", "smoothquant-gptq-int4z")
    assert pair not in judge.orderings(TABLES["table3"], "opt")
    assert pair in judge.orderings(TABLES["table3"], "llama")
    tie = ("aqas-gptq-dint4z", "aqas-gptq-int4z")  # 11.04 twice on OPT-30B
    assert tie in judge.orderings(TABLES["table3"], "opt")
    for family in ("opt", "llama"):
        pairs = judge.orderings(TABLES["table12"], family)
        assert pairs
        assert all(one.endswith("3z") == other.endswith("3z") for one, other in pairs)


@pytest.mark.parametrize(
    ("without_underflow", "verdict"), [(1.5, "holds"), (1.9, "reversed"), (2.5, "reversed")]
)
def test_the_check_of_fig4_can_fail(without_underflow, verdict):
    """The paper: 34 % of the loss in nats. Terms decide nothing."""
    terms = [{"underflow": u, "total": 2.0} for u in (0.1, 0.2)]
    loss = {"full": 1.0, "int4": 2.0, "dint4": 1.8, "without-rounding": 2.2,
            "without-underflow": without_underflow}  # fmt: skip
    rows = {
        ("m", name): [
            {"loss": x, "losses": [x - noise, x + noise], "layers": terms} for noise in (0.01, 0.02)
        ]
        for name, x in loss.items()
    }
    check = CHECKS["fig4"]("m", rows)
    assert check["verdict"] == verdict
    assert (
        "rounding out takes -20% of INT4's loss off (the paper, in nats too: -114%)"
        in check["text"]
    )
    assert "smaller in 0 of 4 layers (no verdict" in check["text"]
