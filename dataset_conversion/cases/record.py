"""What was done to a case, for whoever looks at a number later: conversion_records/CASE.json.

The record goes along with the dataset: no name, date or UID of a patient may stand in it.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_doselo.common.files import write_json
from nnunet_doselo.dataset.geometry import Grid

RECORDS = "conversion_records"


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


def record_file(folder: Path, case: str, ending: str = ".json") -> Path:
    """Where a dataset keeps what belongs to a case's record."""
    return folder / RECORDS / f"{case}{ending}"


def write_record(folder: Path, record: ConversionRecord) -> None:
    write_json(record_file(folder, record.case), asdict(record))


def describe_grid(grid: Grid) -> dict[str, Any]:
    """Size and spacing (mm), x, y, z."""
    return {"size": list(grid.size), "spacing_mm": [round(s, 6) for s in grid.spacing]}


def volume_cc(mask: np.ndarray, grid: Grid) -> float:
    """Volume of a boolean mask (Z, Y, X) to 0.0001 cc; 0 if it is empty."""
    return round(float(np.count_nonzero(mask)) * grid.voxel_cc, 4)
