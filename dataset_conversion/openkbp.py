"""OpenKBP's original CSV layout (Babier et al., Med Phys 48:5549, 2021) into an extended dataset."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import map_cases
from nnunet_doselo.dataset.geometry import Grid, body_mask, box_around
from nnunet_doselo.dataset.images import as_image, grid_of
from nnunet_doselo.dataset.structures import OPENKBP_TO_TG263

from .cases.assemble import CT_CHANNEL, PatientImages, to_case, write_case
from .cases.record import ConversionRecord, print_recorded_overlaps
from .cases.writer import Case, DatasetWriter
from .names.rules import NameRule
from .names.structure_names import NameMap

SHAPE = (128, 128, 128)
CT_OFFSET = 1024
LARGEST_STORED_CT = 4095
OPENKBP_NAMES = NameMap(
    (
        *(NameRule(f"PTV{gy}", "target", float(gy)) for gy in (56, 63, 70)),
        *(NameRule(name, "organ") for name in OPENKBP_TO_TG263.values()),
    )
)
"""Targets with their doses, and organs after TG-263, in the order of their labels."""
GANTRY_DEG = tuple(40.0 * beam for beam in range(9))
"""Nine equidistant coplanar beams, the same in all plans (Babier et al.)."""
SPLIT_OF_FOLDER = {"train-pats": "Tr", "validation-pats": "Ts", "test-pats": "Ts"}
CONTENT_MARGIN_VOXELS = 2


@dataclass(frozen=True)
class OpenKBPPatient:
    """One patient as published: arrays (128, 128, 128) from front to back, right to left, head to feet.

    ct: HU + 1024. masks: boolean, by OpenKBP's names. possible_dose: where dose may be. voxel_mm: in that order.
    """

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
    patients = find_openkbp_patients(source)
    writer = DatasetWriter(folder)
    writer.begin({"converter": "openkbp", "spacing_mm": spacing_mm}, overwrite=overwrite)
    to_do = [(path, split) for path, split in patients if not writer.has(openkbp_case(path), split)]
    map_cases(
        partial(_convert_one, writer=writer, spacing_mm=spacing_mm),
        to_do,
        processes=processes,
        description="Converting patients",
        name_of=lambda item: str(item[0]),
    )
    writer.finish(
        [CT_CHANNEL],
        OPENKBP_NAMES.labels,
        replace(OPENKBP_NAMES.guidance, gantry_deg=GANTRY_DEG),
        description="OpenKBP, targets of head-and-neck patients",
        reference="Babier et al., Med Phys 48:5549 (2021)",
    )
    already = len(patients) - len(to_do)
    Console(stderr=True).print(f"{len(to_do)} patients converted, {already} were there already")
    print_recorded_overlaps(folder, [openkbp_case(path) for path, _ in patients])


def find_openkbp_patients(source: Path) -> list[tuple[Path, str]]:
    """Patient folders and their split, in a fixed order.

    Raises
    ------
    DoseloError: there are none.
    """
    patients = [
        (patient, split)
        for name, split in SPLIT_OF_FOLDER.items()
        for patient in sorted((source / name).glob("pt_*"), key=lambda p: int(p.name[3:]))
    ]
    if not patients:
        raise DoseloError(
            f"{source}: expected OpenKBP's folders {', '.join(SPLIT_OF_FOLDER)} with patients pt_*, found none"
        )
    return patients


def openkbp_case(patient: Path) -> str:
    """pt_7 is OpenKBP_007."""
    return f"OpenKBP_{int(patient.name[3:]):03d}"


def read_openkbp_patient(folder: Path) -> OpenKBPPatient:
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
    return OpenKBPPatient(
        ct=_read_values(structures["ct"]),
        dose_gy=_read_values(structures["dose"]),
        masks={n: _read_mask(structures[n]) for n in (*OPENKBP_TO_TG263, *OPENKBP_NAMES.target_gy) if n in structures},
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


def _convert_one(item: tuple[Path, str], writer: DatasetWriter, spacing_mm: float) -> None:
    path, split = item
    write_case(writer, *to_openkbp_case(read_openkbp_patient(path), openkbp_case(path), spacing_mm), split)


def to_openkbp_case(patient: OpenKBPPatient, name: str, spacing_mm: float) -> tuple[Case, ConversionRecord]:
    """Turn, crop, resample and label one patient (`assemble.to_case`); a spacing of 0 keeps the patient's voxels.

    Raises
    ------
    DoseloError: the patient has no target; left and right are swapped.
    """
    images = _images(patient)
    grid = grid_of(images.ct)
    return to_case(images, name, OPENKBP_NAMES, [CT_CHANNEL], grid.respaced((spacing_mm,) * 3) if spacing_mm else grid)


def _images(patient: OpenKBPPatient) -> PatientImages:
    """Cut to the box around body, possible dose and contours, with a margin."""
    y_mm, x_mm, z_mm = patient.voxel_mm
    ct_hu = _upright(np.clip(patient.ct, 0, LARGEST_STORED_CT) - CT_OFFSET)
    masks = {OPENKBP_TO_TG263.get(name, name): _upright(mask) for name, mask in patient.masks.items()}
    content = np.logical_or.reduce([body_mask(ct_hu), _upright(patient.possible_dose), *masks.values()])
    published = Grid.upright(ct_hu.shape, (z_mm, y_mm, x_mm))
    box = box_around(content, CONTENT_MARGIN_VOXELS) or published.box
    grid = published.cut(box)
    return PatientImages(
        ct=as_image(ct_hu[box], grid),
        images={},
        masks={name: mask[box] for name, mask in masks.items()},
        dose=as_image(_upright(patient.dose_gy)[box], grid),
        native_dose_max_gy=float(patient.dose_gy.max()),
    )


def _upright(volume: np.ndarray) -> np.ndarray:
    """OpenKBP's order of axes to (Z, Y, X): from the feet to the head, to the back and to the left."""
    return np.ascontiguousarray(volume.transpose(2, 0, 1)[::-1])
