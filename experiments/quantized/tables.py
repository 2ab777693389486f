"""Which rows each claim measures, on which models, and where the paper prints them."""

from dataclasses import dataclass

from macsmith.experiments.quantized.papers import Printed, printed

__all__ = ["TABLES", "Row", "Table"]

#: Those with outliers first: what a quick run takes is nearest to the papers' large models.
_ALL = ("opt-mini+outliers", "llama-mini+outliers", "opt-mini", "llama-mini", "stories260K")


@dataclass(frozen=True)
class Row:
    """A line of a table: a recipe, and how it is named where it is printed.

    `part`: rows are compared with those of their own part only. The others: see `frame.Point`.
    """

    name: str
    recipe: str
    part: str = ""
    grouped: bool = False
    length: int | None = None
    errors: str = "all"
    layers: str = ""

    @property
    def how(self) -> str:
        """The recipe with what it has here that the preset has not; groups: see `frame.Subject`."""
        return (
            self.recipe
            + ", in groups" * self.grouped
            + f", errors {self.errors!r}" * (self.errors != "all")
            + (f", length {self.length}" if self.length else "")
        )


@dataclass(frozen=True)
class Table:
    """A claim's rows.

    Attributes
    ----------
    id, sentence, source : str
    rows : tuple of Row
    paper : tuple of str
        The paper's tables that have them; none where it could not be read.
    subjects : tuple of str
        Models.
    quick : int
        How many of them, the first, a quick run takes.
    point : tuple of (better, worse)
        Rows' names: what the table is there to show.
    orders : tuple of (better, worse)
        What is held against the measurement where no table could be read.
    higher : bool
        Whether the paper's numbers are accuracies.
    window : int, optional
        Tokens of an evaluation window, where that is the point.
    note : str
        What of the paper's is not measured, and why.
    """

    id: str
    sentence: str
    source: str
    rows: tuple[Row, ...]
    paper: tuple[str, ...]
    subjects: tuple[str, ...]
    point: tuple[tuple[str, str], ...]
    quick: int = 1
    orders: tuple[tuple[str, str], ...] = ()
    higher: bool = False
    window: int | None = None
    note: str = ""

    def printed(self) -> Printed:
        """The paper's numbers of all rows; empty where there are none."""
        found = [printed(name) for name in self.paper]
        rows = {name: line for one in found for name, line in one.rows.items()}
        return Printed(rows, found[0].full if found else {})


def _lee(number: str, prefix: str, part: str = "", grouped: bool = False) -> tuple[Row, ...]:
    """The rows of a table of Lee et al.: the presets `prefix-steps-format` by their names."""
    names = printed(number).rows
    return tuple(Row(name, f"{prefix}-{name}", part, grouped) for name in names)


def _lengths(*lengths: int) -> tuple[Row, ...]:
    """Table 1's rows: OPTQ without and with AQAS, for each length of calibration."""
    return tuple(
        Row(f"{steps}-int4z@{length}", f"w4a8-{steps}-int4z", steps, length=length, layers="ratios")
        for steps in ("gptq", "aqas-gptq")
        for length in lengths
    )


def _widths(*steps: str) -> tuple[Row, ...]:
    """W8A8, W4A8 and W3A8 by each of ``steps``, a part for each."""
    found = {"W8A8": "int8", "W4A8": "int4z", "W3A8": "int3z"}
    return tuple(
        Row(name, name if part == "W8A8" else f"{name}-{fmt}", part)
        for part, fmt in found.items()
        for name in (f"{part.lower()}-{one}" for one in steps)
    )


_AWEQ = tuple(
    (f"{width}-aweq", f"{width}-{other}")
    for width in ("w8a8", "w4a8", "w3a8")
    for other in ("rtn", "smoothquant")
)
_DAQ_BASELINES = ("rtn", "gptq", "awq")
_TABLES = (
    Table(
        "table3",
        "W4A8V4: AQAS with OPTQ loses less than SmoothQuant, AWQ and no scales, with dINT4 "
        "less than with INT4.",
        "Table 3",
        _lee("3", "w4a8v4"),
        ("3",),
        _ALL,
        (
            ("aqas-gptq-dint4z", "aqas-gptq-int4z"), ("aqas-gptq-int4z", "aqas-int4z"),
            ("aqas-gptq-int4z", "smoothquant-gptq-int4z"), ("aqas-gptq-int4z", "awq-gptq-int4z"),
            ("aqas-gptq-int4z", "gptq-int4z"),
        ),
    ),
    Table(
        "table9",
        "W4A8V4 by AQAS and OPTQ: which special value dINT4 has, of 1/2, 1/4 and 1/8 of a step, "
        "matters little.",
        "Table 9",
        _lee("9", "w4a8v4"),
        ("9",),
        _ALL,
        (),  # the paper's OPT columns agree on no order
    ),
    Table(
        "table10",
        "W3A8V3: dINT3 loses less than INT3, before and after AQAS with OPTQ.",
        "Table 10",
        _lee("10", "w3a8v3"),
        ("10",),
        _ALL,
        (("rtn-dint3z", "rtn-int3z"), ("aqas-gptq-dint3z", "aqas-gptq-int3z")),
    ),
    Table(
        "table12",
        "Weights only, in groups: dINT loses less than INT by every method, at 3 and at 4 bits, "
        "and than FP4.",
        "Tables 11 and 12",
        (
            *_lee("11", "w3a16", "W3A16", grouped=True),
            *_lee("12", "w4a16", "W4A16", grouped=True),
        ),
        ("11", "12"),
        _ALL,
        (
            *((f"{steps}-dint3z", f"{steps}-int3z") for steps in ("rtn", "gptq", "awq")),
            *((f"{steps}-dint4z", f"{steps}-int4z") for steps in ("rtn", "gptq")),
            ("gptq-dint4z", "gptq-fp4_e3m0"),
        ),
    ),
    Table(
        "table13",
        "Weights only, per channel: dINT4 loses less than any FP4, of which 1-3-0 loses least.",
        "Table 13",
        _lee("13", "w4a16"),
        ("13",),
        _ALL,
        (
            ("rtn-dint4z", "rtn-fp4_e3m0"), ("rtn-fp4_e3m0", "rtn-fp4_e2m1"),
            ("rtn-fp4_e2m1", "rtn-fp4_e1m2"),
        ),
        quick=4,
    ),
    Table(
        "table14",
        "Weights only, one scale per channel: dINT4 loses less than INT4 and FP4, before and after "
        "OPTQ.",
        "Table 14",
        _lee("14", "w4a16"),
        ("14",),
        _ALL,
        (
            ("rtn-dint4z", "rtn-int4z"),
            ("gptq-dint4z", "gptq-int4z"), ("gptq-dint4z", "gptq-fp4_e3m0"),
        ),
    ),
    Table(
        "fig4",
        "Of INT4's weight errors underflow costs more than rounding, and dINT4 lessens it.",
        "section 4.1, Eq. 4, Fig. 4",
        (
            Row("int4", "w4a8v4-aqas-int4z", layers="terms"),
            Row("without-rounding", "w4a8v4-aqas-int4z", errors="without-rounding"),
            Row("without-underflow", "w4a8v4-aqas-int4z", errors="without-underflow"),
            Row("dint4", "w4a8v4-aqas-dint4z", layers="terms"),
        ),
        ("4a",),
        _ALL,
        (("without-underflow", "without-rounding"), ("dint4", "int4")),
        note="Fig. 4a's INT4 is the paper's AQAS without OPTQ, its dINT4 that with OPTQ (INT4 with "
        "it: 12.97, Table 3); here both are without",
    ),
    Table(
        "slac",
        "Calibration as long as the task's text is best, and with AQAS its length matters less.",
        "section 3.3, Table 1",
        _lengths(64, 128, 512),
        ("1",),
        ("llama-mini+outliers", "llama-mini", "opt-mini+outliers", "opt-mini", "stories260K"),
        tuple(
            (f"{steps}-int4z@128", f"{steps}-int4z@{other}")
            for steps in ("gptq", "aqas-gptq")
            for other in (64, 512)
        ),
        higher=True,
        window=128,
        note="the paper's row of 2,048 tokens cannot be shown: the longest context of these models "
        "is 512",
    ),
    Table(
        "aweq",
        "AWEQ loses less than rounding and than SmoothQuant, with 8-bit weights and with fewer.",
        "AWEQ (Li et al. 2023), abstract: its tables could not be read, its formula is ours",
        _widths("rtn", "smoothquant", "aweq"),
        (),
        _ALL,
        _AWEQ,
        orders=_AWEQ,
    ),
    Table(
        "atq",
        "W8A8 by ATQ raises perplexity by less than 1, and less than rounding and SmoothQuant do.",
        "ATQ (Findings of EMNLP 2024), abstract: its tables could not be read, the transform is "
        "ours",
        tuple(Row(f"w8a8-{s}", f"w8a8-{s}") for s in ("rtn", "gptq", "smoothquant", "atq")),
        (),
        _ALL,
        (("w8a8-atq", "w8a8-rtn"), ("w8a8-atq", "w8a8-smoothquant")),
        orders=tuple(("w8a8-atq", f"w8a8-{s}") for s in ("rtn", "gptq", "smoothquant")),
    ),
    Table(
        "daq",
        "Weights only, NF4: DAQ takes a part of the best baseline's loss off.",
        "DAQ (Luo et al. 2024), abstract: its tables could not be read, the method is its code's",
        tuple(Row(f"{s}-nf4", f"w4a16-{s}-nf4") for s in (*_DAQ_BASELINES, "daq", "awq-daq")),
        (),
        _ALL,
        (),
        orders=(
            *(("daq-nf4", f"{s}-nf4") for s in _DAQ_BASELINES),
            ("awq-daq-nf4", "awq-nf4"),
        ),
    ),
)  # fmt: skip
TABLES = {table.id: table for table in _TABLES}
