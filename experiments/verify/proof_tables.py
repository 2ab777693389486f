"""Truth tables of two and three variables: which is a parity, which a majority."""

from functools import cache

__all__ = ["essential", "expand", "majority", "parity"]

_XOR3, _XOR2 = 0b10010110, 0b0110
_MAJ = 0b11101000


@cache
def _spread(table: int, places: tuple[int, ...], size: int) -> int:
    """The truth table over ``size`` variables of a function of those at ``places``."""
    result = 0
    for row in range(1 << size):
        index = sum((row >> place & 1) << k for k, place in enumerate(places))
        result |= (table >> index & 1) << row
    return result


def expand(table: int, leaves: tuple[int, ...], target: tuple[int, ...]) -> int:
    return _spread(table, tuple(target.index(leaf) for leaf in leaves), len(target))


@cache
def essential(table: int, size: int) -> tuple[tuple[int, ...], int]:
    """The places of the variables on which a function depends, and its table over them."""
    rows = range(1 << size)
    places = tuple(
        k for k in range(size) if any((table >> row ^ table >> (row ^ 1 << k)) & 1 for row in rows)
    )
    reduced = 0
    for row in range(1 << len(places)):
        full = sum((row >> i & 1) << k for i, k in enumerate(places))
        reduced |= (table >> full & 1) << row
    return places, reduced


def parity(table: int, size: int) -> int | None:
    """0 for the XOR of the operands, 1 for its complement, else None."""
    xor = _XOR3 if size == 3 else _XOR2
    if table == xor:
        return 0
    return 1 if table == xor ^ ((1 << (1 << size)) - 1) else None


@cache
def majority(table: int, size: int) -> tuple[int, ...] | None:
    """Inversions (of each operand, and of the result) that make it a majority (an AND, of two)."""
    base, rows = (_MAJ if size == 3 else 0b1000), 1 << size
    for code in range(2 << size):
        *flips, inverted = (code >> k & 1 for k in range(size + 1))
        mask = sum(flip << k for k, flip in enumerate(flips))
        made = sum((base >> (row ^ mask) & 1) << row for row in range(rows))
        if made ^ (-inverted & (1 << rows) - 1) == table:
            return (*flips, inverted)
    return None
