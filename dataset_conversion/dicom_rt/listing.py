"""What was found, on the console: paths below the source, never what identifies a patient.

Names of ROIs and descriptions of series that the mapping file does not know are shown as they are, because the user
has to write them there; they reach no file.
"""

from collections import Counter
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..names.structure_names import NameMap
from .chosen_patients import Cohort, Found, unmapped_names, unused_series
from .files.choice import Chosen, link


def print_found(cohort: Cohort, case_of: Mapping[str, str], console: Console) -> None:
    """Each patient with what was chosen and why. `case_of`: case id by the patient's key."""
    for found in cohort.found:
        case = case_of.get(found.patient.key, "")
        if found.chosen:
            lines = [f"[bold]{case}[/]", *map(escape, _chosen(found, found.chosen, cohort))]
            console.print("\n  ".join(lines), soft_wrap=True)
    _print_scan(cohort, console)


def print_left_out(cohort: Cohort, name_map: NameMap, console: Console) -> None:
    """Over the whole cohort: unknown names with the nearest known, unused series, skipped patients, damaged files."""
    _print_names(cohort, name_map, console)
    if name_map.images and (rest := unused_series(cohort)):
        shown = ", ".join(f"{description or '(no description)'} ({times})" for description, times in rest)
        console.print(f"MR series that no image pattern chose: {escape(shown)}", soft_wrap=True)
    skipped = Counter((_folder(found, cohort), found.reason) for found in cohort.found if found.is_skipped)
    for (folder, reason), times in skipped.items():
        who = f"{times} patients" if times > 1 else "the patient"
        console.print(f"skipped, {who} in {escape(folder)}: {escape(reason)}", soft_wrap=True)
    for file in cohort.nobodys:
        console.print(f"[bold red]of no known patient:[/] {escape(cohort.relative(file.message))}", soft_wrap=True)


def _chosen(found: Found, chosen: Chosen, cohort: Cohort) -> list[str]:
    lines = [
        f"CT: {len(chosen.ct.files)} slices in {_where(chosen.ct.files[0].parent, cohort)}",
        f"structure set: {cohort.relative(chosen.structure_set.path)}",
        f"dose: {', '.join(cohort.relative(dose.path) for dose in chosen.doses) or 'none'}",
    ]
    for channel, series in chosen.images.items():
        how = link(found.patient, chosen.ct, series) or "no link to the CT, will be registered"
        lines.append(f"{channel}: {len(series.files)} slices in {_where(series.files[0].parent, cohort)} ({how})")
    return [*lines, *(f"chosen, {cohort.relative(reason)}" for reason in chosen.why)]


def _folder(found: Found, cohort: Cohort) -> str:
    return _where(found.patient.first_file.parent, cohort)


def _where(folder: object, cohort: Cohort) -> str:
    return "." if folder == cohort.source else cohort.relative(folder)


def _print_scan(cohort: Cohort, console: Console) -> None:
    scan = cohort.scan
    parts = [f"{len(scan.headers)} objects of {len(cohort.found)} patients"]
    parts += [f"{scan.duplicates} copies"] if scan.duplicates else []
    parts += [f"{times} {kind}, not used" for kind, times in sorted(scan.other_objects.items())]
    parts += [f"{scan.other_files} files that are not DICOM"] if scan.other_files else []
    console.print(f"found {', '.join(parts)}")


def _print_names(cohort: Cohort, name_map: NameMap, console: Console) -> None:
    unmapped = unmapped_names(cohort, name_map)
    if not unmapped:
        return
    table = Table("ROIs that the mapping does not know", "patients", "nearest", box=None, pad_edge=False)
    for name, times, nearest in unmapped:
        table.add_row(escape(name), str(times), escape(nearest or ""))
    console.print(table)
