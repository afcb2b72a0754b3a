"""One way to work through cases: in processes, with a progress bar, naming the case that failed."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nnunet_doselo.common.errors import DoseloError

Item = TypeVar("Item")
Result = TypeVar("Result")


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
    DoseloError: the first failure, naming its case; what other cases have written stays.
    """
    if not items:
        return []
    with progress_bar() as progress:
        bar = progress.add_task(description, total=len(items))
        if processes <= 1:
            return [_one(work, item, name_of, lambda: progress.advance(bar)) for item in items]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(processes, len(items)), mp_context=context) as pool:
            futures = {pool.submit(work, item): index for index, item in enumerate(items)}
            results: dict[int, Result] = {}
            for future in as_completed(futures):
                index = futures[future]
                try:
                    results[index] = future.result()
                except Exception as error:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise _named(error, name_of(items[index])) from error
                progress.advance(bar)
    return [results[index] for index in range(len(items))]


def _one(
    work: Callable[[Item], Result], item: Item, name_of: Callable[[Item], str], done: Callable[[], None]
) -> Result:
    try:
        result = work(item)
    except Exception as error:
        raise _named(error, name_of(item)) from error
    done()
    return result


def _named(error: Exception, name: str) -> DoseloError:
    reason = str(error) if isinstance(error, DoseloError) else f"{type(error).__name__}: {error}"
    return DoseloError(f"case {name}: {reason}")


def progress_bar() -> Progress:
    """On standard error, with the count and the time that is left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
