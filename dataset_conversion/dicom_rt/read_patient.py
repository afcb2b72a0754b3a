"""The chosen files of one patient become images and masks in the space of the planning CT."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.images import grid_of

from ..cases.assemble import PatientImages
from ..names.structure_names import NameMap
from ..registration.mr_alignment import Aligned, align
from .contours.rasterise import rasterise
from .contours.rtstruct import Roi, StructureSet, read_structure_set
from .dose.rtdose import read_doses
from .files.choice import ChosenObjects
from .files.patients import Series
from .files.series import read_series
from .links.linked import link_between


def read_dicom_patient(chosen: ChosenObjects, name_map: NameMap) -> PatientImages:
    """Read, rasterise and align; nothing is resampled but what is aligned.

    Notes carry no file names, so that they can go into the record.

    Raises
    ------
    DoseloError: a file cannot be used; a mandatory structure is missing, empty or claimed by several contours.
    """
    ct = read_series(chosen.ct.files)
    masks, notes = _masks(chosen, name_map, grid_of(ct))
    images, alignment = {}, {}
    for channel, series in chosen.images.items():
        aligned, said = _aligned(chosen, ct, channel, series)
        images[channel] = aligned.image
        alignment[channel] = {"how": aligned.how, **aligned.quality}
        notes += [f"{channel}: {note}" for note in said]
    dose = read_doses([header.path for header in chosen.doses]) if chosen.doses else None
    notes += dose.notes if dose else ["no dose"]
    return PatientImages(
        ct=ct,
        images=images,
        masks=masks,
        dose=dose.image if dose else None,
        native_dose_max_gy=dose.native_max_gy if dose else None,
        alignment=alignment,
        notes=tuple(without_paths(note, chosen) for note in [*chosen.why, *notes]),
    )


def without_paths(text: str, chosen: ChosenObjects) -> str:
    """Files are often called after patients: in what is kept they are "one file"."""
    for path in sorted(_paths(chosen), key=lambda path: -len(str(path))):
        text = text.replace(str(path), "one file")
    return text


def _paths(chosen: ChosenObjects) -> set[Path]:
    series = [chosen.ct, *chosen.images.values()]
    objects = [chosen.structure_set, *chosen.doses]
    return {path for s in series for path in s.files} | {o.path for o in objects} | {*chosen.registrations}


def _masks(chosen: ChosenObjects, name_map: NameMap, grid: Grid) -> tuple[dict[str, np.ndarray], list[str]]:
    """Masks (Z, Y, X) by TG-263 name, and notes."""
    file = chosen.structure_set.path
    structure_set = read_structure_set(file)
    if structure_set.frame and chosen.ct.frame and structure_set.frame != chosen.ct.frame:
        raise DoseloError(f"{file}: its contours must lie in the CT's frame of reference, and lie in another")
    masks, notes = {}, []
    for name, roi in _wanted(structure_set, name_map, file).items():
        try:
            drawn = rasterise(roi.contours, grid, fill_gaps=not roi.automatic)
        except DoseloError as error:
            raise DoseloError(f"{file}: {name} (ROI number {roi.number}): {error}") from None
        masks[name] = drawn.mask
        notes += [f"{name}: {note}" for note in (*roi.notes, *drawn.notes)]
    return masks, notes


def _wanted(structure_set: StructureSet, name_map: NameMap, file: Path) -> dict[str, Roi]:
    """The regions that the name map knows. Those without contours count as missing."""
    drawn = [roi for roi in structure_set.rois if roi.contours]
    matched = name_map.match([roi.name for roi in drawn])
    empty = name_map.match([roi.name for roi in structure_set.rois if not roi.contours]).by_tg263
    if nothing := [name for name in matched.missing if name in empty]:
        raise DoseloError(f"{file}: mandatory structure {nothing[0]} has no closed contour; draw it, or leave it out")
    matched.check()
    by_name = {roi.name: roi for roi in drawn}
    return {name: by_name[roi_name] for name, roi_name in matched.by_tg263.items()}


def _aligned(chosen: ChosenObjects, ct: sitk.Image, channel: str, series: Series) -> tuple[Aligned, tuple[str, ...]]:
    same_frame = bool(series.frame) and series.frame == chosen.ct.frame
    known = series.frame and chosen.ct.frame and not same_frame
    link = link_between(chosen.registrations, series.frame, chosen.ct.frame) if known else None
    moving = read_series(series.files)
    try:
        aligned = align(ct, moving, link.transform if link else None, same_frame)
    except DoseloError as error:
        raise DoseloError(f"{channel}, {series.files[0].parent}: {error}") from None
    return aligned, link.notes if link else ()
