"""One way to work through cases: in processes, with a progress bar, naming each case that failed.

An error is usually one of settings or data that others share, so `map_cases` stops at it. A process that dies, most
often for lack of memory, says nothing about the others: they go on, and its case is tried again when they are done.
"""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.workers import Died, Workers

Item = TypeVar("Item")
Result = TypeVar("Result")
Answer = tuple[Any, str]
DIED = (
    "its process died without a word, most often for lack of memory; run again with fewer processes (-np 1; in a "
    "training nnUNet_def_n_proc=1)"
)


@dataclass(frozen=True)
class Attempt(Generic[Result]):
    """What became of one case: its result, or the reason why there is none (else empty)."""

    case: str
    result: Result | None = None
    reason: str = ""


def default_processes() -> int:
    """nnU-Net's own setting `nnUNet_def_n_proc`, else the number of cores, at most 8."""
    return int(os.environ.get("nnUNet_def_n_proc", min(8, os.cpu_count() or 1)))  # noqa: SIM112, nnU-Net's name


def map_cases(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    processes: int,
    description: str,
    name_of: Callable[[Item], str] = str,
) -> list[Result]:
    """Apply `work` (a picklable function) to every item; results come in the order of `items`.

    Raises
    ------
    DoseloError: a case failed; it is named. After an error no other case is begun, and those that were begun are
        ended; after a process has died all others are done first. What other cases have written stays.
    """
    attempts = attempt_cases(
        work, items, processes=processes, description=description, name_of=name_of, stop_at_error=True
    )
    for attempt in attempts:
        if attempt.reason:
            raise DoseloError(f"case {attempt.case}: {attempt.reason}")
    return [attempt.result for attempt in attempts]  # type: ignore[misc]


def in_full(error: Exception) -> str:
    """Errors of ours as they are, others with their kind."""
    return str(error) if isinstance(error, DoseloError) else f"{type(error).__name__}: {error}"


def attempt_cases(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    processes: int,
    description: str,
    name_of: Callable[[Item], str] = str,
    reason_of: Callable[[Exception], str] = in_full,
    start: Callable[[], None] | None = None,
    stop_at_error: bool = False,
    failed: Callable[[Console, Attempt[Result]], None] | None = None,
) -> list[Attempt[Result]]:
    """Apply `work` (a picklable function) to every item; attempts come in the order of `items`.

    processes: with one, the work is done in this process, and a death is this process's.
    reason_of: turns an error into an attempt's reason, where the error was raised; picklable.
    start: called in each process before its first case.
    stop_at_error: begin no other case after one has failed with an error; cases that were not begun are left out.
    failed: told at once of each failure, with the console that the progress bar is on.
    """
    attempts: dict[int, Attempt[Result]] = {}
    with progress_bar() as progress:
        bar = progress.add_task(description, total=len(items))
        with closing(_answers(partial(_answer, work=work, reason_of=reason_of), items, processes, start)) as answers:
            for index, (result, reason) in answers:
                attempts[index] = Attempt(name_of(items[index]), result, reason)
                progress.advance(bar)
                if reason and failed:
                    failed(progress.console, attempts[index])
                if reason and stop_at_error and reason != DIED:
                    break
    return [attempts[index] for index in sorted(attempts)]


def _answer(item: Any, work: Callable[[Any], Any], reason_of: Callable[[Exception], str]) -> Answer:
    """Result and reason; exceptions do not travel, because not all can be pickled."""
    try:
        return work(item), ""
    except Exception as error:
        return None, reason_of(error)


def _answers(
    work: Callable[[Any], Answer], items: Sequence[Any], processes: int, start: Callable[[], None] | None
) -> Generator[tuple[int, Answer], None, None]:
    """Index and answer of each item as they come; those whose process died are tried once more, one by one."""
    if processes <= 1 or not items:
        yield from ((index, work(item)) for index, item in enumerate(items))
        return
    again: list[int] = []
    with Workers(work, start) as workers:
        for index, answer in workers.results([*enumerate(items)], processes):
            if isinstance(answer, Died):
                again.append(index)
            else:
                yield index, answer
    for index in again:
        with Workers(work, start) as alone:
            for _, answer in alone.results([(index, items[index])], 1):
                yield index, (None, DIED) if isinstance(answer, Died) else answer


def progress_bar() -> Progress:
    """On standard error, with the count and the time that is left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
