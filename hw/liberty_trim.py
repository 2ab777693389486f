"""A Liberty file cut down to what Yosys and ABC read: functions, areas, delays, constraints.

ASAP7's 46 MB are mostly energies and leakages, which neither tool uses but both would parse. What
stays is copied letter by letter, so the result of synthesis is that of the whole file, with two
exceptions that ABC needs: functions are written so that they read the same whatever binds tighter
(to ABC, AND binds tighter than XOR), and a group of several pins becomes a group for each.
"""

import re
from bisect import bisect_left

from macsmith.hw.boolean import parse
from macsmith.hw.liberty_scan import places_of_functions
from macsmith.hw.liberty_text import CELL, LibertyText, match_braces, split, unquote

__all__ = ["trim"]

_HEAD = re.compile(r"([\w.]+)\s*\([^()]*\)\s*$")
_DROPPED = {
    *("internal_power", "leakage_power", "power_lut_template", "normalized_driver_waveform"),
    *("output_current_rise", "output_current_fall", "receiver_capacitance", "intrinsic_parasitic"),
    *("dynamic_current", "leakage_current", "ccsn_first_stage", "ccsn_last_stage", "wire_load"),
    *("output_voltage", "input_voltage", "test_cell", "gate_leakage"),
}


_PINS = re.compile(r"pin\s*\(([^(){};]*[^(){};\s][\s,]+[^(){};\s][^(){};]*)\)\s*\{")


def trim(liberty: LibertyText, drop_cells: frozenset[str] = frozenset()) -> str:
    """The text of `liberty` without what synthesis does not read, and without `drop_cells`.

    ValueError names the file and the cell whose function cannot be read.
    """
    text = liberty.text
    opens, closes = (positions.tolist() for positions in match_braces(text))
    dropped = {span[0]: span[1] for name, span in liberty.cells.items() if name in drop_cells}
    kept, done = [], 0
    index = 0
    starts = sorted(dropped)
    while index < len(opens):
        at = opens[index]
        cell = bisect_left(starts, at) - 1
        if cell >= 0 and dropped[starts[cell]] > at:
            start, end = starts[cell], dropped[starts[cell]]
        else:
            head = _HEAD.search(text, max(done, at - 120), at)
            if not head or head.group(1) not in _DROPPED:
                index += 1
                continue
            start, end = head.start(), closes[index] + 1
        kept.append(text[done:start])
        done = end
        index = bisect_left(opens, end, index + 1)
    kept.append(text[done:])
    short = re.sub(r"default_wire_load\w*\s*:[^;\n]*;?|\n(?=\s*\n)", "", "".join(kept))
    return _functions_written(_one_pin_each(short), liberty)


def _one_pin_each(text: str) -> str:
    """`text` with a group for each pin of a group of several."""
    if not _PINS.search(text):
        return text
    closes = dict(zip(*(positions.tolist() for positions in match_braces(text)), strict=True))
    kept, done = [], 0
    for match in _PINS.finditer(text):
        if text[match.start() - 1] == "_":  # pg_pin
            continue
        end = closes[match.end() - 1] + 1
        body = text[match.end() - 1 : end]
        kept.append(text[done : match.start()])
        kept += [f'pin ("{name}") {body}\n' for name in split(match.group(1))]
        done = end
    return "".join([*kept, text[done:]])


def _functions_written(text: str, liberty: LibertyText) -> str:
    """`text` with every function as `hw.boolean` reads and writes it."""
    kept, done = [], 0
    for start, end in places_of_functions(text):
        given = unquote(text[start:end])
        try:
            written = str(parse(given)) if given else ""
        except ValueError as error:
            *_, cell = CELL.finditer(text, 0, start)
            where = f"{liberty.path}: cell {unquote(cell.group(1))}"
            raise ValueError(f"{where}: {error}") from None
        kept += (text[done:start], f'"{written}"')
        done = end
    return "".join([*kept, text[done:]])
