"""The dose predictor as the source of an evaluation's doses: quick, and blind wherever the predictor is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnunet_doselo.dataset_folder import ExtendedDataset
from nnunet_doselo.patient import Patient
from nnunet_doselo.patient_dose import predict_patient
from nnunet_doselo.preconditions import require_fitting_predictor
from nnunet_doselo.predictor.artifact import FrozenPredictor

DOSE_SOURCE = "dose predictor, for the reference and for the evaluated contour; no treatment planning system"


class PredictedDoses:
    """A `dose_sources.DoseSource`: both contours through one predictor."""

    predicted = True

    def __init__(
        self, dataset: ExtendedDataset, predictor: FrozenPredictor, device: torch.device | str = "cpu"
    ) -> None:
        self.dataset, self.predictor, self.device = dataset, predictor, device

    def prepare(self, cases: Sequence[str]) -> None:
        """Raises DoseloError if the predictor was made for other organs or targets."""
        require_fitting_predictor(self.predictor.card, self.dataset.guidance, str(self.predictor.path))

    def doses_gy(self, patient: Patient, labels_file: Path, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        reference, evaluated = (
            predict_patient(self.predictor, self.dataset, patient, contour, self.device)
            for contour in (patient.labels, labels)
        )
        return reference, evaluated

    def provenance(self) -> dict[str, Any]:
        return {
            "evaluated_dose": DOSE_SOURCE,
            "dose_predictor": {
                "file": self.predictor.path.name,
                "sha256": self.predictor.sha256,
                **self.predictor.card.validation,
            },
        }
