"""What a conversion of NIfTI files would do, on the console: patients by their own names, nothing of it is kept."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..cases.ids import Split
from ..names.structure_names import NameMap
from .layout import Layout
from .patients import NiftiPatient
from .reading import own_names

SPLIT_NAMES: dict[Split, str] = {"Tr": "training", "Ts": "test"}


def print_plan(
    jobs: Sequence[tuple[str, Split, NiftiPatient, Sequence[str]]], layout: Layout, name_map: NameMap
) -> None:
    """Each patient (case, split, files, problems): files by what they are, structures with their own names."""
    console = Console(stderr=True, soft_wrap=True)
    for case, split, patient, problems in jobs:
        console.print(f"[bold]{escape(case)}[/] ({SPLIT_NAMES[split]}), patient {escape(patient.name)}")
        for kind in [kind for kind in layout.needed() if kind in patient.files]:
            console.print(f"  {escape(kind)}: {escape(patient.files[kind])}")
        matched = name_map.match(own_names(patient, layout))
        structures = [name if name == own else f"{name} ({own})" for name, own in matched.by_tg263.items()]
        console.print(f"  structures: {escape(', '.join(structures) or 'none')}")
        if matched.excluded:
            console.print(f"  excluded: {escape(', '.join(matched.excluded))}")
        for problem in problems:
            console.print(f"  [bold red]would fail:[/] {escape(problem)}")
    failing = sum(bool(problems) for *_, problems in jobs)
    console.print(f"{len(jobs) - failing} would be converted, {failing} would fail; nothing was written")


def print_note(layout: Layout) -> None:
    if layout.note:
        Console(stderr=True, soft_wrap=True).print(f"[bold]note:[/] {escape(layout.note)}")


def print_unmapped(unmapped: Sequence[Mapping[str, str | None]]) -> None:
    """Names that the name map does not know, over all patients, with the nearest that it knows; nothing if there are
    none. They are printed as they are, since the user has to write them there."""
    count = Counter(name for names in unmapped for name in names)
    nearest = {name: near for names in unmapped for name, near in names.items()}
    if not count:
        return
    table = Table("structures that the name map does not know", "patients", "nearest", box=None, pad_edge=False)
    for name, patients in sorted(count.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(escape(name), str(patients), escape(nearest[name] or ""))
    Console(stderr=True).print(table)
