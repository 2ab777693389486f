"""The papers' own numbers for quantized models: here and nowhere else.

Lee et al., EMNLP 2023 (arXiv 2311.05161): WikiText perplexities, but for Table 1's accuracies in
percent. A row is `steps-format`, formats by the catalogue's names; `full` is FP16.
The code that measures does not see them; `judge` and the report do.
"""

from dataclasses import dataclass
from functools import cache

__all__ = ["ATQ_INCREASE", "DAQ", "TABLES", "Printed", "printed"]  # fmt: skip

_TEXT = {
    # LLaMA-7B, W4A8, mean accuracy of PIQA, WinoGrande and ARC-e; after @: calibration length.
    "1": """
        model                 llama-7b
        gptq-int4z@64            68.14
        aqas-gptq-int4z@64       69.99
        gptq-int4z@128           69.89
        aqas-gptq-int4z@128      70.48
        gptq-int4z@512           65.96
        aqas-gptq-int4z@512      68.92
        gptq-int4z@2048          65.19
        aqas-gptq-int4z@2048     70.20
    """,
    "3": """
        model                  opt-125m opt-1.3b opt-2.7b opt-6.7b opt-13b opt-30b llama-7b llama-13b llama-30b
        full                      31.95    16.41    14.32    12.29   11.50   10.67     5.68      5.09      4.10
        rtn-int4z                 42.78    35.17    24.03    15.52   36.43  150.94     6.87      6.14      5.52
        gptq-int4z                36.04    19.35    15.61    15.16   15.82   25.23     7.57      5.85      5.13
        smoothquant-int4z         41.31    23.48    33.86  1596.83  897.25   19.43     7.08      6.27      6.17
        smoothquant-gptq-int4z    36.22    17.70    15.22    12.82   11.93   11.06     8.26      5.91      5.11
        awq-int4z                 44.17    25.04    15.88   322.85  670.00 4246.25     6.75      5.84      5.26
        awq-gptq-int4z            39.10    19.35    16.00   432.74  183.83 4848.16     6.52      5.78      5.02
        aqas-int4z                36.57    17.68    15.34    13.42   12.19   11.08     6.69      5.81      5.14
        aqas-gptq-int4z           35.62    17.48    15.08    12.97   12.08   11.04     6.60      5.71      5.07
        aqas-gptq-dint4z          34.92    17.28    15.03    12.89   11.98   11.04     6.48      5.67      4.72
    """,  # noqa: E501
    # Fig. 4a. INT4 is Table 3's AQAS without OPTQ, dINT4 its AQAS with OPTQ.
    "4a": """
        model             opt-6.7b
        int4                 13.42
        without-rounding     14.84
        without-underflow    13.02
        dint4                12.89
    """,
    "9": """
        model               opt-125m opt-1.3b opt-2.7b opt-6.7b llama-7b
        aqas-gptq-dint4z       34.92    17.28    15.03    12.89     6.48
        aqas-gptq-dint4z_c4    35.84    17.22    14.96    12.83     6.28
        aqas-gptq-dint4z_c8    35.20    17.23    14.97    12.84     6.32
    """,
    "10": """
        model             opt-125m opt-2.7b opt-6.7b llama-7b
        rtn-int3z            1.7e3    4.3e4    1.2e4    94.97
        rtn-dint3z          127.94    8.7e3    55.24    10.99
        aqas-gptq-int3z      54.84    36.38    69.45    24.85
        aqas-gptq-dint3z     46.34    20.67    17.42    10.04
    """,
    "11": """
        model        opt-125m opt-1.3b opt-2.7b opt-6.7b opt-13b
        rtn-int3z       58.37   195.10   499.39    39.18   29.37
        gptq-int3z      41.93    18.53    15.79    13.13   12.01
        awq-int3z       41.45    18.56    15.63    12.99   12.03
        rtn-dint3z      54.53    21.70    24.15    15.80   13.14
        gptq-dint3z     39.60    18.26    15.52    12.99   11.91
        awq-dint3z      39.46    18.29    15.47    12.97   12.03
    """,
    "12": """
        model         opt-125m opt-1.3b opt-2.7b opt-6.7b opt-13b
        rtn-int4z        35.52    17.69    15.12    13.02   11.89
        gptq-int4z       34.23    16.92    14.69    12.51   11.60
        awq-int4z        33.96    16.85    14.61    12.44   11.60
        rtn-fp4_e3m0     39.13    18.25    15.54    13.35   12.14
        gptq-fp4_e3m0    37.42    18.06    15.19    12.84   11.91
        rtn-dint4z       34.40    17.06    14.83    12.75   11.79
        gptq-dint4z      34.04    16.82    14.64    12.47   11.59
        awq-dint4z       33.66    16.78    14.56    12.44   11.61
    """,
    "13": """
        model         llama-7b llama-13b llama-30b
        rtn-fp4_e1m2 165582.55  74763.98  34027.07
        rtn-fp4_e2m1     26.52      7.95      9.10
        rtn-fp4_e3m0      6.30      5.56      4.57
        rtn-dint4z        6.07      5.38      4.36
    """,
    "14": """
        model         opt-125m opt-1.3b opt-2.7b opt-6.7b opt-13b
        rtn-int4z        43.15    29.90    19.70    14.18   12.89
        gptq-int4z       36.29    17.68    15.15    12.88   11.73
        rtn-fp4_e3m0     42.17    18.52    16.01    13.38   12.33
        gptq-fp4_e3m0    37.52    18.31    15.39    13.18   11.89
        rtn-dint4z       37.16    18.10    15.53    13.75   12.06
        gptq-dint4z      35.10    17.30    14.94    12.65   11.68
    """,
}
TABLES = tuple(_TEXT)

#: What abstracts say, where the tables could not be read.
ATQ_INCREASE = 1.0  # perplexity, at most, W8A8
DAQ = {"LLaMA": 0.228, "LLaMA-2": 0.196}  # mean part of the best baseline's loss that DAQ takes off


@dataclass(frozen=True)
class Printed:
    """A table as printed: `rows[row][model]`, and each model's FP16 perplexity."""

    rows: dict[str, dict[str, float]]
    full: dict[str, float]


@cache
def printed(table: str) -> Printed:
    """A table by its number; ValueError without such a one."""
    if table not in _TEXT:
        raise ValueError(f"no Table {table} of the paper here: there are {', '.join(TABLES)}")
    head, *lines = (line.split() for line in _TEXT[table].strip().splitlines())
    rows = {name: dict(zip(head[1:], map(float, numbers), strict=True)) for name, *numbers in lines}
    rows.pop("full", None)
    return Printed(rows, _full() if table != "1" else {})


def _full() -> dict[str, float]:
    """Table 3's FP16 line, which the other tables' columns share."""
    head, line, *_ = (line.split() for line in _TEXT["3"].strip().splitlines())
    return dict(zip(head[1:], map(float, line[1:]), strict=True))
