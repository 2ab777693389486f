"""MacSpec: everything that decides the *numbers* a unit computes, and nothing about its cost.

The RTL is built from it, the simulator runs it, the quantized model carries it, a results row
records it. Every width is derived here, with its reason.
"""

from dataclasses import dataclass

from macsmith.sim.catalog import get_format
from macsmith.sim.formats import Format, signed_width

__all__ = ["MAX_SUM_BITS", "OVERFLOWS", "MacSpec"]

OVERFLOWS = ("exact", "wrap", "saturate")
MAX_LANES = 2**16  # products of one exact sum
MAX_SUM_BITS = 63  # every partial sum must fit an int64 of the simulator with a bit to spare


@dataclass(frozen=True, slots=True)
class MacSpec:
    """Sums of products of weight and activation levels, in an accumulator of ``acc_width`` bits.

    Parameters
    ----------
    weights, activations : Format or str
        A format, its catalogue name, or a TOML file. Only weights may be zero-pointed: the zero
        point of an activation is corrected after the sum.
    acc_width : int
        Bits of the two's-complement accumulator; at least one product wide.
    overflow : str
        What happens after each group: "wrap" (two's complement), "saturate" (clamp), or "exact":
        the width is proven to suffice for the depth, see `check_depth`. Hardware for "exact" wraps.
    lanes : int
        Products summed exactly, together, before they enter the accumulator.

    Raises
    ------
    ValueError
        If a part is out of range, one product does not fit the accumulator, or the largest
        partial sum does not fit in 63 bits.

    >>> MacSpec("dint4", "int8", acc_width=32, overflow="wrap", lanes=1).product_width
    12
    """

    weights: Format
    activations: Format
    acc_width: int = 32
    overflow: str = "wrap"
    lanes: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", get_format(self.weights))
        object.__setattr__(self, "activations", get_format(self.activations))
        if self.activations.zero_pointed:
            raise ValueError(
                f"activations {self.activations.name!r}: zero-pointed formats are for weights; "
                "an activation's zero point is corrected after the sum"
            )
        if self.overflow not in OVERFLOWS:
            raise ValueError(
                f"overflow must be one of {', '.join(OVERFLOWS)}, not {self.overflow!r}"
            )
        for what in ("acc_width", "lanes"):
            number = getattr(self, what)
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise ValueError(f"{what} must be a positive integer, not {number!r}")
        if self.lanes > MAX_LANES:
            raise ValueError(f"lanes must be {MAX_LANES} at most, not {self.lanes}")
        if self.acc_width > 2 * MAX_SUM_BITS:  # before anything is raised to that power
            raise ValueError(
                f"an accumulator of {self.acc_width} bits needs more than {MAX_SUM_BITS} bits"
            )
        if self.acc_width < self.product_width:
            raise ValueError(
                f"accumulator of {self.acc_width} bits cannot hold one {self.weights.name} x "
                f"{self.activations.name} product of {self.product_width} bits"
            )
        if self.sum_width > MAX_SUM_BITS:
            raise ValueError(
                f"the largest partial sum of {self.lanes} {self.weights.name} x "
                f"{self.activations.name} products and an accumulator of {self.acc_width} bits "
                f"needs {self.sum_width} bits, more than {MAX_SUM_BITS}"
            )

    @property
    def frac_bits(self) -> int:
        """An accumulator counts units of ``2**-frac_bits``."""
        return self.weights.frac_bits + self.activations.frac_bits

    @property
    def product_range(self) -> tuple[int, int]:
        """Least and greatest product of a weight level (at any zero point) and an activation's."""
        w, a = self.weights.level_range, self.activations.level_range
        products = [x * y for x in w for y in a]
        return min(products), max(products)

    @property
    def product_width(self) -> int:
        """Bits of the narrowest signed integer that holds every product."""
        return signed_width(*self.product_range)

    @property
    def group_width(self) -> int:
        """Bits of the exact sum of ``lanes`` products."""
        return self.depth_width(self.lanes)

    @property
    def acc_range(self) -> tuple[int, int]:
        """Least and greatest integer of the accumulator."""
        return -(2 ** (self.acc_width - 1)), 2 ** (self.acc_width - 1) - 1

    @property
    def sum_width(self) -> int:
        """Bits of accumulator plus group before ``overflow`` is applied.

        With "exact" the sum is proven to stay in the accumulator.
        """
        if self.overflow == "exact":
            return max(self.acc_width, self.group_width)
        (lo, hi), (group_lo, group_hi) = self.acc_range, self.group_range
        return signed_width(lo + group_lo, hi + group_hi)

    @property
    def group_range(self) -> tuple[int, int]:
        """Least and greatest sum of at most ``lanes`` products (0 is the sum of none)."""
        lo, hi = self.product_range
        return min(0, self.lanes * lo), max(0, self.lanes * hi)

    def depth_width(self, depth: int) -> int:
        """Bits of an accumulator that no sum of up to ``depth`` products can overflow.

        >>> spec = MacSpec("int8", "int8")
        >>> spec.depth_width(1), spec.depth_width(1024)
        (16, 26)
        """
        lo, hi = self.product_range
        return signed_width(min(0, depth * lo), max(0, depth * hi))

    def check_depth(self, depth: int) -> None:
        """ValueError if overflow is "exact" and ``depth`` products could overflow."""
        if self.overflow == "exact" and (needed := self.depth_width(depth)) > self.acc_width:
            raise ValueError(
                f"accumulator of {self.acc_width} bits is not exact for {depth} "
                f"{self.weights.name} x {self.activations.name} products, which need {needed} bits"
            )
