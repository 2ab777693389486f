"""Pools of processes that end with the one that made them, however it ends."""

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process

__all__ = ["worker_pool"]


def worker_pool(jobs: int, start: str = "fork") -> ProcessPoolExecutor:
    """``jobs`` processes, begun by ``start``.

    "fork": formats and styles that a user's module has registered are there too. But a fork of a
    process in which torch has threads waits for them for ever: "spawn".
    """
    return ProcessPoolExecutor(jobs, mp_context=get_context(start), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """A parent that is killed tells nobody: without this its workers wait for it for ever."""

    def wait() -> None:
        parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
