"""The text of a Liberty file: read, checked, indexed by cell, parsed on demand.

A library of a modern process has tens of megabytes, of which one netlist needs a few cells. So the
file is scanned once (comments blanked, braces matched, cells located), and only the blocks asked
for become trees.
"""

import codecs
import gzip
import hashlib
import math
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

__all__ = ["CELL", "Group", "LibertyText", "match_braces", "number", "parse", "read", "split",
           "unquote"]  # fmt: skip

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
_ARGS = r'\(((?:[^()"]|"[^"]*")*)\)'
CELL = re.compile(r"\bcell\s*" + _ARGS + r"\s*\{")
_LIBRARY = re.compile(r"\s*library\s*" + _ARGS + r"\s*\{")
# One statement: a group or a complex attribute (`name (args) {` or `name (args) ;`), a simple
# attribute (`name : value ;`), or the end of a group.
_STATEMENT = re.compile(
    r"([\w.]+)\s*(?:" + _ARGS + r'\s*(\{)?|:\s*("[^"]*"|[^;"{}\n]*))|(\})', re.S
)


@dataclass(slots=True)
class Group:
    """One group of a Liberty file, `kind (args) { ... }`; values are text, without quotes."""

    kind: str
    args: tuple[str, ...] = ()
    simple: dict[str, str] = field(default_factory=dict)
    complex: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    groups: list["Group"] = field(default_factory=list)

    def all(self, *kinds: str) -> list["Group"]:
        return [group for group in self.groups if group.kind in kinds]

    def number(self, name: str, default: float | None = None) -> float | None:
        """The value of a simple attribute as a number; `default` where it is absent or empty."""
        text = self.simple.get(name, "")
        return number(text, name) if text else default


@dataclass(frozen=True)
class LibertyText:
    """One file: `header` is the library group without its cells, `cells` says where each cell is.

    `sha256` is of the uncompressed content, so a file and its .gz are the same library.
    """

    path: Path
    sha256: str
    text: str = field(repr=False)  # comments, braces in strings, repeated cells blanked
    header: Group = field(repr=False)
    cells: dict[str, tuple[int, int]] = field(repr=False)  # name -> slice of `text`

    def cell(self, name: str) -> Group:
        start, end = self.cells[name]
        return parse(self.text[start:end]).groups[0]


def number(text: str, what: str) -> float:
    """The finite number that `text` is; ValueError says of what it was wanted, and what came."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{what}: wanted a finite number, got {text!r}")
    return value


def read(path: str | Path) -> LibertyText:
    """Read one Liberty file, gzip-compressed or not.

    ValueError, in one line that names the file: it is missing, not Liberty, or cut off.
    """
    path = Path(path)
    raw = _content(path)
    marked = raw.removeprefix(codecs.BOM_UTF8)  # editors leave it
    text = _blank_braces(_blank_comments(marked.decode("latin-1").replace('\\"', "'")))
    head = _LIBRARY.match(text)
    if not head:
        got = raw.lstrip()[:24].decode("latin-1")
        raise ValueError(f"{path}: not a Liberty file: wanted 'library (...) {{', got {got!r}")
    opens, closes = match_braces(text)
    if len(opens) == 0 or opens[0] != head.end() - 1:
        raise ValueError(f"{path}: the Liberty file is cut off: its library group never closes")
    end_of = dict(zip(opens.tolist(), closes.tolist(), strict=True))
    spans = []
    at = head.end()
    while match := CELL.search(text, at):
        if match.end() - 1 not in end_of:
            break
        at = end_of[match.end() - 1] + 1
        spans.append((unquote(match.group(1)), match.start(), at))
    bounds = [0, *(b for _, start, end in spans for b in (start, end)), end_of[head.end() - 1] + 1]
    cells: dict[str, tuple[int, int]] = {}
    for cell, start, end in spans:
        if cells.setdefault(cell, (start, end)) != (start, end):  # the first one wins
            text = f"{text[:start]}{' ' * (end - start)}{text[end:]}"
    header = "".join(text[a:b] for a, b in zip(bounds[::2], bounds[1::2], strict=True))
    return LibertyText(
        path=path,
        sha256=hashlib.sha256(raw).hexdigest(),
        text=text,
        header=parse(header).groups[0],
        cells=cells,
    )


def parse(text: str) -> Group:
    """The tree of `text` (comments already blanked) under a nameless root group."""
    root = Group("")
    stack = [root]
    for match in _STATEMENT.finditer(text):
        name, args, brace, value, end = match.groups()
        if end:
            if len(stack) > 1:
                stack.pop()
        elif args is None:
            stack[-1].simple[name] = unquote(value)
        else:
            parts = tuple(split(args))
            if brace:
                group = Group(name, parts)
                stack[-1].groups.append(group)
                stack.append(group)
            else:
                stack[-1].complex.setdefault(name, []).append(parts)
    return root


def match_braces(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the opening braces that are closed, ascending, and of what closes each.

    Braces are counted, not parsed: `text` must have none in strings or comments.
    """
    data = np.frombuffer(text.encode("latin-1"), np.uint8)
    at = np.flatnonzero((data == ord("{")) | (data == ord("}")))
    is_open = data[at] == ord("{")
    depth = np.cumsum(np.where(is_open, 1, -1))
    level = np.where(is_open, depth, depth + 1)
    # Within one level, braces alternate between opening and closing: sort by level, keeping order.
    order = np.argsort(level, kind="stable")
    opens, closes = order[:-1], order[1:]
    pair = is_open[opens] & ~is_open[closes] & (level[opens] == level[closes])
    opens, closes = at[opens[pair]], at[closes[pair]]
    by_position = np.argsort(opens)
    return opens[by_position], closes[by_position]


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot read the Liberty file: {error.strerror}") from None
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error):
        raise ValueError(
            f"{path}: the Liberty file is cut off or damaged: its gzip data are not whole"
        ) from None


def _blank_comments(text: str) -> str:
    """`text` without its comments; a comment's marks inside a string are left alone."""
    kept, done, searched, quotes = [], 0, 0, 0
    while match := _COMMENT.search(text, searched):
        quotes += text.count('"', searched, match.start())
        if quotes % 2:  # inside a string: go on behind it
            searched = match.start() + 1
            continue
        kept += (text[done : match.start()], " ")
        done = searched = match.end()
    return "".join(kept) + text[done:]


def _blank_braces(text: str) -> str:
    """`text` without braces inside strings, which ABC's reader takes for groups."""
    data = np.frombuffer(text.encode("latin-1"), np.uint8)
    braces = np.flatnonzero((data == ord("{")) | (data == ord("}")))
    quotes = np.flatnonzero(data == ord('"'))
    inside = braces[np.searchsorted(quotes, braces) % 2 == 1]
    if len(inside):
        data = data.copy()
        data[inside] = ord(" ")
        return data.tobytes().decode("latin-1")
    return text


def split(args: str) -> list[str]:
    """Arguments of a group or complex attribute; a quoted list of numbers stays one argument."""
    return [unquote(part) for part in re.findall(r'"[^"]*"|[^,\s\\"]+', args)]


def unquote(text: str) -> str:
    return text.strip().strip('"').strip()
