"""`doselo evaluate-predictor`: how far to trust a dose predictor, on patients whose dose was planned."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import replace_files
from nnunet_doselo.common.versions import versions
from nnunet_doselo.dataset.folder import CONTEXT_KINDS, ExtendedDataset
from nnunet_doselo.dataset.patient import Patient, dose_counts, label_values, load_patient
from nnunet_doselo.dataset.structures import structure_masks
from nnunet_doselo.evaluation.dose_metrics import dose_score
from nnunet_doselo.evaluation.dvh_pictures import dvh_curves, dvh_picture
from nnunet_doselo.evaluation.openkbp_scores import structure_doses
from nnunet_doselo.evaluation.patient_pictures import picture_of
from nnunet_doselo.evaluation.predictor_scores import PredictorCase, PredictorScores
from nnunet_doselo.evaluation.scores_file import write_scores
from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.predictor.patient_dose import dose_where_it_counts, planned_dose, predict_patient

STRUCTURES_FILE = "structures.csv"
REGION = "inside the body or wherever dose was planned; predicted dose elsewhere is cut to 0"
DEFINITIONS = {
    "dose_score_gy": f"OpenKBP's: mean absolute difference {REGION}",
    "dvh_score_gy": "OpenKBP's: mean of |predicted - planned| over every case, structure and metric",
    "metrics": "percentiles as OpenKBP takes them; targets D99, D95, D1; organs D0.1cc, Dmean",
    "structures": "the dataset's label maps, on its own grid; the challenge counts on its own voxels, with overlaps",
    "differences": "predicted less planned",
}


def evaluate_predictor(
    predictor: FrozenPredictor,
    dataset: ExtendedDataset,
    output: Path,
    *,
    split: str = "Ts",
    cases: Sequence[str] = (),
    device: torch.device | str = "cpu",
    command: str = "",
) -> PredictorScores:
    """Compare predicted with planned doses, both on the dataset's own grid and contours.

    Writes to `output`: scores.csv (one row a case, worst first), structures.csv (one row for each metric of each
    structure of each case), summary.json, and of the worst, the median and the best case a picture, TITLE.png, and its
    DVHs, TITLE_dvh.png.

    Parameters
    ----------
    split: Ts, or Tr, whose cases the predictor may have been trained on.
    cases: of that split; all that have a planned dose, if none are named.
    command: as it was typed, for the summary.

    Raises
    ------
    DoseloError: the predictor was made for other organs or targets, a named case lacks a file or is unknown, or no
        case of the split has a planned dose.
    """
    predictor.card.require_fitting(dataset.guidance, predictor.path)
    wanted = _cases(dataset, split, cases)
    scored = [
        _score(predictor, dataset, load_patient(dataset, case, split), device)
        for case in track(wanted, "Evaluating the predictor")
    ]
    scores = PredictorScores.of(scored)
    provenance = _provenance(predictor, dataset, split, wanted, command)
    write_scores(output, [case.row() for case in scores.cases], provenance, scores.overall())
    replace_files({output / STRUCTURES_FILE: scores.structures_csv()})
    for title, case in scores.to_look_at().items():
        _pictures(output, title, predictor, dataset, load_patient(dataset, case, split), device)
    return scores


def _cases(dataset: ExtendedDataset, split: str, named: Sequence[str]) -> list[str]:
    complete = set.intersection(*(set(dataset.cases(kind, split)) for kind in ("labels", *CONTEXT_KINDS)))
    if unknown := sorted(set(named) - complete):
        raise DoseloError(
            f"{dataset.folder}: every case to evaluate needs labels, CT, organs and a planned dose in split {split}; "
            f"{', '.join(unknown)} lack one, {len(complete)} cases have all"
        )
    if not complete:
        raise DoseloError(
            f"{dataset.folder}: no case has labels, CT, organs and a planned dose in split {split}; "
            f"evaluate another with --split, or add dose{split}"
        )
    return sorted(set(named) or complete)


def _score(
    predictor: FrozenPredictor, dataset: ExtendedDataset, patient: Patient, device: torch.device | str
) -> PredictorCase:
    planned_gy, predicted_gy = _doses(predictor, dataset, patient, device)
    structures = structure_masks(patient.labels, patient.oars, label_values(dataset), dataset.guidance)
    doses = structure_doses(patient.name, structures, planned_gy, predicted_gy, patient.grid.voxel_mm3)
    return PredictorCase(patient.name, dose_error_gy(patient, predicted_gy), doses)


def _doses(
    predictor: FrozenPredictor, dataset: ExtendedDataset, patient: Patient, device: torch.device | str
) -> tuple[np.ndarray, np.ndarray]:
    """Planned and predicted, (Z, Y, X) in Gy, finite."""
    planned_gy = planned_dose(patient)
    predicted_gy = dose_where_it_counts(patient, predict_patient(predictor, dataset, patient, device=device))
    if not np.isfinite(predicted_gy).all():
        raise DoseloError(
            f"case {patient.name}: {predictor.path} predicts doses that are no finite number; train again"
        )
    return planned_gy, predicted_gy


def _pictures(
    output: Path,
    title: str,
    predictor: FrozenPredictor,
    dataset: ExtendedDataset,
    patient: Patient,
    device: torch.device | str,
) -> None:
    planned_gy, predicted_gy = _doses(predictor, dataset, patient, device)
    picture_of(output / f"{title}.png", patient, planned_gy, predicted_gy, dataset, reference_title="Planned dose")
    structures = structure_masks(patient.labels, patient.oars, label_values(dataset), dataset.guidance)
    dvh_picture(
        output / f"{title}_dvh.png",
        dvh_curves(structures, planned_gy, predicted_gy, patient.grid.voxel_cc),
        title=f"{patient.name}, {title} dose score",
        reference_title="Planned dose",
        evaluated_title="Predicted dose",
    )


def _provenance(
    predictor: FrozenPredictor, dataset: ExtendedDataset, split: str, cases: Sequence[str], command: str
) -> dict[str, Any]:
    guidance = dataset.guidance
    return {
        "command": command,
        "dataset": dataset.folder.name,
        "split": split,
        "cases": f"{len(cases)} of {len(dataset.cases('labels', split))} in the split",
        "dose_predictor": {
            "file": str(predictor.path),
            "sha256": predictor.sha256,
            "training_data_sha256": predictor.card.training_data_sha256,
            "validation": predictor.card.validation,
        },
        "definitions": DEFINITIONS,
        "target_gy": guidance.target_gy,
        "oars": guidance.oars,
        "versions": versions(),
    }


def dose_error_gy(patient: Patient, evaluated_gy: np.ndarray) -> float:
    """OpenKBP's dose score of one patient, with `patient.dose_counts` for the voxels where dose is possible.

    Mean absolute difference there, in Gy, between the planned dose and the evaluated one, (Z, Y, X). What is evaluated
    elsewhere does not count: a predictor was never taught it, and the challenge's participants cut theirs too.

    Raises
    ------
    DoseloError: the patient has no planned dose, or shapes differ.
    """
    planned_gy, counts = planned_dose(patient), dose_counts(patient.body, patient.dose_gy)
    return dose_score(planned_gy * counts, evaluated_gy * counts, counts)
