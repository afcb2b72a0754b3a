"""RTDOSE files of one patient become the dose of the plan, and that dose lies on any grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import GRID_TOLERANCE, Grid
from nnunet_doselo.dataset.images import array_of, array_view, grid_of, onto_grid

from .dose_choice import choose_doses
from .dose_file import read_dose_header, read_dose_image


@dataclass(frozen=True)
class Dose:
    """The dose of a plan on its own grid.

    image: Gy, float32, patient coordinates.
    native_max_gy: the maximum on that grid; resampling lowers it.
    notes: what was chosen or summed, in words that identify nobody.
    """

    image: sitk.Image
    native_max_gy: float
    notes: tuple[str, ...]


def read_doses(files: Sequence[Path]) -> Dose:
    """The dose of one plan from its RTDOSE files.

    A dose of summation type PLAN is preferred to MULTI_PLAN, that to the sum of FRACTION doses, and that to the sum
    of BEAM doses. A plan's dose is taken as it is, which is for all of its fractions.

    Raises
    ------
    DoseloError: no dose among the files; doses of different plans, none of them the obvious one; only parts of
        other kinds; or a dose that cannot be used (`dose_file.read_dose_image`).
    """
    chosen, notes = choose_doses([read_dose_header(file) for file in files])
    total = sum_of([read_dose_image(header.file) for header in chosen])
    native_max_gy = float(array_view(total).max())
    if native_max_gy <= 0:
        raise DoseloError(f"{chosen[0].file}: the dose is 0 everywhere; export it after it was calculated")
    return Dose(total, native_max_gy, notes)


def on_grid(dose: Dose, grid: Grid) -> np.ndarray:
    """The dose in Gy at the centres of the grid's voxels, (Z, Y, X) float32, interpolated linearly.

    Outside of the dose's grid it is 0. That grid ends with the faces of its voxels: in the outermost half voxel, where
    there is nothing to interpolate with, the dose of the nearest voxel holds.
    """
    return array_of(onto_grid(dose.image, grid))


def sum_of(images: Sequence[sitk.Image]) -> sitk.Image:
    """Added voxel by voxel; images on different grids are first interpolated onto one that holds them all."""
    grids = [grid_of(image) for image in images]
    if any(grids[0].differences(grid) for grid in grids[1:]):
        covering = covering_grid(grids)
        images = [onto_grid(image, covering) for image in images]
    total = images[0]
    for image in images[1:]:
        image.CopyInformation(total)  # equal within tolerance, which is not enough for SimpleITK
        total = total + image
    return total


def covering_grid(grids: Sequence[Grid]) -> Grid:
    """The grid of smallest voxels, made larger by whole voxels until it holds all others."""
    finest = min(grids, key=lambda grid: grid.voxel_mm3)
    faces = finest.to_index(np.concatenate([grid.corners_mm() for grid in grids]))  # its own: -0.5 to size - 0.5
    first = np.floor(faces.min(axis=0) + 0.5 + GRID_TOLERANCE).astype(int)
    last = np.ceil(faces.max(axis=0) - 0.5 - GRID_TOLERANCE).astype(int)
    spans = zip(first.tolist(), last.tolist(), strict=True)
    return finest.cut(tuple(reversed([slice(low, high + 1) for low, high in spans])))
