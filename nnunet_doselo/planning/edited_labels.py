"""Label maps with edited targets: a contour edit, told in a dataset's own labels."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy.ndimage import distance_transform_edt

from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.patient import Patient, target_map
from nnunet_doselo.planning.contour_edits import ContourEdit, case_stream, draw_edits
from nnunet_doselo.planning.tissue import find_body

REACH_MM = 100.0
"""Edits stay this near to the target: an island in another part of the body says nothing about a predictor's dose."""


def edited_label_maps(
    dataset: ExtendedDataset, patient: Patient, number: int, seed: int
) -> list[tuple[ContourEdit, np.ndarray]]:
    """Draw `number` edits of a patient's target; each with its label map (Z, Y, X).

    The same for the same seed, name and target, whatever else is drawn. Empty for a patient without a target.
    """
    target = target_map(dataset, patient.labels) > 0
    if not target.any():
        return []
    region = edit_region(patient.ct_hu, target, patient.spacing_mm)
    edits = draw_edits(number, target, region, patient.spacing_mm, partial(case_stream, seed, patient.name))
    return [(edit, edit_labels(dataset, patient.labels, edit, region, patient.spacing_mm)) for edit in edits]


def edit_region(ct_hu: np.ndarray, target: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Where an edited target may lie: in the planner's body, up to 100 mm from the target, and in the target itself.

    ct_hu: (Z, Y, X) HU; target: boolean (Z, Y, X), not empty; spacing_mm: (z, y, x). Returns a boolean (Z, Y, X).
    """
    near = distance_transform_edt(~target, sampling=spacing_mm) <= REACH_MM
    return (find_body(ct_hu, spacing_mm).mask & near) | target


def edit_labels(
    dataset: ExtendedDataset,
    labels: np.ndarray,
    edit: ContourEdit,
    region: np.ndarray,
    spacing_mm: Sequence[float],
) -> np.ndarray:
    """A label map (Z, Y, X) whose targets are edited, level by level (`ContourEdit.apply_to_levels`).

    A voxel whose prescribed dose stays keeps its label. One that loses its dose becomes background. One that gets
    another dose gets the lowest label of that dose in the map.

    labels: (Z, Y, X). region: boolean (Z, Y, X), see `edit_region`. spacing_mm: (z, y, x).
    """
    prescribed = target_map(dataset, labels)
    prescribed_anew = edit.apply_to_levels(prescribed, region, spacing_mm)
    changed = prescribed_anew != prescribed
    edited = np.where(changed, 0, labels).astype(labels.dtype)
    for level in np.unique(prescribed_anew[changed & (prescribed_anew > 0)]):
        edited[changed & (prescribed_anew == level)] = labels[prescribed == level].min()
    return edited
