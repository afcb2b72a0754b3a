"""OpenKBP's original CSV layout (Babier et al., Med Phys 48:5549, 2021) into an extended dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
from rich.console import Console

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import map_cases
from nnunet_doselo.dataset.geometry import AIR_HU, UPRIGHT, Grid, body_mask, box_around
from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.dataset.images import array_of, as_image, grid_of
from nnunet_doselo.dataset.structures import OPENKBP_TO_TG263, Overlap, paint_organs, paint_targets

from .cases.overlaps import LostCc, lost_cc, print_lost
from .cases.writer import Case, DatasetWriter
from .grids.mask_resampling import keep_volume

SHAPE = (128, 128, 128)
CT_OFFSET = 1024
LARGEST_STORED_CT = 4095
TARGET_GY = {"PTV56": 56.0, "PTV63": 63.0, "PTV70": 70.0}
LABELS = {"background": 0, "PTV56": 1, "PTV63": 2, "PTV70": 3}
OARS = {name: label for label, name in enumerate(OPENKBP_TO_TG263.values(), start=1)}
GANTRY_DEG = tuple(40.0 * beam for beam in range(9))
"""Nine equidistant coplanar beams, the same in all plans (Babier et al.)."""
SPLIT_OF_FOLDER = {"train-pats": "Tr", "validation-pats": "Ts", "test-pats": "Ts"}
CONTENT_MARGIN_VOXELS = 2


@dataclass(frozen=True)
class Patient:
    """One patient as published; arrays run anterior to posterior, right to left, superior to inferior."""

    ct: np.ndarray
    dose_gy: np.ndarray
    masks: dict[str, np.ndarray]
    possible_dose: np.ndarray
    voxel_mm: tuple[float, float, float]


def convert_openkbp(
    source: Path, folder: Path, *, spacing_mm: float = 3.0, processes: int = 1, overwrite: bool = False
) -> None:
    """Convert every patient below `source` (train-pats/pt_1/..., validation-pats/..., test-pats/...).

    Training patients become the training split, validation and test patients the test split. Each patient is
    cropped to its content (body, possible dose, contours), then resampled to isotropic voxels; a spacing of 0 keeps
    each patient's own, which suits a dose predictor but not nnU-Net's 2d.

    Raises
    ------
    DoseloError: no patients found; a patient lacks a file; the folder holds another conversion.
    """
    if spacing_mm < 0:
        raise DoseloError(f"spacing must be positive, or 0 for each patient's own voxels; found {spacing_mm} mm")
    patients = find_patients(source)
    writer = DatasetWriter(folder)
    writer.begin({"converter": "openkbp", "spacing_mm": spacing_mm}, overwrite=overwrite)
    to_do = [(path, split) for path, split in patients if not writer.has(case_name(path), split)]
    lost = map_cases(
        partial(_convert_one, writer=writer, spacing_mm=spacing_mm),
        to_do,
        processes=processes,
        description="Converting patients",
        name_of=lambda item: str(item[0]),
    )
    writer.finish(
        ["CT"],
        LABELS,
        DoseGuidance(TARGET_GY, OARS, GANTRY_DEG),
        description="OpenKBP, targets of head-and-neck patients",
        reference="Babier et al., Med Phys 48:5549 (2021)",
    )
    already = len(patients) - len(to_do)
    Console(stderr=True).print(f"{len(to_do)} patients converted, {already} were there already")
    print_lost(lost)


def find_patients(source: Path) -> list[tuple[Path, str]]:
    """Patient folders and their split, in a fixed order."""
    found = [
        (patient, split)
        for name, split in SPLIT_OF_FOLDER.items()
        for patient in sorted((source / name).glob("pt_*"), key=lambda p: int(p.name[3:]))
    ]
    if not found:
        raise DoseloError(
            f"{source}: expected OpenKBP's folders {', '.join(SPLIT_OF_FOLDER)} with patients pt_*, found none"
        )
    return found


def case_name(patient: Path) -> str:
    return f"OpenKBP_{int(patient.name[3:]):03d}"


def read_patient(folder: Path) -> Patient:
    """Read one patient's CSV files: a flat voxel index and a value a row.

    Structures without a file stay away from `masks`.

    Raises
    ------
    DoseloError: the CT, the dose, the possible dose or the voxel size is missing.
    """
    structures = {path.stem: path for path in folder.glob("*.csv")}
    needed = ("ct", "dose", "possible_dose_mask", "voxel_dimensions")
    missing = [name for name in needed if name not in structures]
    if missing:
        raise DoseloError(f"{folder}: expected {', '.join(f'{n}.csv' for n in needed)}, missing {missing}")
    return Patient(
        ct=_read_values(structures["ct"]),
        dose_gy=_read_values(structures["dose"]),
        masks={n: _read_mask(structures[n]) for n in (*OPENKBP_TO_TG263, *TARGET_GY) if n in structures},
        possible_dose=_read_mask(structures["possible_dose_mask"]),
        voxel_mm=_voxel_size(structures["voxel_dimensions"]),
    )


def _read_values(file: Path) -> np.ndarray:
    table = pd.read_csv(file, index_col=0)
    volume = np.zeros(SHAPE, np.float32)
    volume.flat[table.index.to_numpy()] = table["data"].to_numpy()
    return volume


def _read_mask(file: Path) -> np.ndarray:
    table = pd.read_csv(file, index_col=0)
    mask = np.zeros(SHAPE, bool)
    mask.flat[table.index.to_numpy()] = True
    return mask


def _voxel_size(file: Path) -> tuple[float, float, float]:
    a, b, c = np.loadtxt(file)
    return float(a), float(b), float(c)


def _convert_one(item: tuple[Path, str], writer: DatasetWriter, spacing_mm: float) -> LostCc:
    path, split = item
    case, overlaps = to_case(read_patient(path), case_name(path), spacing_mm)
    writer.write(case, split)
    return lost_cc(overlaps, case.grid)


def to_case(patient: Patient, name: str, spacing_mm: float) -> tuple[Case, list[Overlap]]:
    """Turn, crop, resample and label one patient.

    CT (HU) and dose (Gy) are interpolated linearly, and so is each structure on its own, keeping its volume;
    then structures are painted over each other (`structures.paint_organs`, `paint_targets`).

    Raises
    ------
    DoseloError: the patient has no target.
    """
    if not any(target in patient.masks for target in TARGET_GY):
        raise DoseloError(f"{name}: expected at least one of {', '.join(TARGET_GY)}, found none")
    content = _content(patient)
    ct_hu = np.clip(patient.ct, 0, LARGEST_STORED_CT) - CT_OFFSET
    ct = _resample(_image(ct_hu, patient.voxel_mm, content), spacing_mm, outside=AIR_HU)
    dose = _resample(_image(patient.dose_gy, patient.voxel_mm, content), spacing_mm, outside=0.0)
    masks = {
        structure: _resample_mask(_image(mask, patient.voxel_mm, content), spacing_mm)
        for structure, mask in patient.masks.items()
    }
    organs = {tg: masks[own] for own, tg in OPENKBP_TO_TG263.items() if own in masks}
    targets = {target: masks[target] for target in TARGET_GY if target in masks}
    nothing = np.zeros(array_of(ct).shape, np.uint8)
    oars, organ_overlaps = paint_organs(organs, OARS) if organs else (nothing, [])
    labels, target_overlaps = paint_targets(targets, LABELS, TARGET_GY)
    case = Case(name, grid_of(ct), (None,), labels, array_of(ct), oars, array_of(dose))
    return case, organ_overlaps + target_overlaps


def _content(patient: Patient) -> tuple[slice, ...]:
    """The box around body, possible dose and contours, with a margin, in OpenKBP's order."""
    tissue = patient.ct.transpose(2, 0, 1) - CT_OFFSET
    kept = body_mask(tissue).transpose(1, 2, 0) | patient.possible_dose
    for mask in patient.masks.values():
        kept = kept | mask
    return box_around(kept, CONTENT_MARGIN_VOXELS) or tuple(slice(0, size) for size in kept.shape)


def _image(volume: np.ndarray, voxel_mm: Sequence[float], content: tuple[slice, ...]) -> sitk.Image:
    """(Anterior-posterior, right-left, superior-inferior) to an LPS image, cut to `content`."""
    turned = np.ascontiguousarray(volume.transpose(2, 0, 1)[::-1], dtype=np.float32)
    spacing = (voxel_mm[1], voxel_mm[0], voxel_mm[2])
    whole = as_image(turned, Grid(turned.shape[::-1], spacing, (0.0, 0.0, 0.0), UPRIGHT))
    y, x, superior_first = content
    depth = volume.shape[2]
    z = slice(max(0, depth - superior_first.stop), depth - superior_first.start)
    return whole[x, y, z]


def _resample(image: sitk.Image, spacing_mm: float, outside: float) -> sitk.Image:
    """Onto isotropic voxels whose outer faces start where those of `image` start; as it is for a spacing of 0."""
    if not spacing_mm:
        return image
    size = [max(1, round(n * s / spacing_mm)) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    origin = [o - s / 2 + spacing_mm / 2 for o, s in zip(image.GetOrigin(), image.GetSpacing(), strict=True)]
    spacing = [spacing_mm] * 3
    return sitk.Resample(image, size, sitk.Transform(), sitk.sitkLinear, origin, spacing, image.GetDirection(), outside)


def _resample_mask(mask: sitk.Image, spacing_mm: float) -> np.ndarray:
    """Interpolated linearly, its volume kept (`mask_resampling`)."""
    if not spacing_mm:
        return array_of(mask) > 0
    volume_mm3 = np.count_nonzero(array_of(mask)) * grid_of(mask).voxel_mm3
    return keep_volume(array_of(_resample(mask, spacing_mm, outside=0.0)), volume_mm3, spacing_mm**3)
