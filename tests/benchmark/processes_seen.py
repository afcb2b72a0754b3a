"""Processes that tests look for, wait for, and see ending."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 60.0


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pid_in(file: Path) -> int:
    """The number that a process writes first, as soon as it is there."""
    wait_until(lambda: file.exists() and file.read_text().strip())
    return int(file.read_text().split()[0])


def assert_ends(pid: int) -> None:
    try:
        wait_until(lambda: not _is_alive(pid))
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        raise


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
