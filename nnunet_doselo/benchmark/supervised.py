"""A command that ends when whoever asked for it does, however that ended: killed, lost, or interrupted.

    python -m nnunet_doselo.benchmark.supervised COMMAND ...

runs the command until it ends by itself, or until standard input is closed: the system closes it when the process at
its other end dies. Works from any thread and without signals, as workers of a cluster need it.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from nnunet_doselo.common.process import stop_group

MODULE = "nnunet_doselo.benchmark.supervised"
REQUIRE_S = 1.0
POLL_S = 0.1


def run_supervised(
    command: Sequence[str], environment: Mapping[str, str], log: Path, require: Callable[[], None]
) -> int:
    """Run and wait; what it prints is appended to `log`. Its exit status, as `supervise` gives it.

    `require` is called every second; if it raises, the command and all its processes are stopped first.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, *command],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is ours to pass on
        )
        try:
            while process.poll() is None:
                require()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(REQUIRE_S)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            status = process.wait()
    return status


def supervise(command: Sequence[str]) -> int:
    """The command's exit status; 128 + n if signal n ended it, as shells have it."""
    alone = threading.Event()
    threading.Thread(target=_wait_for_end_of_input, args=(alone,), daemon=True).start()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not alone.wait(POLL_S):
        pass
    if process.poll() is None:
        stop_group(process)
    status = process.wait()
    return status if status >= 0 else 128 - status


def _wait_for_end_of_input(alone: threading.Event) -> None:
    with suppress(OSError):
        while os.read(sys.stdin.fileno(), 1):  # sys.stdin itself would be locked when the interpreter shuts down
            pass
    alone.set()


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
