"""Jobs that take no time, as functions that another process or a worker can import from here."""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from nnunet_doselo.benchmark.benchmark_run import Run
from nnunet_doselo.benchmark.jobs import Job, JobRecord, Made
from nnunet_doselo.common.errors import DoseloError

Go = Callable[..., dict[str, JobRecord]]
"""The fixture `go`: runs jobs, gives their records."""


def add(run: Run, name: str, numbers: Sequence[int]) -> Made:
    """Writes the sum; a line in `calls` for every time that it is called."""
    _called(run, name)
    file = run.folder / "sums" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(str(sum(numbers)))
    return Made(sum(numbers), (file,))


def refuse(run: Run, name: str) -> Made:
    """Fails until a file `allowed` is there."""
    _called(run, name)
    if not (run.folder / "allowed").exists():
        raise DoseloError(f"{name} is not allowed")
    return Made(name)


def die_at_first(run: Run, name: str) -> Made:
    """The process is killed the first time; the second time all is well."""
    _called(run, name)
    if calls(run.folder).count(name) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return Made("alive")


def die_always(run: Run, name: str) -> Made:
    _called(run, name)
    os.kill(os.getpid(), signal.SIGKILL)
    return Made()


def wait_for(run: Run, name: str, file: str) -> Made:
    """Ends when somebody has made the file; says before which process it is in."""
    _called(run, name)
    (run.folder / f"{name}.pid").write_text(str(os.getpid()))
    deadline = time.monotonic() + 60
    while not (run.folder / file).exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return Made(name)


def run_forever(run: Run, name: str) -> Made:
    """A command that says its process number in its log."""
    _called(run, name)
    run.command(name, [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"])
    return Made()


def calls(folder: Path) -> list[str]:
    """Names in the order in which they were called."""
    file = folder / "calls"
    return file.read_text().split() if file.exists() else []


def _called(run: Run, name: str) -> None:
    with (run.folder / "calls").open("a") as file:
        file.write(f"{name}\n")


def sums(*numbers: int) -> list[Job]:
    """1 + 2, beside that 3 + 4, and a third job of both."""
    first, second = numbers or (2, 4)
    return [
        Job("a", "sum", add, ("a", (1, first)), {"numbers": [1, first]}, heavy=True),
        Job("b", "sum", add, ("b", (3, second)), {"numbers": [3, second]}),
        Job("c", "sum", add, ("c", (5, 6)), {"numbers": [5, 6]}, ("a", "b")),
    ]
