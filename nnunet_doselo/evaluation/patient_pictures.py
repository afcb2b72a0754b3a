"""The slice to look at: where the target is largest, CT with contours beside reference and evaluated dose."""

from pathlib import Path

import numpy as np

from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.patient import Patient, dose_counts, label_values

from .pictures import Contours, dose_comparison


def picture_of(
    path: Path,
    patient: Patient,
    reference_gy: np.ndarray,
    evaluated_gy: np.ndarray,
    dataset: ExtendedDataset,
    *,
    evaluated_labels: np.ndarray | None = None,
    reference_title: str = "Reference dose",
    evaluated_title: str = "Predicted dose",
) -> None:
    """Write the four panels of `pictures.dose_comparison` for one axial slice.

    Doses and labels are (Z, Y, X) on the patient's grid. The slice is the one with the largest target, or with
    the largest dose difference where `evaluated_labels` (a contour under test, drawn too) are given.
    """
    guidance, values = dataset.guidance, label_values(dataset)
    targets = {name: np.isin(patient.labels, values[name]) for name in guidance.target_gy}
    organs = {name: patient.oars == value for name, value in guidance.oars.items()}
    if evaluated_labels is None:
        z = int(np.logical_or.reduce(list(targets.values())).sum(axis=(1, 2)).argmax())
    else:
        z = int(np.abs(evaluated_gy - reference_gy).sum(axis=(1, 2)).argmax())
        under_test = np.logical_or.reduce([np.isin(evaluated_labels, values[name]) for name in targets])
        targets = {"Reference": np.logical_or.reduce(list(targets.values())), "Predicted": under_test}
    y_mm, x_mm = patient.spacing_mm[1:]
    body = patient.body[z]
    counts = dose_counts(body, None if patient.dose_gy is None else patient.dose_gy[z])
    dose_comparison(
        path,
        patient.ct_hu[z],
        Contours({n: m[z] for n, m in targets.items()}, {n: m[z] for n, m in organs.items()}),
        np.where(counts, reference_gy[z], 0),
        np.where(counts, evaluated_gy[z], 0),
        guidance.prescription_gy,
        (y_mm, x_mm),
        body=body,
        title=f"{patient.name}, slice {z}",
        reference_title=reference_title,
        evaluated_title=evaluated_title,
    )
