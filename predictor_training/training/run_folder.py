"""What a training run leaves beside its checkpoints: its settings and cases, and which file it became."""

from pathlib import Path

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import read_json, write_json
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.dataset.case_names import patient_of
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.predictor.artifact import FrozenPredictor

from ..data.cache import data_hash

SETTINGS_FILE, ARTIFACT_FILE = "settings.json", "artifact.json"
TRAIN = "doselo train-predictor"


def record_artifact(run: Path, artifact: Path) -> None:
    """Say in the run's folder which predictor file it became, and its SHA-256."""
    write_json(run / ARTIFACT_FILE, {"path": artifact, "sha256": sha256_of(artifact)})


def is_artifact_of(run: Path, predictor: FrozenPredictor) -> bool:
    """True if the run recorded exactly this file.

    Raises
    ------
    DoseloError: the run's record is damaged.
    """
    file = run / ARTIFACT_FILE
    return file.exists() and read_json(file, TRAIN, keys=["sha256"])["sha256"] == predictor.sha256


def unseen_cases(run: Path, dataset: ExtendedDataset, predictor: FrozenPredictor, split: str) -> list[str]:
    """Cases that the predictor was not trained on: the test split's with CT, organs and labels, or the held-out ones.

    Raises
    ------
    DoseloError: there is none; or see `held_out_patients`.
    """
    if split == "Tr":
        return held_out_patients(run, dataset, predictor)
    cases = sorted(set.intersection(*(set(dataset.cases(kind, split)) for kind in ("ct", "oars", "labels"))))
    if not cases:
        raise DoseloError(
            f"{dataset.folder}: no case has ct{split}, oars{split} and labels{split}; is the split right?"
        )
    return cases


def held_out_patients(run: Path, dataset: ExtendedDataset, predictor: FrozenPredictor) -> list[str]:
    """One case of each patient that this predictor was not trained on: the run's validation cases, originals first.

    Raises
    ------
    DoseloError: the folder holds no run, or the predictor was trained on something else than the run's cases are now.
    """
    file = run / SETTINGS_FILE
    if not file.exists():
        raise DoseloError(
            f"{file}: says which cases a predictor has not seen, and is missing; name its run with --run, or take "
            "the test cases with --split Ts"
        )
    cases = read_json(file, TRAIN, keys=["training", "validation"])
    if data_hash(dataset, cases["training"]) != predictor.card.training_data_sha256:
        raise DoseloError(
            f"{predictor.path}: was not trained on the cases of {file} as they are now, so it is not known which ones "
            "it has not seen; name its run with --run, or take the test cases with --split Ts"
        )
    return list({patient_of(case): case for case in sorted(cases["validation"], reverse=True)}.values())[::-1]
