"""What the command line prints: results to standard output, the rest to standard error."""

import json as jsonlib
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["complain", "prepare_process", "print_json", "report", "say", "show", "working"]

EACH_S = 60.0  # seconds between lines of progress where there is no terminal


def prepare_process() -> None:
    """What must be set before the libraries are loaded.

    Their own messages stay off the terminal (an error is one line of ours), and threads that wait
    sleep: spinning ones make every small product ten times slower where cores are shared.
    """
    for name, value in {
        "OMP_WAIT_POLICY": "PASSIVE",
        "TRANSFORMERS_VERBOSITY": "error",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TQDM_DISABLE": "1",
    }.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def say(line: str) -> None:
    print(line)


def complain(message: str) -> None:
    """One line on standard error, whatever the message's shape."""
    print("macsmith:", " ".join(message.split()), file=sys.stderr)


def show(renderable: Any) -> None:
    """A rich table; as wide as it needs where the output is no terminal."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 140).print(renderable)


def print_json(data: Any) -> None:
    """One JSON document; numbers that JSON does not have become null."""
    print(jsonlib.dumps(_finite(data), indent=2, ensure_ascii=False, allow_nan=False))


def report(result: Any, json: bool) -> None:
    """A result as JSON (``result.as_dict()``) or as its own lines (``result.lines()``)."""
    if json:
        print_json(result.as_dict())
    else:
        for line in result.lines():
            say(line)


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner on a terminal's standard error while the block runs; elsewhere a line a minute.

    The block gets a function that changes the text.
    """
    from rich.console import Console

    terminal = Console(stderr=True)
    if not terminal.is_terminal:
        yield _each_minute()
        return
    with terminal.status(what) as status:
        yield status.update


@contextmanager
def counting(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal's standard error while the block runs; else a line a minute.

    The block gets a function of how many are done, and of how many.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Left

    terminal = Console(stderr=True)
    if not terminal.is_terminal:
        say = _each_minute()
        yield lambda done, of: say(f"{what}: {done} of {of} {unit}")
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Left()
    with Progress(*columns, console=terminal, transient=True) as bar:
        task = bar.add_task(f"{what}, {unit}", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _each_minute() -> Callable[[str], None]:
    """Says the text that it is called with where the last one was a minute ago or more."""
    last = time.monotonic()

    def update(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= EACH_S:
            last = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    return update


def _finite(x: Any) -> Any:
    if isinstance(x, dict):
        return {str(key): _finite(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [_finite(value) for value in x]
    if isinstance(x, float) and not math.isfinite(x):
        return None
    return x
