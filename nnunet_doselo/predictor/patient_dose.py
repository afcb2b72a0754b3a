"""One patient's predicted dose, and how far it is from the planned one wherever a predictor can be held to it."""

import numpy as np
import torch

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.patient import Patient, dose_counts, target_map
from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.predictor.volume import predict_volume


def predict_patient(
    predictor: FrozenPredictor,
    dataset: ExtendedDataset,
    patient: Patient,
    labels: np.ndarray | None = None,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Predicted dose of a contour (default: the patient's own labels), (Z, Y, X) float32 in Gy, air included.

    labels: (Z, Y, X) with the values of the dataset's labels.
    """
    contour = patient.labels if labels is None else labels
    target = target_map(dataset, contour)
    return predict_volume(predictor, target, patient.oars, patient.ct_hu, patient.spacing_mm, device)


def planned_dose(patient: Patient) -> np.ndarray:
    """The dose that the dataset has for the patient, (Z, Y, X) in Gy.

    Raises
    ------
    DoseloError: it has none, or one with voxels that are no finite number.
    """
    if patient.dose_gy is None:
        raise DoseloError(
            f"case {patient.name}: has no planned dose to compare with; add it to the dataset's dose folder"
        )
    if not np.isfinite(patient.dose_gy).all():
        raise DoseloError(f"case {patient.name}: planned doses must be finite numbers; export the dose again")
    return patient.dose_gy


def dose_where_it_counts(patient: Patient, dose_gy: np.ndarray) -> np.ndarray:
    """A dose (Z, Y, X) with 0 wherever no predictor was taught, see `patient.dose_counts`."""
    return dose_gy * dose_counts(patient.body, patient.dose_gy)
