"""One patient's NIfTI files as images and masks in the space of the planning CT."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import nibabel
import numpy as np
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import Grid, box_around
from nnunet_doselo.dataset.images import array_view, grid_of, read_image

from ..cases.assemble import PatientImages
from ..cases.checks import some_of
from ..grids.mask_resampling import resample_mask
from ..names.structure_names import NameMap
from .layout import RIGID, LabelMap, Layout
from .patients import NiftiPatient


def names_in_source(patient: NiftiPatient, layout: Layout) -> list[str]:
    """What the patient's structures are called in the source: by file, and by value of label maps."""
    in_maps = [name for label_map in layout.label_maps for name in label_map.names.values() if name]
    return [*patient.masks, *in_maps]


def read_nifti_patient(source: Path, patient: NiftiPatient, layout: Layout, name_map: NameMap) -> PatientImages:
    """Read all files of a patient. NIfTI has no frame of reference: images are believed to share the CT's
    coordinates, unless the layout asks for a registration.

    Raises
    ------
    DoseloError: a file cannot be read, is no 3-D image of numbers, or lies elsewhere than the CT; a mask or label map
        has other values than it should; two names for one structure, a mandatory one missing.
    """
    matched = name_map.match(names_in_source(patient, layout))
    matched.check()
    factor, shift = layout.ct_to_hu
    ct = _read(source, patient.files["ct"]) * factor + shift
    images, alignment = {}, {}
    for channel, pattern in layout.images.items():
        if pattern:
            images[channel], alignment[channel] = _aligned(source, patient.files[f"image {channel}"], ct, layout)
    dose = _dose(source, patient, ct, layout)
    return PatientImages(
        ct=ct,
        images=images,
        masks=_masks(source, patient, layout, grid_of(ct), matched.by_tg263),
        dose=dose,
        native_dose_max_gy=None if dose is None else float(array_view(dose).max()),
        alignment=alignment,
    )


def _read(source: Path, file: str) -> sitk.Image:
    """Float32, finite."""
    image = read_image(source / file)
    dimensions, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if (dimensions, components) != (3, 1):
        shape = f"{dimensions} dimensions and {components} numbers a voxel"
        raise DoseloError(f"{file}: must be a 3-D image with one number a voxel, found {shape}")
    if image.GetPixelID() in (sitk.sitkFloat32, sitk.sitkFloat64) and (wrong := _not_finite(source / file, image)):
        raise DoseloError(f"{file}: all voxels must be finite, {wrong} are not")
    return sitk.Cast(image, sitk.sitkFloat32)


def _not_finite(file: Path, image: sitk.Image) -> int:
    """Number of voxels. SimpleITK reads those of NIfTI files as 0, without a word: water, or no dose."""
    is_nifti = file.name.endswith((".nii", ".nii.gz"))
    array = np.asanyarray(cast(Any, nibabel.load(file)).dataobj) if is_nifti else array_view(image)
    return int(np.count_nonzero(~np.isfinite(array)))


def _aligned(source: Path, file: str, ct: sitk.Image, layout: Layout) -> tuple[sitk.Image, dict[str, Any]]:
    image = _read(source, file)
    if layout.align == RIGID:
        from ..registration.mr_alignment import align

        aligned = align(ct, image, None, False)
        return aligned.image, {"how": aligned.how, **aligned.quality}
    _check_meets(file, image, ct, "; if they must be registered, write `align: rigid` into the layout")
    same = not grid_of(image).differences(grid_of(ct))
    return image, {"how": "same grid" if same else "same coordinates, as the layout says"}


def _check_meets(file: str, image: sitk.Image, ct: sitk.Image, advice: str = "") -> None:
    if not grid_of(image).extent().overlaps(grid_of(ct).extent()):
        raise DoseloError(f"{file}: must lie where the CT lies, their coordinates do not overlap at all{advice}")


def _dose(source: Path, patient: NiftiPatient, ct: sitk.Image, layout: Layout) -> sitk.Image | None:
    if layout.dose is None:
        return None
    dose = _read(source, patient.files["dose"]) * layout.dose_to_gy
    _check_meets(patient.files["dose"], dose, ct)
    return dose


def _masks(
    source: Path, patient: NiftiPatient, layout: Layout, grid: Grid, by_tg263: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Masks on the CT's grid, by TG-263 name; what the name map does not know is not read."""
    tg263 = {called: name for name, called in by_tg263.items()}
    masks = {tg263[called]: _mask(source, file, grid) for called, file in patient.masks.items() if called in tg263}
    for number, label_map in enumerate(layout.label_maps, start=1):
        if {*label_map.names.values()} & {*tg263}:
            masks |= _label_masks(source, patient.files[f"label map {number}"], label_map, grid, tg263)
    return masks


def _mask(source: Path, file: str, grid: Grid) -> np.ndarray:
    image = _read(source, file)
    array = array_view(image)
    mask = array > 0
    inside = array[mask]
    if array.min() != 0 or (inside.size and inside.min() != inside.max()):
        raise DoseloError(f"{file}: a mask must be 0 outside and one value inside, found values {some_of(array)}")
    return _onto_ct(file, mask, grid_of(image), grid)


def _label_masks(
    source: Path, file: str, label_map: LabelMap, grid: Grid, tg263: Mapping[str, str]
) -> dict[str, np.ndarray]:
    image = _read(source, file)
    array = array_view(image)
    unknown = array[~np.isin(array, [0, *label_map.names])]
    if unknown.size:
        raise DoseloError(
            f"{file}: holds values {some_of(unknown)} without a name in the layout (`VALUE: ~` leaves one out)"
        )
    wanted = {tg263[called]: value for value, called in label_map.names.items() if called and called in tg263}
    return {name: _onto_ct(file, array == value, grid_of(image), grid) for name, value in wanted.items()}


def _onto_ct(file: str, mask: np.ndarray, drawn_on: Grid, grid: Grid) -> np.ndarray:
    """Masks on another grid keep their volume."""
    if not drawn_on.differences(grid):
        return mask
    box = box_around(mask)
    if box is not None and not grid.extent().holds(drawn_on.extent(box), max(grid.spacing)):
        raise DoseloError(f"{file}: must lie within the CT, reaches beyond it")
    return resample_mask(mask, drawn_on, grid)
