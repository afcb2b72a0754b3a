"""How far to trust an exported predictor: its dose on cases it was not trained on, in numbers and pictures."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from nnunet_doselo.common.files import csv_bytes, replace_files
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.patient import load_patient
from nnunet_doselo.evaluation.patient_pictures import picture_of
from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.predictor.patient_dose import planned_dose, predict_patient
from nnunet_doselo.scoring.predictor_accuracy import dose_error_gy


def validate(predictor: FrozenPredictor, dataset: ExtendedDataset, cases: list[str], output: Path) -> dict[str, Any]:
    """Mean absolute dose error (Gy) inside the body or the planned dose, case by case, and two pictures.

    Writes validation.csv (worst first), validation_worst.png and validation_median.png to `output`.

    Returns
    -------
    Figures for the card: number of cases, mean and worst error in Gy.
    """
    errors_gy = {}
    for name in track(cases, "Validating the exported predictor"):
        patient = load_patient(dataset, name)
        errors_gy[name] = dose_error_gy(patient, predict_patient(predictor, dataset, patient))
    worst_first = sorted(errors_gy, key=lambda name: -errors_gy[name])
    rows = [(name, f"{errors_gy[name]:.4f}") for name in worst_first]
    replace_files({output / "validation.csv": csv_bytes(("case", "mae_gy"), rows)})
    for title, name in (("worst", worst_first[0]), ("median", worst_first[len(worst_first) // 2])):
        patient = load_patient(dataset, name)
        dose = predict_patient(predictor, dataset, patient)
        picture_of(output / f"validation_{title}.png", patient, planned_dose(patient), dose, dataset)
    values = np.array(list(errors_gy.values()))
    return {"cases": len(values), "mae_gy": float(values.mean()), "worst_mae_gy": float(values.max())}
