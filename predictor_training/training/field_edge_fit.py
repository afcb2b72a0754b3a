"""Where the fields of a cohort's plans end along z: the two numbers that a predictor of slices is given afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track
from scipy.optimize import minimize

from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.patient import dose_counts, load_patient
from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.predictor.field_edge import FieldEdge, beyond_slices
from nnunet_doselo.predictor.patient_dose import planned_dose, predict_patient

MOST_CASES = 20
EVERY = 3
"""Columns along z do not depend on each other, and neighbours are alike: every third along y and x will do."""
BOUNDS_MM = ((0.0, 20.0), (0.5, 15.0))
START_MM = (5.0, 4.0)
TOLERANCE_MM = 0.1


@dataclass(frozen=True)
class Columns:
    """Some columns of a patient along z, (Z, Y, X) in Gy, and where dose counts."""

    predicted_gy: torch.Tensor
    planned_gy: torch.Tensor
    counts: torch.Tensor
    slice_mm: float

    def error_gy(self, edge: FieldEdge | None) -> float:
        """Mean absolute error where dose counts."""
        dose = self.predicted_gy if edge is None else beyond_slices(self.predicted_gy, self.slice_mm, edge)
        return float(((dose - self.planned_gy).abs() * self.counts).sum() / self.counts.sum().clamp_min(1))


def fit_field_edge(predictor: FrozenPredictor, dataset: ExtendedDataset, cases: Sequence[str]) -> FieldEdge | None:
    """The edge with the lowest mean error over cases (20 at most), or None if none is lower than that without.

    The predictor must be one of slices that has none yet; the cases ones that it was not trained on.
    """
    columns = [_columns(predictor, dataset, case) for case in track(cases[:MOST_CASES], "Fitting the fields' edge")]
    minimum = minimize(
        lambda numbers: mean_error_gy(columns, FieldEdge(*numbers)),
        START_MM,
        method="Nelder-Mead",
        bounds=BOUNDS_MM,
        options={"xatol": TOLERANCE_MM, "fatol": 1e-4},
    )
    edge = FieldEdge(*(round(float(mm), 2) for mm in minimum.x))
    return edge if mean_error_gy(columns, edge) < mean_error_gy(columns, None) else None


def mean_error_gy(columns: Sequence[Columns], edge: FieldEdge | None) -> float:
    """Mean over patients, each counting alike."""
    return float(np.mean([each.error_gy(edge) for each in columns]))


def _columns(predictor: FrozenPredictor, dataset: ExtendedDataset, case: str) -> Columns:
    patient = load_patient(dataset, case)
    planned_gy = planned_dose(patient)
    predicted_gy = predict_patient(predictor, dataset, patient)
    counts = dose_counts(patient.body, planned_gy)
    return Columns(_some(predicted_gy), _some(planned_gy), _some(counts), patient.spacing_mm[0])


def _some(volume: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(volume[:, ::EVERY, ::EVERY]))
