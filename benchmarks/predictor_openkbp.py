"""A dose predictor's OpenKBP scores on the challenge's own voxels and structures, of the 33 validation patients.

python benchmarks/openkbp_compact.py ../shared/data/openkbp work/csv
doselo convert openkbp work/csv 505 --name OpenKBPNative --spacing 0
doselo train-predictor 505 ...
python benchmarks/predictor_openkbp.py ../shared/data/openkbp 505
"""

import json
import os
import platform
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import openkbp_compact
import torch
import typer
from openkbp_native import on_native_grid
from rich.progress import track

from nnunet_doselo.dataset.folder import ExtendedDataset, environment_folder, raw_dataset
from nnunet_doselo.dataset.geometry import voxel_mm3
from nnunet_doselo.dataset.patient import load_patient
from nnunet_doselo.dataset.structures import Structure
from nnunet_doselo.evaluation.dose_metrics import dose_score
from nnunet_doselo.evaluation.openkbp_scores import StructureDose, dvh_score, structure_doses
from nnunet_doselo.predictor.artifact import FrozenPredictor, find_predictor, load_predictor
from nnunet_doselo.predictor.patient_dose import predict_patient

KILOBYTES_PER_GB = 1e6


def structures_of(original: Any, reader: ModuleType) -> Iterator[Structure]:
    """As published: dose levels and organs may overlap."""
    for bit, name in enumerate(reader.STRUCTURES):
        yield Structure(name, "target" if name.startswith("PTV") else "organ", (original.structures >> bit) & 1 > 0)


def score(
    compact: Path, dataset: ExtendedDataset, predictor: FrozenPredictor
) -> tuple[dict[str, float], list[StructureDose], list[float]]:
    """Dose score by patient, doses by structure, and seconds a patient."""
    reader = openkbp_compact.load_reader(compact)
    scores, by_structure, seconds = {}, list[StructureDose](), []
    for file in track(sorted((compact / "validation").glob("*.npz")), "Scoring"):
        case, original = f"OpenKBP_{int(file.stem[3:]):03d}", reader.load(file)
        patient = load_patient(dataset, case, "Ts")
        start = time.monotonic()
        dose = predict_patient(predictor, dataset, patient)
        seconds.append(time.monotonic() - start)
        native = on_native_grid(dose, patient.grid, original.voxel_mm)
        native = native * original.possible_dose
        scores[case] = dose_score(original.dose_gy, native, original.possible_dose)
        by_structure += structure_doses(
            case, structures_of(original, reader), original.dose_gy, native, voxel_mm3(original.voxel_mm)
        )
    return scores, by_structure, seconds


def main(compact: Path, dataset: str, predictor: Path | None = None, mirror: bool = False) -> None:
    """Print dose and DVH score, the worst patient, seconds a patient and peak memory as JSON."""
    extended = raw_dataset(dataset)
    file = predictor or find_predictor(environment_folder("nnUNet_preprocessed") / extended.folder.name)
    loaded = load_predictor(file)
    scores, by_structure, seconds = score(compact, extended, loaded.mirrored() if mirror else loaded)
    result = {
        "command": f"python benchmarks/predictor_openkbp.py {compact} {dataset}{' --mirror' if mirror else ''}",
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores, CUDA {torch.cuda.is_available()}",
        "predictor_sha256": loaded.sha256,
        "patients": len(scores),
        "dose_score_gy": float(np.mean(list(scores.values()))),
        "dvh_score_gy": dvh_score(by_structure),
        "worst": max(scores.items(), key=lambda item: item[1]),
        "seconds_a_patient": {"mean": float(np.mean(seconds)), "largest": max(seconds)},
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KILOBYTES_PER_GB,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    typer.run(main)
