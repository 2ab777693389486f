"""Workers end with their parent, also one that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import os, time
from macsmith.experiments.workers import worker_pool

def pid(_):
    time.sleep(0.2)  # so that each worker has one of them
    return os.getpid()

if __name__ == "__main__":
    with worker_pool(2, START) as pool:
        print(*set(pool.map(pid, range(4))), flush=True)
        time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to look in")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_killed_parent_end(tmp_path, start):
    script = tmp_path / "parent.py"
    script.write_text(PARENT.replace("START", repr(start)))
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(alive, pids))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in pids if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
