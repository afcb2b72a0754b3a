"""Where jobs run on this machine: trainings one or a few at a time, and beside them processes that plan and score."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

CHILD_END_S = 5.0


class Pools(Protocol):
    """Executors for both weights of jobs."""

    def executor(self, *, heavy: bool) -> Executor:
        """Takes jobs of that weight."""

    def width(self, *, heavy: bool) -> int | None:
        """How many jobs to hand it at a time; None if it has a queue of its own that survives a worker's death."""

    def renew(self) -> None:
        """After a BrokenExecutor: executors that work again."""

    def lost(self) -> str:
        """What to tell the user when jobs come back cancelled, or can no longer be handed over."""

    def stop(self) -> None:
        """End at once; nothing runs afterwards. The run that jobs belong to must have been ended before."""


class LocalPools:
    """Heavy jobs wait for commands that they have started: threads will do. The others are processes of their own."""

    def __init__(self, log: Path, *, trainings_at_once: int = 1, processes: int = 1) -> None:
        """`log`: takes what the processes print, which would otherwise stand in the middle of progress bars."""
        self.log, self.trainings_at_once, self.processes = log, max(1, trainings_at_once), max(1, processes)
        self._threads = ThreadPoolExecutor(self.trainings_at_once)
        self._processes = self._new()

    def executor(self, *, heavy: bool) -> Executor:
        return self._threads if heavy else self._processes

    def width(self, *, heavy: bool) -> int | None:
        return self.trainings_at_once if heavy else self.processes

    def renew(self) -> None:
        self._processes.shutdown(wait=False, cancel_futures=True)
        self._processes = self._new()

    def lost(self) -> str:
        return "the processes that plan have ended"

    def stop(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._processes.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
            child.join(CHILD_END_S)

    def _new(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.processes, context, initializer=begin_worker, initargs=(self.log,))


def begin_worker(log: Path) -> None:
    """In a new process: Ctrl-C is the parent's to handle, it ends with the parent, and prints into a file."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)


def _end_with_parent() -> None:
    """A pool's processes would wait for work for ever if the parent was killed."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
