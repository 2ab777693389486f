"""A Liberty file cut down to what Yosys and ABC read: functions, areas, delays, constraints.

ASAP7's 46 MB are mostly energies and leakages, which neither tool uses but both would parse. What
stays is copied letter by letter, so the result of synthesis is that of the whole file.
"""

import re
from bisect import bisect_left

from macsmith.hw.liberty_text import LibertyText, match_braces

__all__ = ["trim"]

_HEAD = re.compile(r"([\w.]+)\s*\([^()]*\)\s*$")
_DROPPED = {
    *("internal_power", "leakage_power", "power_lut_template", "normalized_driver_waveform"),
    *("output_current_rise", "output_current_fall", "receiver_capacitance", "intrinsic_parasitic"),
    *("dynamic_current", "leakage_current", "ccsn_first_stage", "ccsn_last_stage", "wire_load"),
    *("output_voltage", "input_voltage", "test_cell", "gate_leakage"),
}


def trim(liberty: LibertyText, drop_cells: frozenset[str] = frozenset()) -> str:
    """The text of `liberty` without what synthesis does not read, and without `drop_cells`."""
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
    return re.sub(r"default_wire_load\w*\s*:[^;\n]*;?|\n(?=\s*\n)", "", "".join(kept))
