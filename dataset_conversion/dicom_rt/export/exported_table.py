"""exported.json beside exported structure sets: which object was drawn from which label map, for doses to come back.

It holds UIDs, so it is readable by its owner alone.
"""

from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import OWNER_ONLY_FILE, read_json, write_json

EXPORTED_FILE = "exported.json"

Entry = dict[str, Any]


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
