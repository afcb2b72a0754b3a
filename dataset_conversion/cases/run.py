"""A cohort, patient by patient: one failure is one line, and the others go on."""

import multiprocessing
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import progress_bar

Item = TypeVar("Item")
Status = Literal["converted", "there already", "failed"]
COLOUR: dict[Status, str] = {"converted": "green", "there already": "dim", "failed": "bold red"}
DIED = "its process died without a word, most often for lack of memory; run again with fewer processes (-np 1)"


@dataclass(frozen=True)
class Outcome:
    """What became of one patient. message: why it failed, else empty. notes: what is worth knowing."""

    case: str
    status: Status
    message: str = ""
    notes: tuple[str, ...] = ()


def run_patients(
    work: Callable[[Item], Sequence[str]],
    items: Sequence[Item],
    *,
    processes: int,
    description: str,
    name_of: Callable[[Item], str],
) -> list[Outcome]:
    """Apply `work` to every patient, in processes, with a progress bar; outcomes come in the order of `items`.

    work: a picklable function; what it returns are notes. A DoseloError becomes the patient's message as it is; any
        other exception is told by its kind and place alone, because its text might quote the patient's file.
    name_of: the case id, which is all that is shown of a patient.
    """
    outcomes: dict[int, Outcome] = {}
    with progress_bar() as progress:
        bar = progress.add_task(description, total=len(items))

        def done(index: int, outcome: Outcome) -> None:
            outcomes[index] = outcome
            progress.advance(bar)
            if outcome.status == "failed":
                progress.console.print(
                    f"[bold red]{escape(outcome.case)}:[/] {escape(outcome.message)}", soft_wrap=True
                )

        names = [name_of(item) for item in items]
        if processes <= 1:
            for index, item in enumerate(items):
                done(index, _attempt(work, item, names[index]))
        else:
            _in_processes(work, items, names, processes, done)
    return [outcomes[index] for index in range(len(items))]


def _in_processes(
    work: Callable[[Item], Sequence[str]],
    items: Sequence[Item],
    names: Sequence[str],
    processes: int,
    done: Callable[[int, Outcome], None],
) -> None:
    """A process that dies takes its pool along: who was left goes one by one until it is known who it was."""
    left = _run_pool(work, dict(enumerate(items)), names, processes, done)
    while left:
        index, *left = left
        if _run_pool(work, {index: items[index]}, names, 1, done):
            done(index, Outcome(names[index], "failed", DIED))
            left = _run_pool(work, {other: items[other] for other in left}, names, processes, done)


def _run_pool(
    work: Callable[[Item], Sequence[str]],
    items: dict[int, Item],
    names: Sequence[str],
    processes: int,
    done: Callable[[int, Outcome], None],
) -> list[int]:
    """Run what can be run; returns the items that were left when a process died."""
    if not items:
        return []
    left = dict(items)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, len(items)), mp_context=context, initializer=_one_thread_each)
    try:
        futures = {pool.submit(_attempt, work, item, names[index]): index for index, item in items.items()}
        for future in as_completed(futures):
            index = futures[future]
            done(index, future.result())
            del left[index]
    except BrokenProcessPool:
        pass  # told by `left`
    finally:
        pool.shutdown(wait=not left, cancel_futures=True)
    return list(left)


def _one_thread_each() -> None:
    """SimpleITK uses all cores in every process otherwise."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _attempt(work: Callable[[Item], Sequence[str]], item: Item, name: str) -> Outcome:
    try:
        return Outcome(name, "converted", notes=tuple(work(item)))
    except DoseloError as error:
        return Outcome(name, "failed", " ".join(str(error).split()))
    except Exception as error:  # one patient must not stop the others; it is told, and counts as failed
        return Outcome(name, "failed", _kind_and_place(error))


def _kind_and_place(error: Exception) -> str:
    """Without the text of the error, which may quote names or dates of the patient."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}, line {last.lineno}: not foreseen, please report it"


def any_failed(outcomes: Sequence[Outcome]) -> bool:
    return any(outcome.status == "failed" for outcome in outcomes)


def print_summary(outcomes: Sequence[Outcome]) -> None:
    """A table on standard error: each patient's status, and the reason or the notes; below it the totals."""
    console = Console(stderr=True)
    table = Table("case", "status", "", box=None, pad_edge=False)
    for outcome in outcomes:
        said = [outcome.message] if outcome.status == "failed" else list(outcome.notes)
        table.add_row(escape(outcome.case), f"[{COLOUR[outcome.status]}]{outcome.status}[/]", escape("\n".join(said)))
    console.print(table)
    count = Counter(outcome.status for outcome in outcomes)
    console.print(", ".join(f"{count[status]} {status}" for status in COLOUR))
