"""What all clinical converters do around their patients: settings before, splits, dataset.json after."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError

from ..grids.common_grid import GridSettings
from ..names.structure_names import NameMap
from .ids import Split
from .writer import DatasetWriter


def recorded_settings(converter: str, channels: Sequence[str], name_map: NameMap, grid: GridSettings) -> dict[str, Any]:
    """What must be the same for all cases of a dataset, in runs that add to it too."""
    return {
        "converter": converter,
        "channels": list(channels),
        "labels": name_map.labels,
        **name_map.guidance.to_json(),
        **asdict(grid),
    }


def read_test_patients(file: Path) -> frozenset[str]:
    """Names of patients, one a line.

    Raises
    ------
    DoseloError: the file cannot be read, or is empty.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DoseloError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from None
    if not (patients := frozenset(line.strip() for line in lines if line.strip())):
        raise DoseloError(f"{file}: must hold the test patients, one a line, and is empty")
    return patients


def check_splits(split_of: Mapping[str, Split], writer: DatasetWriter) -> None:
    """No case may be in both splits.

    Raises
    ------
    DoseloError: an earlier run converted a case for the other split.
    """
    for case, split in split_of.items():
        other: Split = "Tr" if split == "Ts" else "Ts"
        if writer.file("labels", case, other).exists():
            raise DoseloError(
                f"{case} was converted to labels{other} and now belongs to labels{split}; pass --overwrite to convert "
                "all again, or leave the split as it was"
            )


def finish(writer: DatasetWriter, channels: Sequence[str], name_map: NameMap) -> None:
    """dataset.json with the cases that are there; none without a case."""
    if any(writer.folder.glob("labelsT[rs]/[!.]*")):
        writer.finish(list(channels), name_map.labels, name_map.guidance)
