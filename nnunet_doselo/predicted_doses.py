"""The dose predictor as the source of an evaluation's doses: quick, and blind wherever the predictor is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnunet_doselo.dataset_folder import ExtendedDataset
from nnunet_doselo.patient import Patient, target_map
from nnunet_doselo.preconditions import require_fitting_predictor
from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.predictor.volume import predict_volume

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
        return self._dose_gy(patient, patient.labels), self._dose_gy(patient, labels)

    def _dose_gy(self, patient: Patient, contour: np.ndarray) -> np.ndarray:
        return predict_volume(
            self.predictor,
            target_map(self.dataset, contour),
            patient.oars,
            patient.ct_hu,
            patient.spacing_mm,
            self.device,
        )

    def provenance(self) -> dict[str, Any]:
        return {
            "evaluated_dose": DOSE_SOURCE,
            "dose_predictor": {
                "file": self.predictor.path.name,
                "sha256": self.predictor.sha256,
                **self.predictor.card.validation,
            },
        }
