"""Coverage: bins decided before a run, and what of them was hit.

A bin is something that must have happened for a run to mean anything: a class of operands, an
overflow, a stall. What cannot happen to this unit is no bin.
"""

from collections import Counter
from collections.abc import Iterable

__all__ = ["Cover"]


class Cover:
    """Bins of one unit, and how often each was hit.

    Parameters
    ----------
    bins : iterable of str
    """

    def __init__(self, bins: Iterable[str] = ()) -> None:
        self.bins = dict.fromkeys(bins, 0)
        #: How often anything was hit, bin or not.
        self.events: Counter[str] = Counter()

    def hit(self, name: str, times: int = 1) -> None:
        """``name`` happened; it is counted as an event where it is no bin."""
        if name in self.bins:
            self.bins[name] += times
        self.events[name] += times

    def mark(self, names: Iterable[str]) -> None:
        """These bins were hit, some time; what is no bin among them does not count."""
        for name in names:
            if name in self.bins:
                self.bins[name] += 1

    @property
    def missing(self) -> list[str]:
        return [name for name, times in self.bins.items() if not times]
