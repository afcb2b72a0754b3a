"""Processes that work on one case at a time: when one of them dies, it is known which case it held."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from nnunet_doselo.common.errors import DoseloError


@dataclass(frozen=True)
class Died:
    """Stands for the result of a case whose process died."""


class Workers:
    """Processes that apply `work` (a picklable function that does not raise) to cases; a context manager.

    start: called once in each process, before its first case. Leaving the context ends the processes, each after the
    case that it works on. A process also ends when the one that started it dies.
    """

    def __init__(self, work: Callable[[Any], Any], start: Callable[[], None] | None = None) -> None:
        self._work, self._start = work, start
        self._workers: dict[Connection, _Worker] = {}

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.connection.close()
        for worker in self._workers.values():
            worker.process.join()

    def results(self, items: Sequence[tuple[int, Any]], processes: int) -> Iterator[tuple[int, Any]]:
        """Index and result (or `Died`) of each item, as they come, `processes` at a time.

        Nothing new is begun between two results that are asked for.

        Raises
        ------
        DoseloError: a process ended before it could take a case.
        """
        to_do = deque(items)
        while to_do or any(worker.held is not None for worker in self._workers.values()):
            self._hand_out(to_do, processes)
            for connection in wait([*self._workers]):
                worker = self._workers[connection]  # type: ignore[index]
                index = worker.held
                result = self._received(worker)
                if index is not None:
                    yield index, result

    def _hand_out(self, to_do: deque[tuple[int, Any]], processes: int) -> None:
        while len(self._workers) < min(processes, len(to_do)):
            worker = _Worker(self._work, self._start)
            self._workers[worker.connection] = worker
        for worker in self._workers.values():
            if worker.ready and worker.held is None and to_do:
                worker.take(*to_do.popleft())

    def _received(self, worker: "_Worker") -> Any:
        """The first thing that a process says is that it is ready."""
        try:
            result = worker.connection.recv()
        except (EOFError, ConnectionError):
            self._bury(worker)
            result = Died()
        worker.ready, worker.held = True, None
        return result

    def _bury(self, worker: "_Worker") -> None:
        del self._workers[worker.connection]
        worker.process.join()
        if not worker.ready:
            raise DoseloError(
                f"a process must start before it can take a case, found one that ended with status "
                f"{worker.process.exitcode}; what it printed tells why. Try one process (-np 1)"
            ) from None


class _Worker:
    """`held`: index of the case that the process works on."""

    def __init__(self, work: Callable[[Any], Any], start: Callable[[], None] | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, far_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(far_end, work, start))
        self.process.start()
        far_end.close()  # the process has the only one: its death is the end of the connection
        self.ready = False
        self.held: int | None = None

    def take(self, index: int, item: Any) -> None:
        self.held = index
        with suppress(ConnectionError):  # it has just died, which is seen next
            self.connection.send(item)


def _serve(connection: Connection, work: Callable[[Any], Any], start: Callable[[], None] | None) -> None:
    """Until the other end is closed, or its process is gone; Ctrl-C is the other end's to tell."""
    if start:
        start()
    with suppress(EOFError, ConnectionError, KeyboardInterrupt):
        connection.send(None)
        while True:
            connection.send(work(connection.recv()))
