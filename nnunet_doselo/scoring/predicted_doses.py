"""The dose predictor as the source of an evaluation's doses: quick, and blind wherever the predictor is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from rich.progress import track

from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import read_on_grid, write_array
from nnunet_doselo.dataset.patient import Patient, load_patient
from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.predictor.patient_dose import predict_patient
from nnunet_doselo.scoring.dose_sources import DoseFolder, DosePair

DOSE_SOURCE = "dose predictor, for the reference and for the evaluated contour; no treatment planning system"


class PredictedDoses:
    """A `dose_sources.DoseSource`: both contours through one predictor, into doses/ and reference_doses/.

    One instance serves several folders of contours: it predicts each reference once.
    """

    kind: Literal["predicted"] = "predicted"

    def __init__(
        self,
        dataset: ExtendedDataset,
        predictor: FrozenPredictor,
        device: torch.device | str = "cpu",
        *,
        split: str = "Ts",
        references: Path | None = None,
    ) -> None:
        """`references`: where the reference contours' doses go (default: reference_doses/ of each evaluation)."""
        self.dataset, self.predictor, self.device, self.split = dataset, predictor, device, split
        self.references = references
        self.done: set[Path] = set()

    def prepare(self, cases: Sequence[str], predictions: Path, output: Path) -> DosePair:
        """Raises DoseloError if the predictor was made for other organs or targets, or contours lie on another grid."""
        self.predictor.card.require_fitting(self.dataset.guidance, self.predictor.path)
        reference = DoseFolder(self.references or output / "reference_doses", self.dataset.ending)
        pair = DosePair(reference, DoseFolder(output / "doses", self.dataset.ending))
        for case in track(cases, "Predicting doses"):
            patient = load_patient(self.dataset, case, self.split)
            labels = read_on_grid(predictions / f"{case}{self.dataset.ending}", patient.grid)
            self._predict(pair.evaluated.file(case), patient, labels)
            if pair.reference.file(case) not in self.done:
                self._predict(pair.reference.file(case), patient, patient.labels)
        return pair

    def _predict(self, file: Path, patient: Patient, labels: Any) -> None:
        write_array(file, predict_patient(self.predictor, self.dataset, patient, labels, self.device), patient.grid)
        self.done.add(file)

    def provenance(self) -> dict[str, Any]:
        return {
            "evaluated_dose": DOSE_SOURCE,
            "reference_dose": DOSE_SOURCE,
            "dose_predictor": {
                "file": self.predictor.path.name,
                "sha256": self.predictor.sha256,
                **self.predictor.card.validation,
            },
        }
