"""Which accumulators a bench drives to where they overflow, and what it says of the others."""

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.array_extremes import signs_of
from macsmith.experiments.verify.bench import Instance
from macsmith.experiments.verify.sums import can_overflow

__all__ = ["products_to", "unreached"]


def products_to(one: Instance) -> int:
    """Products of the largest size after which the sum has left its range at either end.

    0 where nothing is to overflow, or sums enter that are at their ends already.
    """
    spec = one.spec
    enters = one.options.get("dataflow") == "weight"
    if not get_unit(one.unit).companion or spec.overflow == "exact" or enters:
        return 0
    (low, high), (least, greatest) = spec.acc_range, spec.product_range
    ends = {+1: (high, greatest), -1: (low, least)}
    return max((end // most + 1 for end, most in map(ends.get, signs_of(spec))), default=0)


def unreached(one: Instance) -> str:
    """In words, which overflow a bench of ``one.effort`` does not reach; "" if there is none.

    What it can reach is a bin of it, and a run without that has failed.
    """
    needed = products_to(one)
    per_cycle = 1
    if needed and not get_unit(one.unit).handshake:
        sums = one.widths["acc"] // one.spec.acc_width
        per_cycle = one.widths["w"] // one.spec.weights.width // sums
    can = can_overflow(one.spec, per_cycle, one.effort.reach)
    if not needed or all(can[sign] for sign in signs_of(one.spec)):
        return ""
    bits = one.spec.acc_width
    return f"the overflow of {bits} bits was not reached, which takes {needed:,} products"
