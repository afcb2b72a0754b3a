"""From a patient's images and masks to one case of the dataset: what DICOM and NIfTI share after reading."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import AIR_HU, Grid
from nnunet_doselo.dataset.images import grid_of
from nnunet_doselo.dataset.structures import Overlap, paint_organs, paint_targets

from ..grids.common_grid import GridSettings, common_grid, onto
from ..grids.mask_resampling import resample_mask
from ..names.structure_names import NameMap
from .checks import check_coverage, check_ct, check_dose, swapped_sides
from .record import ConversionRecord, describe_grid, lost_cc, volume_cc, write_conversion_record
from .writer import Case, DatasetWriter

CT_CHANNEL = "CT"


@dataclass(frozen=True, eq=False)
class PatientImages:
    """One patient as read, nothing resampled yet.

    ct: HU. images: by channel name, on any grid, aligned with the CT in space; the CT itself need not be among them.
    masks: by TG-263 name, boolean (Z, Y, X) on the CT's grid. dose: Gy, on any grid in the CT's space, or None.
    native_dose_max_gy: maximum on the dose's own grid. alignment: by channel, how it was put onto the CT and how well.
    notes: what reading left to say; free of names, dates and UIDs, because they go into the record.
    """

    ct: sitk.Image
    images: Mapping[str, sitk.Image]
    masks: Mapping[str, np.ndarray]
    dose: sitk.Image | None = None
    native_dose_max_gy: float | None = None
    alignment: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def to_case(
    patient: PatientImages, case_id: str, name_map: NameMap, channels: Sequence[str], grid: GridSettings | Grid
) -> tuple[Case, ConversionRecord]:
    """Resample, cut and paint one patient. The record's notes tell what should be looked at.

    CT (HU), images and dose (Gy) are interpolated linearly; outside of them there is air, 0 and 0. Each structure is
    interpolated on its own and keeps its volume; then structures are painted over each other
    (`structures.paint_organs`, `paint_targets`).

    channels: names of the network's inputs, in the dataset's order; "CT" is the planning CT.
    grid: the case's own, which has to hold all structures, or how it is made (`common_grid`).

    Raises
    ------
    DoseloError: a channel is missing; a mandatory structure, or every target, is missing or empty; left and right are
        swapped; the grid cannot be made (`common_grid`).
    """
    _check_complete(patient, name_map, channels)
    source = grid_of(patient.ct)
    if swapped := swapped_sides(patient.masks, source):
        raise DoseloError(f"left and right are swapped: {', '.join(swapped)}; correct the names, or the name map")
    kept = {name: mask for name, mask in patient.masks.items() if name != name_map.body}
    if isinstance(grid, GridSettings):
        body = patient.masks.get(name_map.body or "")
        grid = common_grid(patient.ct, grid, kept, body if body is not None and body.any() else None)
    labels, oars, overlaps, vanished = _painted(kept, source, grid, name_map)
    case = Case(
        name=case_id,
        grid=grid,
        images=_images(patient, channels, grid),
        labels=labels,
        ct_hu=onto(patient.ct, grid, outside=AIR_HU),
        oars=oars,
        dose_gy=None if patient.dose is None else onto(patient.dose, grid, outside=0.0),
    )
    notes = (*patient.notes, *vanished, *_doubts(case, name_map))
    return case, _record(patient, case, name_map, overlaps, notes)


def write_case(writer: DatasetWriter, case: Case, record: ConversionRecord, split: str) -> None:
    """The record first, the labels last: a case with labels is complete."""
    write_conversion_record(writer.folder, record)
    writer.write(case, split)


def _check_complete(patient: PatientImages, name_map: NameMap, channels: Sequence[str]) -> None:
    absent = [name for name in channels if name != CT_CHANNEL and name not in patient.images]
    if absent:
        raise DoseloError(f"all patients need the images {', '.join(channels)}, missing {', '.join(absent)}")
    drawn = {name for name, mask in patient.masks.items() if mask.any()}
    lacking = [rule.name for rule in name_map.rules if rule.mandatory and rule.name not in drawn]
    if lacking:
        raise DoseloError(f"mandatory structures are missing or empty: {', '.join(lacking)}")
    if not drawn & {*name_map.target_gy}:
        raise DoseloError(f"at least one target of {', '.join(name_map.target_gy)} must be drawn, found none")


def _images(patient: PatientImages, channels: Sequence[str], grid: Grid) -> tuple[np.ndarray | None, ...]:
    return tuple(None if name == CT_CHANNEL else onto(patient.images[name], grid, outside=0.0) for name in channels)


def _painted(
    kept: Mapping[str, np.ndarray], source: Grid, grid: Grid, name_map: NameMap
) -> tuple[np.ndarray, np.ndarray, list[Overlap], list[str]]:
    """Labels, organs, what was lost where structures overlap, and notes on what is too small to be seen."""
    masks = {name: resample_mask(mask, source, grid) for name, mask in kept.items()}
    organs = {name: masks[name] for name in name_map.oars if name in masks}
    targets = {name: masks[name] for name in name_map.target_gy if name in masks}
    nothing = np.zeros(grid.shape, np.uint8)
    oars, organ_overlaps = paint_organs(organs, name_map.oars) if organs else (nothing, [])
    labels, target_overlaps = paint_targets(targets, name_map.labels, name_map.target_gy)
    gone = [name for name, mask in kept.items() if mask.any() and not masks[name].any()]
    notes = [f"{name} is too small for this grid and has no voxel left" for name in gone]
    return labels, oars, organ_overlaps + target_overlaps, notes


def _doubts(case: Case, name_map: NameMap) -> list[str]:
    """What `doselo verify` would find in the voxels."""
    if case.dose_gy is None:
        return check_ct(case.ct_hu)
    return [
        *check_ct(case.ct_hu),
        *check_dose(case.dose_gy, name_map.guidance.prescription_gy),
        *check_coverage(case.dose_gy, case.labels > 0),
    ]


def _record(
    patient: PatientImages, case: Case, name_map: NameMap, overlaps: Sequence[Overlap], notes: Sequence[str]
) -> ConversionRecord:
    source = grid_of(patient.ct)
    maps = {name: (case.labels, value) for name, value in name_map.labels.items()}
    maps |= {name: (case.oars, value) for name, value in name_map.oars.items()}
    lost = lost_cc(overlaps, case.grid)
    return ConversionRecord(
        case=case.name,
        grid=describe_grid(case.grid),
        source_ct=describe_grid(source),
        native_dose_max_gy=patient.native_dose_max_gy,
        dose_max_gy=None if case.dose_gy is None else float(case.dose_gy.max()),
        alignment={name: dict(how) for name, how in patient.alignment.items()},
        volumes_cc={
            name: {"contoured": volume_cc(mask, source), "in_dataset": volume_cc(painted == value, case.grid)}
            for name, mask in patient.masks.items()
            if name in maps
            for painted, value in [maps[name]]
        },
        overlaps_cc=[{"kept": kept, "lost": below, "cc": round(cc, 4)} for (kept, below), cc in lost.items()],
        notes=tuple(notes),
    )
