"""exported.json beside exported structure sets: which object was drawn from which label map, for doses to come back.

It holds UIDs, so it is readable by its owner alone.
"""

import json
from pathlib import Path
from typing import Any

from nnunet_doselo.common.files import all_or_nothing
from nnunet_doselo.common.errors import DoseloError

EXPORTED_FILE = "exported.json"
OWNER_ONLY_FILE = 0o600

Entry = dict[str, Any]


def read_table(folder: Path) -> dict[str, Entry]:
    """Entries by case; empty if nothing was exported to the folder yet.

    Raises
    ------
    DoseloError: the table is damaged.
    """
    file = folder / EXPORTED_FILE
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise DoseloError(f"{file}: is no table of exported structure sets; choose another output folder")
    return content


def write_table(folder: Path, entries: dict[str, Entry]) -> None:
    """All or nothing, mode 600."""
    with all_or_nothing(folder / EXPORTED_FILE) as partial:
        partial.touch(mode=OWNER_ONLY_FILE)
        partial.write_text(json.dumps(dict(sorted(entries.items())), indent=2) + "\n")
