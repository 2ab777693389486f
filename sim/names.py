"""Names that are not known, and what to say about them."""

import difflib
from collections.abc import Iterable

__all__ = ["suggestion"]


def suggestion(name: object, known: Iterable[str]) -> str:
    """What an error message says after an unknown name: the nearest of ``known``, or all of them
    where none is like it.

    >>> suggestion("dint44", ["int8", "dint4"])
    "the nearest is 'dint4'"
    >>> suggestion("xyzzy", ["int8", "dint4"])
    'there are int8, dint4'
    """
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"the nearest is {near[0]!r}" if near else f"there are {', '.join(known)}"
