"""What was done to a case, and what it lost where structures overlap: conversion_records/CASE.json.

The record goes along with the dataset: no name, date or UID of a patient may stand in it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from nnunet_doselo.common.files import read_json, write_json
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.structures import Overlap

RECORDS = "conversion_records"
LostCc = dict[tuple[str, str], float]
"""What a label map, which holds one structure a voxel, lost where two overlap: cc by pair (kept, lost)."""


@dataclass(frozen=True)
class ConversionRecord:
    """volumes_cc: by structure, as contoured (on the CT's grid) and as it stands in the label maps, where other
    structures may lie over it. overlaps_cc: where two structures claimed the same voxels.
    """

    case: str
    grid: dict[str, Any]
    source_ct: dict[str, Any]
    native_dose_max_gy: float | None
    dose_max_gy: float | None
    alignment: dict[str, dict[str, Any]]
    volumes_cc: dict[str, dict[str, float]]
    overlaps_cc: list[dict[str, Any]]
    notes: tuple[str, ...]


def conversion_record_file(folder: Path, case: str, ending: str = ".json") -> Path:
    """Where a dataset keeps what belongs to a case's record."""
    return folder / RECORDS / f"{case}{ending}"


def write_conversion_record(folder: Path, record: ConversionRecord) -> None:
    write_json(conversion_record_file(folder, record.case), asdict(record))


def describe_grid(grid: Grid) -> dict[str, Any]:
    """Size and spacing (mm), x, y, z."""
    return {"size": list(grid.size), "spacing_mm": [round(s, 6) for s in grid.spacing]}


def volume_cc(mask: np.ndarray, grid: Grid) -> float:
    """Volume of a boolean mask (Z, Y, X) to 0.0001 cc; 0 if it is empty."""
    return round(float(np.count_nonzero(mask)) * grid.voxel_cc, 4)


def lost_cc(overlaps: Sequence[Overlap], grid: Grid) -> LostCc:
    """What one case lost, unrounded; {} without overlaps."""
    return {(overlap.kept, overlap.lost): overlap.voxels * grid.voxel_cc for overlap in overlaps}


def print_lost(cases: Sequence[LostCc]) -> None:
    """One line a pair on standard error, the largest loss over all cases first; nothing without overlaps."""
    total: Counter[tuple[str, str]] = Counter()
    for case in cases:
        total.update(case)
    console = Console(stderr=True)
    for (kept, lost), cc in total.most_common():
        console.print(f"  overlap: {kept} over {lost}, {cc:.1f} cc in all")


def print_recorded_overlaps(folder: Path, cases: Sequence[str]) -> None:
    """What label maps lost, over all of these cases that have a record."""
    files = [file for case in cases if (file := conversion_record_file(folder, case)).exists()]
    overlaps = [read_json(file, "doselo convert")["overlaps_cc"] for file in files]
    print_lost([{(pair["kept"], pair["lost"]): pair["cc"] for pair in of_case} for of_case in overlaps])
