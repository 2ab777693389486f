"""Formats that no unit can be built from, because a bit of their code would be an unused port."""

from functools import lru_cache

from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

__all__ = ["idle_bits", "refuse_idle_bits"]


@lru_cache(maxsize=256)
def idle_bits(fmt: Format) -> tuple[int, ...]:
    """Bits of the code without which every code has the same level, at any zero point."""
    idle = set(range(fmt.width))
    for z in fmt.zero_points:
        levels = fmt.levels_at(z)
        idle -= {b for b in idle if any(u != levels[c ^ 1 << b] for c, u in enumerate(levels))}
        if not idle:  # as a rule already at the first
            break
    return tuple(sorted(idle))


def refuse_idle_bits(subject: object) -> None:
    """ValueError if what a unit is built from, a format or a spec of two, has such a bit."""
    formats = (subject,) if isinstance(subject, Format) else ()
    if isinstance(subject, MacSpec):
        formats = subject.weights, subject.activations
    for fmt in formats:
        if bits := idle_bits(fmt):
            which = ", ".join(f"bit {bit}" for bit in bits)
            raise ValueError(
                f"{which} of {fmt.name}'s code decides nothing: every code has the same level "
                "without, and a port of a unit would be unused"
            )
