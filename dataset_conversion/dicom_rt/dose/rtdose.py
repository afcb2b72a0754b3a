"""RTDOSE files of one patient become the dose of the plan, and that dose lies on any grid.

Which of them make up that dose is chosen where it is obvious, and refused where it is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import GRID_TOLERANCE, Grid, box_between
from nnunet_doselo.dataset.images import array_of, array_view, grid_of, onto_grid

from .dose_file import DoseHeader, read_dose_header, read_dose_image

TOTALS = ("PLAN", "MULTI_PLAN")
PARTS = ("FRACTION", "BEAM")


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
    first = np.floor(faces.min(axis=0) + 0.5 + GRID_TOLERANCE)
    last = np.ceil(faces.max(axis=0) - 0.5 - GRID_TOLERANCE)
    return finest.cut(box_between(first, last + 1))


def choose_doses(headers: Sequence[DoseHeader]) -> tuple[list[DoseHeader], tuple[str, ...]]:
    """The total, or else all parts that add up to it; and what was left out or summed, in words.

    Raises
    ------
    DoseloError: no doses; several totals; parts of different plans, or a part twice; parts of other kinds alone.
    """
    unique = list({header.instance: header for header in headers}.values())
    notes = [f"{len(headers) - len(unique)} copies of a dose left out"] if len(unique) < len(headers) else []
    for kind in (*TOTALS, *PARTS):
        chosen = [header for header in unique if header.summation == kind]
        if not chosen:
            continue
        if kind in TOTALS:
            _require_one(chosen)
        elif len(chosen) > 1:
            _require_parts_of_one_plan(chosen)
        return chosen, tuple(notes + _notes(kind, chosen, unique))
    listed = ", ".join(str(header.file) for header in headers) or "none"
    raise DoseloError(
        f"expected a dose of summation type {', '.join((*TOTALS, *PARTS))}; none of these is: {listed}; "
        "export the dose of the plan"
    )


def _notes(kind: str, chosen: list[DoseHeader], unique: list[DoseHeader]) -> list[str]:
    notes = []
    if kind in PARTS:
        notes.append(f"dose is the sum of {len(chosen)} {kind} doses; whether these are all is not known")
    if kind == "MULTI_PLAN":
        notes.append("dose is the sum of several plans (MULTI_PLAN)")
    if others := len(unique) - len(chosen):
        notes.append(f"{others} other doses of the patient not used, the {kind} dose is the total")
    return notes


def _require_one(chosen: list[DoseHeader]) -> None:
    if len(chosen) > 1:
        files = ", ".join(str(header.file) for header in chosen)
        plans = "different plans" if len({header.plan for header in chosen}) > 1 else "one plan"
        raise DoseloError(f"expected one {chosen[0].summation} dose, found {len(chosen)} of {plans}: {files}; keep one")


def _require_parts_of_one_plan(chosen: list[DoseHeader]) -> None:
    kind, files = chosen[0].summation, ", ".join(str(header.file) for header in chosen)
    if None in (plans := {header.plan for header in chosen}) or len(plans) > 1:
        raise DoseloError(f"{kind} doses can be summed if all refer to one plan, these do not: {files}")
    parts = [part for header in chosen for part in header.parts]
    if len(set(parts)) < len(parts):
        raise DoseloError(f"{kind} doses can be summed if none holds a part of another, these do: {files}")
