"""What the pictures of one case need, read from the files that its evaluations name: images, doses, and their DVHs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import Grid, body_mask, voxel_cc
from nnunet_doselo.dataset.images import read_array
from nnunet_doselo.dataset.patient import dose_counts
from nnunet_doselo.dataset.structures import Structure
from nnunet_doselo.evaluation.dvh import DVH
from nnunet_doselo.evaluation.pictures import SOFT_TISSUE_HU

PERCENTILES = (1.0, 99.5)
STEP_GY = 0.5
"""Of the DVHs in the page."""


@dataclass(frozen=True, eq=False)
class Background:
    """voxels: (Z, Y, X), shown in grey from `low` to `high`."""

    title: str
    voxels: np.ndarray
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Contoured:
    """A label map and the dose of its contour (Gy), both (Z, Y, X)."""

    labels: np.ndarray
    dose_gy: np.ndarray


@dataclass(frozen=True, eq=False)
class CaseImages:
    """One case on its grid, (Z, Y, X).

    backgrounds: what the network saw first, where it is not the CT, then the CT; at least one. oars: label map, all
    zero where there is none. evaluated: by trainer. remarks: what could not be read.
    """

    case: str
    spacing_mm: tuple[float, ...]
    backgrounds: tuple[Background, ...]
    body: np.ndarray
    oars: np.ndarray
    reference: Contoured
    evaluated: Mapping[str, Contoured]
    remarks: tuple[str, ...]

    @property
    def voxel_cc(self) -> float:
        return voxel_cc(self.spacing_mm)

    def difference_gy(self, trainer: str) -> np.ndarray:
        """Evaluated less reference."""
        return self.evaluated[trainer].dose_gy - self.reference.dose_gy

    def slice_to_look_at(self) -> int:
        """Where the doses differ most, over all trainers; without any, where the reference dose is largest."""
        differences = [np.abs(self.difference_gy(name)) for name in self.evaluated] or [self.reference.dose_gy]
        return int(sum(difference_gy.sum(axis=(1, 2)) for difference_gy in differences).argmax())


@dataclass(frozen=True)
class StructureCurves:
    """Volume in per cent that gets at least each of `CaseDvh.doses_gy`; evaluated: by trainer."""

    name: str
    kind: str
    reference: tuple[float, ...]
    evaluated: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class CaseDvh:
    """structures: those that have a voxel in this case."""

    doses_gy: tuple[float, ...]
    structures: tuple[StructureCurves, ...]


def load_images(case: str, files: Mapping[str, Mapping[str, Any]]) -> CaseImages:
    """Read a case.

    Parameters
    ----------
    files: by trainer, the paths that its evaluation names. Reference, CT and organs are the first trainer's.

    Raises
    ------
    DoseloError: reference labels or dose, or every image, are missing or damaged. A trainer without its labels or
        dose is left out, with a remark.
    """
    first = next(iter(files.values()))
    reference_gy, grid = _read(first, "reference_dose")
    reader = _Reader(case, grid)
    labels = reader.require(first, "reference_labels")
    ct_hu, oars = reader.get(first, "ct"), reader.get(first, "oars")
    body = reference_gy > 0 if ct_hu is None else body_mask(ct_hu)
    counts = np.ones(labels.shape, bool) if ct_hu is None else dose_counts(body, reference_gy)
    evaluated = {}
    for name, trainer_files in files.items():
        contour, dose_gy = reader.get(trainer_files, "evaluated_labels"), reader.get(trainer_files, "evaluated_dose")
        if contour is not None and dose_gy is not None:
            evaluated[name] = Contoured(contour, np.where(counts, dose_gy, 0))
    return CaseImages(
        case,
        grid.spacing_zyx,
        _backgrounds(case, ct_hu, reader.get({"image": next(iter(first.get("images") or []), None)}, "image")),
        body,
        np.zeros_like(labels) if oars is None else oars,
        Contoured(labels, np.where(counts, reference_gy, 0)),
        evaluated,
        tuple(reader.remarks),
    )


class _Reader:
    """Arrays on one grid; what is missing becomes a remark."""

    def __init__(self, case: str, grid: Grid) -> None:
        self.case, self.grid = case, grid
        self.remarks: list[str] = []

    def require(self, files: Mapping[str, Any], kind: str) -> np.ndarray:
        array, grid = _read(files, kind)
        if differences := grid.differences(self.grid):
            raise DoseloError(f"{files[kind]}: lies on another grid than the reference dose: {'; '.join(differences)}")
        return array

    def get(self, files: Mapping[str, Any], kind: str) -> np.ndarray | None:
        """None where no file is named, and where it cannot be used."""
        if not files.get(kind):
            return None
        try:
            return self.require(files, kind)
        except DoseloError as error:
            self.remarks.append(f"{self.case}: left out of the pictures: {error}")
            return None


def _read(files: Mapping[str, Any], kind: str) -> tuple[np.ndarray, Grid]:
    if not files.get(kind):
        raise DoseloError(f"the evaluation names no file for {kind.replace('_', ' ')}; evaluate again")
    return read_array(Path(files[kind]))


def _backgrounds(case: str, ct_hu: np.ndarray | None, image: np.ndarray | None) -> tuple[Background, ...]:
    backgrounds = []
    if image is not None and (ct_hu is None or not np.array_equal(image, ct_hu)):
        low, high = (float(value) for value in np.percentile(image, PERCENTILES))
        backgrounds.append(Background("input image", image, low, high))
    if ct_hu is not None:
        backgrounds.append(Background("CT", ct_hu, *SOFT_TISSUE_HU))
    if not backgrounds:
        raise DoseloError(f"{case}: neither the CT nor an image that the network saw can be read")
    return tuple(backgrounds)


def case_dvh(images: CaseImages, structures: Sequence[Structure]) -> CaseDvh:
    """Exact curves, read every half gray up to the highest dose in any structure, rounded to 0.1 %."""
    there = [structure for structure in structures if structure.mask.any()]
    doses = {"": images.reference.dose_gy} | {name: contour.dose_gy for name, contour in images.evaluated.items()}
    dvhs = [
        {name: DVH.from_dose(dose_gy, structure.mask, images.voxel_cc) for name, dose_gy in doses.items()}
        for structure in there
    ]
    highest_gy = max([0.0, *(dvh.doses_gy[-1] for several in dvhs for dvh in several.values())])
    at_gy = np.arange(0.0, highest_gy + 2 * STEP_GY, STEP_GY)
    curves = [
        StructureCurves(
            structure.name,
            structure.kind,
            _percent(several[""], at_gy),
            {name: _percent(dvh, at_gy) for name, dvh in several.items() if name},
        )
        for structure, several in zip(there, dvhs, strict=True)
    ]
    return CaseDvh(tuple(at_gy.tolist()), tuple(curves))


def _percent(dvh: DVH, at_gy: np.ndarray) -> tuple[float, ...]:
    return tuple(np.round(100 * dvh.curve(at_gy), 1).tolist())
