"""What a conversion has found, on standard output: it is what a dry run is asked for.

Patients are shown as their folders call them, structures and series by their own names, because the user has to write
these into the name map; nothing of it reaches a file.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .ids import Split
from .source import SourceCohort, SourcePatient

SPLIT_NAMES: dict[Split, str] = {"Tr": "training", "Ts": "test"}


@dataclass(frozen=True)
class SourceCase:
    """A patient with the case id and the split that the key table gives."""

    name: str
    split: Split
    patient: SourcePatient


def print_cases(cases: Iterable[SourceCase]) -> None:
    """Each patient's files and choices, and why some would fail."""
    console = Console(soft_wrap=True)
    for case in cases:
        patient = f", patient {case.patient.shown_name}" if case.patient.shown_name else ""
        console.print(f"[bold]{case.name}[/] ({SPLIT_NAMES[case.split]}){escape(patient)}")
        for line in case.patient.lines:
            console.print(f"  {escape(line)}")
        for problem in case.patient.problems:
            console.print(f"  [bold red]would fail:[/] {escape(problem)}")


def print_dry_run(cases: Sequence[SourceCase]) -> None:
    """How it would go."""
    failing = sum(bool(case.patient.problems) for case in cases)
    Console().print(f"{len(cases) - failing} would be converted, {failing} would fail; nothing was written")


def print_remarks(cohort: SourceCohort) -> None:
    """What concerns the whole cohort: the source's remarks, and names of structures that are not known."""
    console = Console(soft_wrap=True)
    for remark in cohort.remarks:
        console.print(escape(remark))
    _print_unmapped(cohort.unmapped)


def _print_unmapped(unmapped: Sequence[Mapping[str, str | None]]) -> None:
    """The most frequent first, with the nearest name that the name map knows; nothing if all are known."""
    count = Counter(name for names in unmapped for name in names)
    nearest = {name: near for names in unmapped for name, near in names.items()}
    if not count:
        return
    table = Table("structures that the name map does not know", "patients", "nearest", box=None, pad_edge=False)
    for name, patients in sorted(count.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(escape(name), str(patients), escape(nearest[name] or ""))
    Console().print(table)
