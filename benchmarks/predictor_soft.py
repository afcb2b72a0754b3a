"""What a dose predictor makes of a network's doubt: its error on blurred targets, planned with the sharp ones.

doselo train-predictor 506 --name soft ...
doselo train-predictor 506 --name hard --soft-masks 0 ...
python benchmarks/predictor_soft.py 506 soft.ts hard.ts
"""

import json
from pathlib import Path

import numpy as np
import typer
from machine import command, default_device, hardware
from scipy.ndimage import gaussian_filter

from nnunet_doselo.dataset.folder import ExtendedDataset, raw_dataset
from nnunet_doselo.dataset.patient import load_patient, target_map
from nnunet_doselo.predictor.artifact import FrozenPredictor, load_predictor
from nnunet_doselo.predictor.volume import predict_volume
from nnunet_doselo.scoring.predictor_accuracy import dose_error_gy

SPLIT = "Ts"
SIGMA_VOXELS = (0, 1, 2, 3)


def error_gy(predictor: FrozenPredictor, dataset: ExtendedDataset, case: str, sigma: int, device: str) -> float:
    """Mean absolute dose error of one patient, the target blurred within its slices."""
    patient = load_patient(dataset, case, SPLIT)
    target = gaussian_filter(target_map(dataset, patient.labels).astype(np.float32), (0, sigma, sigma))
    dose_gy = predict_volume(predictor, target, patient.oars, patient.ct_hu, patient.spacing_mm, device)
    return dose_error_gy(patient, dose_gy)


def main(dataset: str, predictors: list[Path]) -> None:
    """Print each predictor's mean error on the test patients, in Gy, by the blur's standard deviation in voxels."""
    extended, device = raw_dataset(dataset), default_device()
    cases = extended.cases("dose", SPLIT)
    errors = {}
    for file in predictors:
        loaded = load_predictor(file, device)
        errors[str(file)] = {
            sigma: float(np.mean([error_gy(loaded, extended, case, sigma, device) for case in cases]))
            for sigma in SIGMA_VOXELS
        }
    result = {"command": command(), "hardware": hardware(device), "patients": len(cases), "mean_error_gy": errors}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    typer.run(main)
