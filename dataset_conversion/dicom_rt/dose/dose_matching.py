"""Which RTDOSE files belong to which case: by the structure set they were calculated on, or by the user's table."""

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError

from ..export.exported_table import Exported
from ..files.headers import Header, scan

TABLE_COLUMNS = ("file", "case")


@dataclass
class MatchedDoses:
    """Files by case, the cases in order; and in words what fits no case."""

    files: dict[str, list[Path]]
    remarks: list[str] = field(default_factory=list)


def match_by_table(table: Path, folder: Path) -> MatchedDoses:
    """Rows of a CSV file with the columns file (below `folder`) and case; several files of a case are summed.

    Raises
    ------
    DoseloError: the table cannot be read, lacks a column, is empty, names a file twice or one that does not exist.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as opened:
            rows = list(csv.DictReader(opened))
    except (OSError, ValueError, csv.Error):
        raise DoseloError(f"{table}: cannot be read; a CSV file with the columns file,case is expected") from None
    if not rows or any(not row.get(column) for row in rows for column in TABLE_COLUMNS):
        raise DoseloError(f"{table}: must have the columns file,case, separated by commas, and both in every row")
    files: dict[str, list[Path]] = {}
    for row in rows:
        file = folder / row["file"].strip()
        if not file.is_file():
            raise DoseloError(f"{table}: names {row['file']}, which is no file in {folder}")
        files.setdefault(row["case"].strip(), []).append(file)
    if len({file.resolve() for of_case in files.values() for file in of_case}) < len(rows):
        raise DoseloError(f"{table}: names a file twice; one row a file is expected")
    return MatchedDoses(files)


def match_by_reference(folder: Path, exported: Mapping[str, Exported], *, processes: int = 1) -> MatchedDoses:
    """All RTDOSE files below `folder`, by the structure set that they, or their RTPLAN in `folder`, refer to.

    Every exported case is in the answer, with an empty list if no dose is its own. Files that are damaged, or fit no
    case, become remarks.
    """
    case_of = {entry.sop_instance_uid: case for case, entry in exported.items()}
    scanned = scan(folder, processes=processes)
    plans = {header.instance: header.of_structures for header in scanned.headers if header.kind == "RTPLAN"}
    matched = MatchedDoses({case: [] for case in exported}, [damaged.message for damaged in scanned.unreadable])
    for dose in scanned.headers:
        if dose.kind != "RTDOSE":
            continue
        made_for = dose.of_structures.union(*(plans.get(plan, frozenset()) for plan in dose.plans))
        cases = {case_of[structure_set] for structure_set in made_for if structure_set in case_of}
        if len(cases) == 1:
            matched.files[cases.pop()].append(dose.path)
        else:
            why = "it refers to several" if cases else _why(dose, plans)
            matched.remarks.append(f"{dose.path}: fits no case, {why}; name its case with --table")
    return matched


def _why(dose: Header, plans: Collection[str]) -> str:
    if not dose.of_structures and dose.plans and not dose.plans & set(plans):
        return "its RTPLAN is not in the folder (export it too)"
    return "it was not calculated on an exported structure set"
