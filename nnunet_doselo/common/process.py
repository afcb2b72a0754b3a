"""One command in a process of its own: its output on the screen and in a log, its time and memory, a clean end."""

import codecs
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

OUTPUT_BYTES = 1 << 16
STOP_S = 10.0
Command = tuple[str, ...]
TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Finished:
    """peak_mb: resident memory of the largest of the command's processes, not of all together."""

    status: int
    seconds: float
    peak_mb: float


def run_process(command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> Finished:
    """Run in `folder` and wait; what it prints is shown at once and appended to `log`.

    Interrupted (Ctrl-C, or `kill`), it takes the command and all its processes down before KeyboardInterrupt goes on.
    """
    start = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file, kill_means_interrupt():
        process = subprocess.Popen(
            command,
            env={**environment, **_terminal()},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, which can be stopped as a whole
        )
        try:
            assert process.stdout is not None
            with process.stdout as output:
                _copy(output, file)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            stop_group(process)
            raise
    return Finished(process.returncode, time.monotonic() - start, usage.ru_maxrss / _RSS_UNITS_PER_MB)


def installed(command: Sequence[str]) -> list[str]:
    """The program beside this interpreter, whether or not its environment is activated; `python` is the interpreter.

    >>> installed(["python", "-V"]) == [sys.executable, "-V"]
    True
    """
    program, *arguments = command
    return [sys.executable if program == "python" else str(Path(sys.executable).parent / program), *arguments]


def last_lines(log: Path, number: int = 15) -> list[str]:
    """The end of a log as plain text: no colours, no overwritten states of progress bars, no empty lines."""
    # bytes, because reading as text would turn \r into \n
    text = TERMINAL_CODES.sub("", log.read_bytes().decode(errors="replace")) if log.exists() else ""
    lines = (line.rstrip().rpartition("\r")[2] for line in text.split("\n"))
    return [line for line in lines if line.strip()][-number:]


_RSS_UNITS_PER_MB = 1e6 if sys.platform == "darwin" else 1e6 / 1024  # bytes there, KiB on Linux


def _terminal() -> dict[str, str]:
    """Progress bars are drawn although the command writes into a pipe, if a person is looking."""
    if not sys.stdout.isatty():
        return {}
    return {"FORCE_COLOR": "1", "COLUMNS": str(shutil.get_terminal_size().columns)}


def _copy(output: IO[bytes], log: BinaryIO) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while chunk := os.read(output.fileno(), OUTPUT_BYTES):
        log.write(chunk)
        log.flush()
        sys.stdout.write(decoder.decode(chunk))
        sys.stdout.flush()


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """A process that leads a session of its own, and all others of it: politely first, so that it cleans up."""
    for politeness in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, politeness)
            process.wait(STOP_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


@contextmanager
def kill_means_interrupt() -> Iterator[None]:
    """`kill` and a closed terminal end in KeyboardInterrupt, as Ctrl-C does: no command is left running."""
    handlers = {name: signal.signal(name, signal.default_int_handler) for name in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)
