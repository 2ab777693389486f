"""What a run of benches found, for a person and for JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

__all__ = ["Checked", "VerifyResult", "together"]

MOST_EVENTS = 20  # that a person is shown


@dataclass(frozen=True)
class Checked:
    """One module.

    Attributes
    ----------
    results : int
        Results compared: of operands that entered, and not of idle cycles.
    wrong : int
        Results (or cycles) that were wrong.
    first : str
        The first of them, with its stimulus.
    bins : dict
        By bin, how often it was hit; decided before the run.
    events : dict
        How often what was worth testing happened.
    in_arrays : int
        Results, of those compared, that are of a model in arrays and not golden's own.
    """

    results: int
    wrong: int
    first: str
    bins: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    in_arrays: int = 0

    @property
    def missing(self) -> list[str]:
        """Bins that were not hit."""
        return [name for name, times in self.bins.items() if not times]

    @property
    def failure(self) -> str:
        """Why this module has not passed; "" if it has."""
        if self.wrong:
            return self.first
        if not self.results:
            return "no result was compared"
        if self.missing:
            return f"{len(self.missing)} bins missed: {', '.join(self.missing[:5])}"
        return ""


def together(parts: Sequence[Checked]) -> Checked:
    """Several checks of one module as one, no bin being in two of them.

    The first fault is that of the first part with one.
    """
    return Checked(
        sum(part.results for part in parts),
        sum(part.wrong for part in parts),
        next((part.first for part in parts if part.first), ""),
        {name: hits for part in parts for name, hits in part.bins.items()},
        sum((Counter(part.events) for part in parts), Counter()),
        sum(part.in_arrays for part in parts),
    )


@dataclass(frozen=True)
class VerifyResult:
    """What a run of benches found.

    Attributes
    ----------
    unit, simulator : str
    modules : dict of Checked
        By module: one for each spec and companion.
    cycles : int
        Clock cycles of the longest unit; all run side by side.
    seconds : dict
        Wall time by step.
    clean : bool
        The build was Verilator's, which found nothing to warn of in any module.
    notes : tuple of str
        What a right unit may still do wrong, because no bench goes that far.
    """

    unit: str
    simulator: str
    modules: Mapping[str, Checked]
    cycles: int
    seconds: Mapping[str, float] = field(compare=False)
    clean: bool = field(default=False, compare=False)
    notes: tuple[str, ...] = ()

    @property
    def results(self) -> int:
        """Results compared in all modules."""
        return sum(module.results for module in self.modules.values())

    @property
    def in_arrays(self) -> int:
        """Of `results`, those of models in arrays, which agree with golden in a sample."""
        return sum(module.in_arrays for module in self.modules.values())

    @property
    def cover(self) -> Counter[str]:
        """How often what was worth testing happened, in all modules."""
        return sum((Counter(module.events) for module in self.modules.values()), Counter())

    @property
    def bins(self) -> tuple[int, int]:
        """Bins hit, and bins, over all modules."""
        total = sum(len(module.bins) for module in self.modules.values())
        return total - sum(len(module.missing) for module in self.modules.values()), total

    @property
    def failures(self) -> dict[str, str]:
        """Why each failing module fails: its first wrong result, or what was not tested."""
        return {name: found.failure for name, found in self.modules.items() if found.failure}

    @property
    def ok(self) -> bool:
        """No wrong result, in each module more than none compared, and every bin hit."""
        return bool(self.modules) and not self.failures

    def as_dict(self) -> dict:
        """For JSON."""
        hit, total = self.bins
        modules = {
            name: {
                "results": found.results,
                "in_arrays": found.in_arrays,
                "wrong": found.wrong,
                "first": found.first,
                "bins": len(found.bins),
                "bins_hit": len(found.bins) - len(found.missing),
                "missing": found.missing,
            }
            for name, found in self.modules.items()
        }
        return asdict(self) | {
            "modules": modules,
            "ok": self.ok,
            "results": self.results,
            "in_arrays": self.in_arrays,
            "bins": total,
            "bins_hit": hit,
            "cover": dict(sorted(self.cover.items())),
            "failures": self.failures,
        }

    def lines(self) -> list[str]:
        """For a person."""
        hit, total = self.bins
        cover = [
            f"{name} {count:,}"
            for name, count in sorted(self.cover.items())
            if not name.startswith(("lane ", "sum ", "place "))
        ]
        if len(cover) > MOST_EVENTS:
            cover[MOST_EVENTS:] = [f"and {len(cover) - MOST_EVENTS} more (--json has all)"]
        golden = f"{self.results - self.in_arrays:,} with golden"
        models = f" ({golden}, {self.in_arrays:,} with its model in arrays)"
        lines = [
            f"{self.unit} in {self.simulator}: {self.results:,} results checked"
            f"{models if self.in_arrays else ''} in "
            f"{_modules(len(self.modules))}, {self.cycles:,} cycles, "
            f"{sum(self.seconds.values()):.1f} s; {_modules(len(self.failures))} failed",
            f"covered: {hit:,} of {total:,} bins; {', '.join(cover)}",
            *(
                text if text.startswith(name) else f"{name}: {text}"
                for name, text in self.failures.items()
            ),
            *self.notes,
        ]
        if not self.results:
            lines.append("no result was checked: this is a failure")
        return lines


def _modules(count: int) -> str:
    return f"{count} module{'' if count == 1 else 's'}"
