"""A cohort, patient by patient: one failure is one line, and the others go on."""

import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import Attempt, attempt_cases

Item = TypeVar("Item")
Status = Literal["converted", "there already", "failed"]
COLOUR: dict[Status, str] = {"converted": "green", "there already": "dim", "failed": "bold red"}


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
    attempts = attempt_cases(
        work,
        items,
        processes=processes,
        description=description,
        name_of=name_of,
        reason_of=_without_the_patient,
        start=_one_thread_each,
        failed=_say_failure,
    )
    return [
        Outcome(attempt.case, "failed", attempt.reason)
        if attempt.reason
        else Outcome(attempt.case, "converted", notes=tuple(attempt.result or ()))
        for attempt in attempts
    ]


def _say_failure(console: Console, attempt: Attempt) -> None:
    console.print(f"[bold red]{escape(attempt.case)}:[/] {escape(attempt.reason)}", soft_wrap=True)


def _one_thread_each() -> None:
    """SimpleITK uses all cores in every process otherwise."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _without_the_patient(error: Exception) -> str:
    """Errors of ours on one line; of others not their text, which may quote names or dates of the patient."""
    if isinstance(error, DoseloError):
        return " ".join(str(error).split())
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
