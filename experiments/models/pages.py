"""WikiText as the task `wikitext` of lm-evaluation-harness has it: pages, their text, their words.

The harness reads `wiki.test.raw`; these are its rules for any WikiText file.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

__all__ = ["detokenised", "pages", "words"]

#: A heading of the first level: one "=" on either side, not a row of them.
_TITLE = re.compile(r"^[^\S\n]*= (?!=).*(?<!=) =[^\S\n]*$", re.MULTILINE)

#: What is replaced in a whole page, one rule behind the other, as `wikitext_detokenizer` of the
#: harness (lm_eval/tasks/wikitext/preprocess_wikitext.py, version 2 of the task) does it.
_RULES: tuple[tuple[str | re.Pattern[str], str], ...] = (
    ("s '", "s'"),
    (re.compile("/' [0-9]/"), "/'[0-9]/"),  # slashes and all, as there: no text has it
    *((f" @{mark}@ ", mark) for mark in "-,."),
    *((f" {mark} ", f"{mark} ") for mark in ":;.!?,"),
    # The shortest stretch between two marks: a quote that nothing closes pairs with the next one's.
    *(
        (re.compile(rf"\{left}\s*([^\{right}]*?)\s*\{right}"), rf"{left}\1{right}")
        for left, right in ("()", "[]", "{}", '""', "''")
    ),
    *((" ".join("=" * n), "=" * n) for n in (4, 3, 2)),
    (" \N{DEGREE SIGN} ", "\N{DEGREE SIGN}"),
    (" \n", "\n"),
    ("\n ", "\n"),
    (" N ", " 1 "),
    (" 's", "'s"),
)


def pages(text: str) -> Iterator[str]:
    """Each article with its title, less the line break before the next one's.

    What stands before the first title is a page of its own unless it is blank.
    """
    cuts = [title.start() for title in _TITLE.finditer(text)]
    if not cuts or text[: cuts[0]].strip():
        cuts.insert(0, 0)
    for begin, end in pairwise((*cuts, len(text) + 1)):
        yield text[begin : end - 1]


def detokenised(page: str) -> str:
    """What a model is given of a page.

    >>> detokenised(' = Rope = \\n \\n It \\'s 3 @.@ 5 m ( 11 ft ) , " or so " . \\n')
    ' = Rope =\\n\\nIt\\'s 3.5 m (11 ft), "or so".\\n'
    """
    for old, new in _RULES:
        page = page.replace(old, new) if isinstance(old, str) else old.sub(new, page)
    return page


def words(text: str) -> int:
    """What white space parts; of white space at either end, nothing counts as one more word.

    >>> words("two words"), words(" two words\\n"), words("")
    (2, 4, 1)
    """
    return len(re.split(r"\s+", text))
