"""exported.json beside exported structure sets: which object was drawn from which label map, for doses to come back.

It holds UIDs, so it is readable by its owner alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import OWNER_ONLY_FILE, read_json, write_json

EXPORTED_FILE = "exported.json"

Entry = dict[str, Any]


@dataclass(frozen=True)
class Exported:
    """One structure set that `doselo export-rtstruct` wrote, and the label map it was drawn from."""

    sop_instance_uid: str
    labels_sha256: str


def read_table(folder: Path) -> dict[str, Entry]:
    """Entries by case; empty if nothing was exported to the folder yet.

    Raises
    ------
    DoseloError: the table is damaged.
    """
    file = folder / EXPORTED_FILE
    if not file.exists():
        return {}
    try:
        content = read_json(file, "doselo export-rtstruct")
    except DoseloError:
        content = {"": None}
    if not all(isinstance(entry, dict) for entry in content.values()):
        raise DoseloError(f"{file}: is no table of exported structure sets; choose another output folder")
    return content


def write_table(folder: Path, entries: dict[str, Entry]) -> None:
    """All or nothing, mode 600."""
    write_json(folder / EXPORTED_FILE, dict(sorted(entries.items())), mode=OWNER_ONLY_FILE)


def read_exported(folder: Path) -> dict[str, Exported]:
    """By case, from the table beside the exported structure sets.

    Raises
    ------
    DoseloError: there is no table, it is damaged, or two cases have the same structure set.
    """
    table = read_table(folder)
    if not table:
        raise DoseloError(
            f"{folder}: has no {EXPORTED_FILE}; --exported names the output folder of `doselo export-rtstruct`"
        )
    if damaged := [case for case, entry in table.items() if not {"sop_instance_uid", "labels_sha256"} <= entry.keys()]:
        raise DoseloError(
            f"{folder / EXPORTED_FILE}: the entry of {damaged[0]} is damaged; export again, or use --table"
        )
    exported = {case: Exported(entry["sop_instance_uid"], entry["labels_sha256"]) for case, entry in table.items()}
    if len({entry.sop_instance_uid for entry in exported.values()}) < len(exported):
        raise DoseloError(f"{folder / EXPORTED_FILE}: two cases have the same structure set; export again")
    return exported
